//! The real proxy, in threads of this process, on free ports. No file is read and none is written.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use process::clock::Clock;
use settings::{Config, Sources};
use shellac::app::App;
use shellac::server::{Bound, StartError};
use tokio::sync::oneshot;

use super::DemoError;

/// A running proxy. Dropping this ends it without waiting.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) traffic: SocketAddr,
    pub(super) admin: SocketAddr,
    leave: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), StartError>>,
}

impl Proxy {
    pub(super) fn start(origin: SocketAddr) -> Result<Self, DemoError> {
        let file = Some(("the demonstration".to_owned(), configuration(origin)));
        let config = Config::load(&Sources { file, ..Sources::default() })?;
        let bound = Bound::bind(App::new(config, Clock::system()).map_err(StartError::from)?)?;
        let first = |addresses: Vec<SocketAddr>| addresses.into_iter().next();
        let (Some(traffic), Some(admin)) =
            (first(bound.sockets().tcp()), first(bound.sockets().tcp_admin()))
        else {
            return Err(DemoError::NoAddress);
        };
        let (leave, left) = oneshot::channel::<()>();
        let run = || {
            bound.run(async {
                let _told_or_dropped = left.await;
            })
        };
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(|| run().map(drop))?;
        Ok(Self { traffic, admin, leave, thread })
    }

    pub(super) fn stop(self) -> Result<(), DemoError> {
        let Self { leave, thread, .. } = self;
        drop(leave);
        match thread.join() {
            Ok(left) => Ok(left?),
            Err(_panicked) => Err(DemoError::Panicked("proxy")),
        }
    }
}

/// Returns a configuration as a user would write it, with as few resources as the story needs.
fn configuration(origin: SocketAddr) -> String {
    format!(
        r#"
        workers = 1

        [origin.demo]
        servers = ["{origin}"]

        [[listen]]
        address = "127.0.0.1:0"

        [admin]
        listen = ["127.0.0.1:0"]

        [storage.memory]
        capacity = "256MiB"

        [limits]
        drain_timeout = "2s"
        "#
    )
}
