//! The running proxy: sockets, workers, housekeeping, reloads, and the drain at the end.

mod admin_acceptor;
mod manager;
mod reload;
mod upkeep;
mod workers;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

pub use self::reload::Configuration;

use self::admin_acceptor::AdminAcceptor;
use self::reload::Reloader;
use self::workers::{WorkerOrders, Workers, runtime};
use crate::admin;
use crate::app::App;
use crate::listener::drain::Drain;
use crate::listener::sockets::{
    ADMIN_BACKLOG, AvailableSockets, BindError, BindRules, BoundListener, ChangeError,
    InheritedSockets, OpenSockets,
};
use crate::store::file::OpenError;
use process::notify;
use settings::{Config, LimitSettings};

/// Bound sockets, and the parts that serve them once it runs.
#[derive(Debug)]
pub struct Bound {
    app: Arc<App>,
    sockets: Arc<OpenSockets>,
    configuration: Option<Configuration>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound. The operator frees it or chooses another.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store cannot be opened. The operator does what the message says.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The other process does not hand over. The message says why.
    #[error(transparent)]
    TakeOver(Box<dyn std::error::Error + Send + Sync>),
    /// A thread or its event loop cannot be made: out of some system resource.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
    /// A socket cannot be shared out, or there are too many listeners.
    #[error(transparent)]
    Listeners(Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Completely,
    /// The deadline came first, and this number of connections were cut.
    Cut(usize),
}

impl StartError {
    pub(crate) fn take_over(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::TakeOver(Box::new(error))
    }
}

impl Bound {
    /// Binds every address, so that all that can fail has failed before anything is served.
    pub fn bind(app: Arc<App>) -> Result<Self, StartError> {
        let inherited = InheritedSockets::of_process();
        let available = AvailableSockets { inherited, ..AvailableSockets::default() };
        let sockets = bind(&app.config, available)?;
        Ok(Self::on(app, sockets))
    }

    /// Serves on sockets that are bound already.
    pub fn on(app: Arc<App>, sockets: OpenSockets) -> Self {
        Self { app, sockets: Arc::new(sockets), configuration: None }
    }

    /// Lets the configuration be read again while it runs.
    #[must_use]
    pub fn reloading(self, configuration: Configuration) -> Self {
        let _written = self.app.reloads.start_with(&configuration.written);
        Self { configuration: Some(configuration), ..self }
    }

    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    pub const fn sockets(&self) -> &Arc<OpenSockets> {
        &self.sockets
    }

    /// Serves until `leave` ends, then drains. Blocks; the workers are threads of their own.
    pub fn run(self, leave: impl Future<Output = ()>) -> Result<Drained, StartError> {
        let (app, sockets) = (Arc::clone(&self.app), Arc::clone(&self.sockets));
        let (workers, orders) = Workers::start(&app)?;
        let control = runtime()?;
        let drained = control.block_on(self.serve(orders, leave));
        if drained.is_err() {
            app.listeners.drain.begin();
        }
        workers.join();
        control.shutdown_background();
        sockets.close_admin();
        app.close_store();
        app.logs.close();
        #[cfg(feature = "otlp")]
        app.spans.close();
        drained
    }

