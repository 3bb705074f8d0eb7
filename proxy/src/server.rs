//! The running proxy: sockets, workers, housekeeping, and the drain at the end.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

use crate::admin::{self, Admin};
use crate::app::App;
use crate::client::peer::ListenerId;
use crate::listener::Listeners;
use crate::listener::sockets::{
    BindError, BindRules, BoundAddress, BoundListener, InheritedSockets, ListenSocket, OpenSockets,
};
use crate::purge::log::PurgeLog;
use crate::store::file::OpenError;
use settings::Config;

/// Bound sockets, and the parts that serve them once it runs.
#[derive(Debug)]
pub struct Bound {
    app: Arc<App>,
    sockets: Arc<OpenSockets>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound. The operator frees it or chooses another.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store cannot be opened. The operator does what the message says.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The other process does not hand over. The operator names one that does.
    #[error(
        "cannot take over from process {pid}: {reason}; name a running shellac, or start without --take-over"
    )]
    TakeOver { pid: i32, reason: String },
    /// A thread or its event loop cannot be made: out of some system resource.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Completely,
    /// The deadline came first, and this number of connections were cut.
    Cut(usize),
}

impl Bound {
    /// Binds every address, so that all that can fail has failed before anything is served.
    pub fn bind(app: Arc<App>) -> Result<Self, StartError> {
        let sockets = bind_all(&app.config, false)?;
        Ok(Self { app, sockets: Arc::new(sockets) })
    }

    /// Serves on sockets that are bound already.
    pub fn on(app: Arc<App>, sockets: OpenSockets) -> Self {
        Self { app, sockets: Arc::new(sockets) }
    }

    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    pub const fn sockets(&self) -> &Arc<OpenSockets> {
        &self.sockets
    }

    /// Serves until `leave` ends, then drains. Blocks; the workers are threads of their own.
    pub fn run(self, leave: impl Future<Output = ()>) -> Result<Drained, StartError> {
        let Self { app, sockets } = self;
        let mut workers = Vec::new();
        for number in 0..app.config.workers {
            let own = sockets.of_worker(number, app.config.workers)?;
            workers.push(start_worker(Arc::clone(&app), number, own)?);
        }
        let control = runtime()?;
        let drained = control.block_on(async {
            let admins = admin::listeners(Arc::clone(&app));
            for (listener, socket) in sockets.of_admin()? {
                let socket = socket.into_acceptor()?;
                tokio::spawn(Arc::clone(&admins).accept(socket, listener));
            }
            tokio::spawn(end_admin(Arc::clone(&app), admins));
            tokio::spawn(keep_house(Arc::clone(&app)));
            tokio::spawn(keep_certificates(Arc::clone(&app)));
            tokio::spawn(keep_bounds(Arc::clone(&app)));
            tokio::spawn(keep_health(Arc::clone(&app)));
            tokio::spawn(keep_time(Arc::clone(&app.purge_log)));
            if let Some(orders) = app.purge_log.take_orders() {
                tokio::spawn(app.rewarmer().run(orders));
            }
            leave.await;
            Ok::<_, StartError>(drain(&app, &sockets).await)
        })?;
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        control.shutdown_background();
        app.close_store();
        Ok(drained)
    }
}

/// Binds the addresses of a configuration, though another process listens there as well.
pub fn beside_another(config: &Config) -> Result<OpenSockets, StartError> {
    bind_all(config, true)
}

fn bind_all(config: &Config, is_shared: bool) -> Result<OpenSockets, StartError> {
    let mut inherited = InheritedSockets::of_process();
    let listeners = config.listen.iter();
    let traffic = listeners
        .map(|listen| BoundListener::bind(listen, config.workers, is_shared, &mut inherited))
        .collect::<Result<_, _>>()?;
    let mode = config.admin.socket_mode;
    let rules = BindRules { backlog: ADMIN_BACKLOG, mode, workers: 1, is_shared };
    let admin = config.admin.listen.iter();
    let admin = admin.map(|address| BoundAddress::bind(address, rules, &mut inherited));
    let admin = admin.collect::<Result<_, _>>()?;
    inherited.warn_of_unused();
    Ok(OpenSockets::new(traffic, admin))
}

/// Ends the admin listeners when another process listens in their place.
async fn end_admin(app: Arc<App>, admins: Arc<Listeners<Admin>>) {
    app.is_handed_over().await;
    admins.drain.begin();
}

