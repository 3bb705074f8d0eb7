//! `shellac run`: start serving, say where, drain on SIGTERM or SIGINT, hand over on SIGUSR2.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use process::clock::Clock;
use process::configuration::load_with_sources;
use process::descriptors::raise_descriptor_limit;
use process::exit::Exit;
use process::logging;
use process::signals::{ExitSignals, LeaveSignal, RequestSignals, SignalRequest, reopen_logs};
use rustix::process::{Pid, Signal, kill_process};
use settings::Flags;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::app::App;
use crate::server::{Bound, Configuration, Drained, StartError, beside_another};
use crate::tls;

struct Signals {
    exit: ExitSignals,
    requests: RequestSignals,
    hand_over: Listener,
}

/// Serves until it is told to leave; beside the process that it takes over from, until that one has
/// left.
pub(super) fn run(flags: Flags, take_over: Option<i32>) -> ExitCode {
    let (mut config, configuration) = match load_with_sources(flags, tls::inspect) {
        Ok((config, sources, written)) => (config, Configuration { sources, written }),
        Err(exit) => return exit.into(),
    };
    let log = config.log.clone();
    logging::start(&log);
    survive_signals();
    raise_descriptor_limit(config.limits.max_connections);
    let bound = match take_over {
        None => App::new(config, Clock::system()).map_err(StartError::from).and_then(Bound::bind),
        Some(pid) => {
            config.storage.file.wait = config.storage.file.wait.max(TAKE_OVER_WAIT);
            // First: from now on, who connects waits for this process, or is still served by the
            // other one.
            beside_another(&config).and_then(|sockets| {
                ask_to_hand_over(pid)?;
                Ok(Bound::on(App::new(config, Clock::system())?, sockets))
            })
        }
    };
    let bound = match bound {
        Ok(bound) => bound.reloading(configuration),
        Err(error) => return failed(&log, &error),
    };
    // Before anything is announced: whoever reads that may send a signal at once.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&log, &StartError::Signals(error)),
    };
    announce(&bound);
    let told = Arc::new(OnceLock::new());
    let leave = signals.told_to_leave_or_hand_over(Arc::clone(bound.app()), Arc::clone(&told));
    match bound.run(leave) {
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

fn failed(log: &settings::LogSettings, error: &StartError) -> ExitCode {
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

/// Asks another process to let its store and its clients go. The signal would kill another program,
/// such as the shell that a script started the proxy from: it has to be the same program, and to
/// listen to the signal.
fn ask_to_hand_over(pid: i32) -> Result<(), StartError> {
    let refused = |reason: &str| StartError::TakeOver { pid, reason: reason.to_owned() };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.map_err(|_not_there| refused("there is no such process"))?;
    if program_of(&pid.to_string()) != program_of("self") {
        return Err(refused("it is another program"));
    }
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    if caught >> (Signal::USR2.as_raw() - 1) & 1 == 0 {
        return Err(refused(
            "it does not listen to SIGUSR2: it does not serve, or is only starting",
        ));
    }
    let process = Pid::from_raw(pid).ok_or_else(|| refused("there is no such process"))?;
    kill_process(process, Signal::USR2).map_err(|error| refused(&error.to_string()))
}

/// Returns the name of the file that a process runs, also if the file was replaced since.
fn program_of(process: &str) -> Option<std::ffi::OsString> {
    let path = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).into())
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

    /// Ends when this process is told to leave, or has handed everything over.
    async fn told_to_leave_or_hand_over(self, app: Arc<App>, told: Arc<OnceLock<LeaveSignal>>) {
        let Self { exit, requests, mut hand_over } = self;
        tokio::spawn(answer(requests, Arc::clone(&app)));
        let summarized = Arc::clone(&app);
        let mut left = tokio::spawn(exit.told_to_leave(move || summarize(&summarized)));
        tokio::select! {
            leave = &mut left => {
                if let Ok(leave) = leave {
                    told.get_or_init(|| leave);
                }
                return;
            }
            _ = hand_over.recv() => tracing::info!("SIGUSR2: handing everything over"),
        }
        if let Err(error) = tokio::task::spawn_blocking(move || app.hand_over()).await {
            tracing::error!(%error, "handing over failed");
        }
    }
}

/// Reloads at SIGHUP, and opens the log again at SIGHUP and SIGUSR1. Never ends.
async fn answer(mut requests: RequestSignals, app: Arc<App>) {
    loop {
        match requests.next().await {
            SignalRequest::Reload => {
                reopen_logs("SIGHUP");
                // What becomes of it is in the log.
                let _logged = app.reloads.reload("SIGHUP", false).await;
            }
            SignalRequest::ReopenLogs => reopen_logs("SIGUSR1"),
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