    async fn serve(
        self,
        orders: WorkerOrders,
        leave: impl Future<Output = ()>,
    ) -> Result<Drained, StartError> {
        let Self { app, sockets, configuration } = self;
        let admin = AdminAcceptor::new(admin::listeners(Arc::clone(&app)));
        let (traffic, admin_openings) = sockets.openings()?;
        admin.accept(admin_openings);
        orders.accept(traffic).await;
        let closing = close_in_time(Arc::clone(&sockets), Arc::clone(&app), admin.clone());
        tokio::spawn(closing);
        if let Some(requests) = app.reloads.take_requests() {
            let sockets = Arc::clone(&sockets);
            let admin = admin.clone();
            let reloader =
                Reloader::new(Arc::clone(&app), orders.clone(), sockets, admin, configuration);
            tokio::spawn(reloader.run(requests));
        }
        app.origins().run_on(Handle::current());
        tokio::spawn(upkeep::keep_house(Arc::clone(&app)));
        tokio::spawn(upkeep::keep_certificates(Arc::clone(&app)));
        tokio::spawn(upkeep::keep_bounds(Arc::clone(&app)));
        tokio::spawn(upkeep::keep_health(Arc::clone(&app)));
        tokio::spawn(upkeep::keep_live(Arc::clone(&app)));
        let executor = Arc::clone(app.front.purge_endpoint.executor());
        tokio::spawn(upkeep::keep_time(Arc::clone(&app.purge_log), executor));
        if let Some(orders) = app.purge_log.take_orders() {
            tokio::spawn(app.rewarmer().run(orders));
        }
        tokio::spawn(manager::announce(Arc::clone(&app)));
        tokio::spawn(manager::keep_alive(orders));
        leave.await;
        let drained = drain(&app, &sockets).await;
        if app.has_handed_over() {
            admin.finished(ADMIN_PATIENCE).await;
            // What its last requests change has to reach the process that serves.
            let patience = app.settings.current().limits.drain_timeout;
            let _elapsed = timeout(patience, app.predecessor_left()).await;
        }
        Ok(drained)
    }
}

impl From<ChangeError> for StartError {
    fn from(error: ChangeError) -> Self {
        Self::Listeners(Box::new(error))
    }
}

/// Binds the addresses of a configuration, but for those whose sockets were passed.
pub fn bind(config: &Config, mut available: AvailableSockets) -> Result<OpenSockets, StartError> {
    let listeners = config.listen.iter();
    let traffic = listeners
        .map(|listen| BoundListener::bind(listen, config.workers, &mut available))
        .collect::<Result<_, _>>()?;
    let mode = config.admin.socket_mode;
    let rules = BindRules { backlog: ADMIN_BACKLOG, mode, workers: 1, is_shared: false };
    let admin = config.admin.listen.iter();
    let admin = admin.map(|address| available.bind(address, rules, true));
    let admin = admin.collect::<Result<_, _>>()?;
    available.inherited.warn_of_unused();
    Ok(OpenSockets::new(config, traffic, admin))
}

/// Closes the traffic listeners once the drain begins, and leaves all to another process that
/// listens in their place.
async fn close_in_time(sockets: Arc<OpenSockets>, app: Arc<App>, admin: AdminAcceptor) {
    app.listeners.drain.begun().await;
    if app.listeners.drain.is_handing_over() {
        sockets.leave();
    } else {
        sockets.close_traffic();
    }
    app.is_handed_over().await;
    admin.leave();
}

/// Announces the end, closes the listeners, and waits for the requests in flight up to the
/// deadline.
async fn drain(app: &App, sockets: &OpenSockets) -> Drained {
    app.announce_end();
    let settings = app.settings.current();
    let limits = &settings.limits;
    if !app.has_handed_over() {
        notify::stopping("draining");
    }
    let drain = &app.listeners.drain;
    let mut patience = limits.drain_timeout;
    if drain.is_handing_over() {
        // Another process listens at the same sockets: nobody has to be sent elsewhere first.
        tracing::info!(
            deadline = ?patience,
            connections = drain.remaining(),
            "leaving to the process that took over"
        );
        patience /= 2;
        let _elapsed = timeout(patience, drain.finished()).await;
        drain.close_idle();
    } else {
        close_listeners(drain, limits, sockets).await;
    }
    match timeout(patience, drain.finished()).await {
        Ok(()) => Drained::Completely,
        Err(_elapsed) => match drain.give_up() {
            0 => Drained::Completely,
            remaining => Drained::Cut(remaining),
        },
    }
}

async fn close_listeners(drain: &Drain, limits: &LimitSettings, sockets: &OpenSockets) {
    tracing::info!(
        delay = ?limits.drain_delay,
        deadline = ?limits.drain_timeout,
        connections = drain.remaining(),
        "leaving: readiness says so, listeners close after the delay"
    );
    sleep(limits.drain_delay).await;
    drain.begin();
    sockets.close_traffic();
    tracing::info!(connections = drain.remaining(), "nobody new is let in");
}

/// For the last answers to admin connections, where another process has taken over.
const ADMIN_PATIENCE: Duration = Duration::from_secs(1);