/// Announces the end, closes the listeners, and waits for the requests in flight up to the
/// deadline.
async fn drain(app: &App, sockets: &OpenSockets) -> Drained {
    app.announce_end();
    let settings = app.settings.current();
    let limits = &settings.limits;
    tracing::info!(delay = ?limits.drain_delay, "leaving");
    sleep(limits.drain_delay).await;
    let drain = &app.listeners.drain;
    drain.begin();
    sockets.close_traffic();
    match timeout(limits.drain_timeout, drain.finished()).await {
        Ok(()) => Drained::Completely,
        Err(_elapsed) => match drain.give_up() {
            0 => Drained::Completely,
            remaining => Drained::Cut(remaining),
        },
    }
}

fn start_worker(
    app: Arc<App>,
    number: usize,
    sockets: Vec<(ListenerId, ListenSocket)>,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime()?;
    let serve = move || {
        runtime.block_on(async {
            for (index, socket) in sockets {
                match socket.into_acceptor() {
                    Ok(listener) => {
                        drop(tokio::spawn(Arc::clone(&app.listeners).accept(listener, index)));
                    }
                    Err(error) => tracing::error!(%error, "a worker cannot use its socket"),
                }
            }
            app.listeners.drain.begun().await;
            app.listeners.drain.ended().await;
        });
        runtime.shutdown_background();
    };
    Ok(thread::Builder::new().name(format!("worker-{number}")).spawn(serve)?)
}

/// One thread, timers and sockets; blocking work gets threads of its own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()
}

/// Removes useless responses and closes idle origin connections every `HOUSEKEEPING`. Never
/// returns.
async fn keep_house(app: Arc<App>) {
    let mut pause = HOUSEKEEPING;
    loop {
        sleep(pause).await;
        app.origins().sweep();
        let sweeping = Arc::clone(&app);
        let started = Instant::now();
        if let Err(error) = tokio::task::spawn_blocking(move || sweeping.sweep()).await {
            tracing::error!(%error, "sweeping the store failed");
        }
        pause = HOUSEKEEPING.max(started.elapsed() * SWEEP_SHARE);
    }
}

/// Reads certificates again when their files change. Never returns.
async fn keep_certificates(app: Arc<App>) {
    loop {
        sleep(CERTIFICATE_TICK).await;
        let settings = app.settings.current();
        if let Err(error) = tokio::task::spawn_blocking(move || settings.tls.refresh()).await {
            tracing::error!(%error, "looking for new certificates failed");
        }
    }
}

/// Cuts the slowest clients while too much that left the store is held for them. Never returns.
async fn keep_bounds(app: Arc<App>) {
    loop {
        sleep(PINNED_TICK).await;
        let most = app.settings.current().pinned_bytes_max;
        let pinned = app.pinned_bytes();
        if pinned > most {
            let cut = app.listeners.stalls.cut_slowest((pinned - most, pinned), app.clock().now());
            app.listeners.metrics.cut_slowest.add(cut as u64);
            if cut > 0 {
                tracing::warn!(
                    pinned,
                    most,
                    cut,
                    "too much is held for slow clients: the slowest are cut"
                );
            }
        }
    }
}

/// Probes the servers of all origins, and notices what time brings to them. Never returns.
async fn keep_health(app: Arc<App>) {
    loop {
        app.origins().watch_over();
        sleep(HEALTH_TICK).await;
    }
}

/// Notices what time brings to the purge log. Never returns.
async fn keep_time(log: Arc<PurgeLog>) {
    loop {
        sleep(PURGE_LOG_TICK).await;
        log.tick();
    }
}

const ADMIN_BACKLOG: u32 = 128;
/// The longest time that slow clients hold more than their bound.
const PINNED_TICK: Duration = Duration::from_millis(100);
/// State changes are noticed, and logged, this much late; how responses are used changes at once.
const PURGE_LOG_TICK: Duration = Duration::from_millis(250);
/// Probes begin this much late at most.
const HEALTH_TICK: Duration = Duration::from_millis(100);
/// The time until a changed certificate is noticed.
const CERTIFICATE_TICK: Duration = Duration::from_secs(2);
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// A sweep over all that is stored takes at most this part of one core.
const SWEEP_SHARE: u32 = 50;
/// Blocking work is sweeping and large purges: each worker needs a few threads at most.
const BLOCKING_THREADS_MAX: usize = 8;
