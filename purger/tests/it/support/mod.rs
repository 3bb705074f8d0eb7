//! Brokers, proxies and purgers for tests. Everything listens on a free loopback port and ends with
//! its owner.

mod broker;
mod login;
mod proxy;
mod purger;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub(crate) use self::broker::{Broker, json};
pub(crate) use self::login::LoginBroker;
pub(crate) use self::proxy::{Proxy, asks_for_a_pause, refuse};
pub(crate) use self::purger::{Purger, command};

/// Waits until something is so; panics with `what` when it does not come.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(GLANCE).await;
    }
}

/// Waits until an answer is so.
pub(crate) async fn until_status(
    purger: &Purger,
    what: &str,
    is_so: impl Fn(&shellac_purger::admin::Status) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = purger.status().await;
        if is_so(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}: {status:#?}");
        sleep(GLANCE).await;
    }
}

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at what has no event to wait for.
const GLANCE: Duration = Duration::from_millis(10);
