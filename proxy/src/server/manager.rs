//! The service manager: told when the proxy serves, and that its workers make progress.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::workers::WorkerOrders;
use crate::app::App;
use process::notify;

/// Says that the proxy serves, once the store has been read.
pub(super) async fn announce(app: Arc<App>) {
    let is_loading = || app.file_usage().is_some_and(|usage| usage.is_loading);
    while is_loading() {
        notify::extend_timeout(LOADING_PATIENCE);
        notify::status("reading the store");
        sleep(LOADING_LOOK).await;
    }
    app.announce_start();
    notify::ready("serving");
}

/// Says that the proxy is alive while every worker takes its turns. Never returns, unless nobody
/// asks.
pub(super) async fn keep_alive(orders: WorkerOrders) {
    let Some(limit) = notify::watchdog() else { return };
    let mut look = interval(limit / 2);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let stuck = orders.stuck(limit / 4).await;
        if stuck.is_empty() {
            notify::alive();
        } else {
            tracing::error!(workers = ?stuck, "workers are stuck: the service manager is not told that all is well");
        }
    }
}

/// The time between two looks at a store that is being read.
const LOADING_LOOK: Duration = Duration::from_secs(1);
/// What a start may take longer each time that the manager is told of it.
const LOADING_PATIENCE: Duration = Duration::from_secs(30);
