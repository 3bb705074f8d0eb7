//! The real purger, in threads of this process, with an admin listener on a free port. No file is
//! read and none is written.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use process::clock::Clock;
use settings::{Config, Flags, Sources};
use tokio::sync::oneshot;

use super::DemoError;
use super::broker::{Broker, PURGES, RECEIPTS};
use super::proxy::Proxy;
use shellac_purger::app::{App, RunError, ShutdownResult};

/// A running purger. Dropping this ends it without waiting.
#[derive(Debug)]
pub(super) struct Purger {
    pub(super) admin: SocketAddr,
    pub(super) config: Config,
    leave: oneshot::Sender<()>,
    thread: JoinHandle<Result<ShutdownResult, RunError>>,
}

impl Purger {
    /// Starts a purger between a broker and a proxy. Joining the consumer group takes about 3 s.
    pub(super) fn start(broker: &Broker, proxy: &Proxy) -> Result<Self, DemoError> {
        let file = Some(("the demonstration".to_owned(), configuration(broker, proxy)));
        // The origin is required, but unused.
        let flags = Flags { origin: Some(proxy.traffic.to_string()), ..Flags::default() };
        let config = Config::load(&Sources { file, flags, ..Sources::default() })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let app = {
            let _entered = runtime.enter();
            App::new(config.clone(), Clock::system())?
        };
        let admin = app.admin_address()?;
        let (leave, left) = oneshot::channel::<()>();
        let run = move || {
            let ended = runtime.block_on(app.run(async {
                let _told_or_dropped = left.await;
            }));
            runtime.shutdown_background();
            ended
        };
        let thread = thread::Builder::new().name("purger".to_owned()).spawn(run)?;
        Ok(Self { admin, config, leave, thread })
    }

    /// Stops the purger and waits until it has committed confirmed records.
    pub(super) fn stop(self) -> Result<(), DemoError> {
        let Self { leave, thread, .. } = self;
        drop(leave);
        match thread.join() {
            Ok(Ok(ShutdownResult::Clean)) => Ok(()),
            Ok(Ok(ShutdownResult::Cut)) => Err(DemoError::Cut),
            Ok(Err(error)) => Err(error.into()),
            Err(_panicked) => Err(DemoError::Panicked("purger")),
        }
    }
}

/// Returns a configuration as a user would write it, but with short waits of fetches: the mock
/// broker answers only at their end.
fn configuration(broker: &Broker, proxy: &Proxy) -> String {
    let (brokers, admin) = (&broker.address, proxy.admin);
    format!(
        r#"
        [kafka]
        brokers = ["{brokers}"]

        [kafka.properties]
        "fetch.wait.max.ms" = "5"

        [purger]
        topics = ["{PURGES}"]
        receipts = "{RECEIPTS}"
        admin = "127.0.0.1:0"

        [purger.targets]
        urls = ["http://{admin}"]
        "#
    )
}
