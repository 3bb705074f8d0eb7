//! `shellac run`: start serving, say where, drain on SIGTERM or SIGINT, upgrade on SIGUSR2.

mod lives;

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use process::clock::Clock;
use process::configuration::load_to_serve;
use process::descriptors::raise_descriptor_limit;
use process::exit::Exit;
use process::logging;
use process::signals::{ExitSignals, LeaveSignal, RequestSignals, SignalRequest, reopened_logs};
use settings::{Config, Flags, LogSettings};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::lives::{Lives, revival};
use crate::app::App;
use crate::listener::sockets::{AvailableSockets, InheritedSockets};
use crate::policy;
use crate::server::{self, Bound, Configuration, Drained, StartError};
use crate::upgrade::{Program, Succession, UpgradeControl, Upgrades};

struct Signals {
    exit: ExitSignals,
    requests: RequestSignals,
    hand_over: Listener,
}

/// Serves until it is told to leave; beside the process that it takes over from, until that one has
/// left.
pub(super) fn run(flags: Flags, take_over: Option<i32>) -> ExitCode {
    let (config, configuration) = match load_to_serve("shellac", flags, policy::inspect) {
        Ok((config, sources, written)) => (config, Configuration { sources, written }),
        Err(exit) => return exit.into(),
    };
    let program = Program::of_process();
    let log = config.log.clone();
    survive_signals();
    raise_descriptor_limit(config.limits.max_connections);
    let (bound, succession) = match start(config, take_over) {
        Ok((bound, succession)) => (bound.reloading(configuration.clone()), succession),
        Err(error) => return failed(&log, &error),
    };
    // Before anything is announced: whoever reads that may send a signal at once.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&log, &StartError::Signals(error)),
    };
    let control = UpgradeControl::open(program);
    announce(&bound);
    let told = Arc::new(OnceLock::new());
    let lives = Arc::new(Lives::new(Arc::clone(&told), configuration));
    let upgrades = control.start(revival(&lives));
    lives.set(upgrades.clone());
    let outcome = live(bound, signals, (succession, upgrades, Arc::clone(&told)));
    // A store that could not be handed over is served again, in a thread of its own.
    match lives.last().unwrap_or(outcome) {
        Ok(Drained::Completely) => {
            tracing::info!("all connections are drained");
            Exit::Done.into()
        }
        Ok(Drained::Cut(connections)) => {
            tracing::warn!(connections, "the drain deadline came first");
            match told.get() {
                Some(LeaveSignal::Interrupted) => Exit::DrainCutByInterrupt.into(),
                Some(LeaveSignal::Terminated) | None => Exit::DrainCut.into(),
            }
        }
        Err(error) => failed(&log, &error),
    }
}

/// Binds, and opens the store, beside the process to take over from, if there is one.
fn start(
    mut config: Config,
    take_over: Option<i32>,
) -> Result<(Bound, Option<Succession>), StartError> {
    let inherited = InheritedSockets::of_process();
    let Some(pid) = take_over else {
        let app = App::new(config, Clock::system())?;
        wait_for_small_store(&app);
        let available = AvailableSockets { inherited, ..AvailableSockets::default() };
        let sockets = server::bind(&app.config, available)?;
        return Ok((Bound::on(app, sockets), None));
    };
    let (succession, passed) = Succession::begin(pid).map_err(StartError::take_over)?;
    config.storage.file.wait = config.storage.file.wait.max(TAKE_OVER_WAIT);
    let take = || {
        let sockets = server::bind(&config, AvailableSockets { inherited, passed })?;
        App::check_store(&config)?;
        let (pages, orders) = succession.take().map_err(StartError::take_over)?;
        let app = App::with_pages(config, Clock::system(), pages)?;
        app.origins().follow_orders(&orders);
        Ok(Bound::on(app, sockets))
    };
    match take() {
        Ok(bound) => Ok((bound, Some(succession))),
        Err(error) => {
            succession.fail(&error);
            Err(error)
        }
    }
}

/// Waits until what a file holds is found, if that takes a moment only: the first requests would be
/// misses, and what they fetch would not be written.
#[expect(clippy::disallowed_methods, reason = "nothing is served yet")]
fn wait_for_small_store(app: &App) {
    let begun = Instant::now();
    let is_loading = || app.file_usage().is_some_and(|file| file.is_loading);
    while is_loading() && begun.elapsed() < LOAD_PATIENCE {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Serves until it is told to leave, or another process serves.
fn live(
    bound: Bound,
    signals: Signals,
    (succession, upgrades, told): (Option<Succession>, Upgrades, Arc<OnceLock<LeaveSignal>>),
) -> Result<Drained, StartError> {
    let (app, sockets) = (Arc::clone(bound.app()), Arc::clone(bound.sockets()));
    bound.run(async move {
        if let Some(succession) = succession {
            sockets.take_files();
            succession.serve(Arc::clone(&app));
        }
        let over = upgrades.serve(&app, &sockets);
        signals.told_to_leave_or_hand_over(app, told, (over, upgrades)).await;
    })
}

fn failed(log: &LogSettings, error: &StartError) -> ExitCode {
    logging::say_failure(log, "shellac", error);
    Exit::Io.into()
}

/// Says what is bound: a port 0 has become a number.
fn announce(bound: &Bound) {
    let config = &bound.app().config;
    let say = |label, value: std::fmt::Arguments<'_>| {
        logging::say_at_start(&config.log, label, value);
    };
    for address in bound.sockets().shown() {
        say("listen", format_args!("{address}"));
    }
    for origin in &config.origins {
        let servers: Vec<_> =
            origin.servers.iter().map(|server| server.address.to_string()).collect();
        say("origin", format_args!("{} → {}", origin.name, servers.join(", ")));
    }
    say("storage", format_args!("{}", config.storage_summary()));
    let pages = "(healthz, readyz, metrics, api/v1/stats, api/v1/purge)";
    for address in bound.sockets().shown_admin() {
        let slash = if address.starts_with("http:") { "/" } else { "" };
        say("admin", format_args!("{address}{slash}  {pages}"));
    }
    say("workers", format_args!("{}", config.workers));
}

/// Signals that end other programs: a terminal that closes, a log that was rotated, a file that may
/// not grow.
fn survive_signals() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let kinds = [
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::from_raw(libc::SIGXFSZ),
        ];
        for kind in kinds {
            if let Err(error) = signal(kind) {
                tracing::warn!(%error, ?kind, "cannot listen to a signal");
            }
        }
    });
}

impl Signals {
    /// Listens from now on. The workers' runtimes, which are made later, hand on what arrives
    /// before they run.
    fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _context = runtime.enter();
        Ok(Self {
            exit: ExitSignals::listen()?,
            requests: RequestSignals::listen()?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    /// Ends when this process is told to leave, or another one serves.
    async fn told_to_leave_or_hand_over(
        self,
        app: Arc<App>,
        told: Arc<OnceLock<LeaveSignal>>,
        (over, upgrades): (CancellationToken, Upgrades),
    ) {
        let Self { exit, requests, mut hand_over } = self;
        tokio::spawn(answer(requests, Arc::clone(&app)));
        let mut left = tokio::spawn(exit.told_to_leave(move || summarize(&app)));
        loop {
            tokio::select! {
                leave = &mut left => {
                    if let Ok(leave) = leave {
                        told.get_or_init(|| leave);
                    }
                    return;
                }
                () = over.cancelled() => return,
                _ = hand_over.recv() => {
                    tracing::info!("SIGUSR2: upgrade");
                    let upgrades = upgrades.clone();
                    drop(tokio::task::spawn_blocking(move || upgrades.launch(&mut |_| {})));
                }
            }
        }
    }
}

/// Reloads at SIGHUP, and opens the log again at SIGHUP and SIGUSR1. Never ends.
async fn answer(mut requests: RequestSignals, app: Arc<App>) {
    loop {
        match requests.next().await {
            SignalRequest::Reload => {
                reopened_logs("SIGHUP", app.logs.reopen());
                // Its result is in the log.
                let _logged = app.reloads.reload("SIGHUP", false).await;
            }
            SignalRequest::ReopenLogs => reopened_logs("SIGUSR1", app.logs.reopen()),
        }
    }
}

/// Logs what the process was doing when it was ended at once.
fn summarize(app: &App) {
    let usage = app.store.usage();
    let (misses, flights, _bytes) = app.front.cache.fetcher().in_flight();
    tracing::warn!(
        uptime_seconds = app.uptime().as_secs(),
        connections = app.listeners.connections(),
        at_the_origin = misses,
        flights,
        objects = usage.objects,
        bytes = usage.bytes,
        configuration = app.reloads.hash(),
        "ended at once"
    );
}

/// Time for another process to write its queue and to let its store go.
const TAKE_OVER_WAIT: Duration = Duration::from_mins(1);
/// A store that takes longer to be read is served meanwhile.
const LOAD_PATIENCE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
