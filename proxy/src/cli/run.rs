//! `shellac run`: start serving, say where, drain on SIGTERM or SIGINT, hand over on SIGUSR2.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use process::clock::Clock;
use process::configuration::load_inspected;
use process::descriptors::raise_descriptor_limit;
use process::exit::Exit;
use process::logging;
use process::signals::{ExitSignals, HangUps};
use rustix::process::{Pid, Signal, kill_process};
use settings::Flags;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::app::App;
use crate::server::{Bound, Drained, StartError, beside_another};
use crate::tls;

struct Signals {
    exit: ExitSignals,
    hang_ups: HangUps,
    hand_over: Listener,
}

/// Serves until it is told to leave; beside the process that it takes over from, until that one has
/// left.
pub(super) fn run(flags: Flags, take_over: Option<i32>) -> ExitCode {
    let mut config = match load_inspected(flags, tls::inspect) {
        Ok(config) => config,
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
        Ok(bound) => bound,
        Err(error) => return failed(&log, &error),
    };
    // Before anything is announced: whoever reads that may send a signal at once.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&log, &StartError::Signals(error)),
    };
    announce(&bound);
    let leave = signals.told_to_leave_or_hand_over(Arc::clone(bound.app()));
    match bound.run(leave) {
        Ok(Drained::Completely) => {
            tracing::info!("all connections are drained");
            Exit::Done.into()
        }
        Ok(Drained::Cut(connections)) => {
            tracing::warn!(connections, "the drain deadline came first");
            Exit::DrainCut.into()
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

/// Signals that end other programs: a terminal that closes, a file that may not grow.
fn survive_signals() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        for kind in [SignalKind::hangup(), SignalKind::from_raw(libc::SIGXFSZ)] {
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
            hang_ups: HangUps::listen()?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    /// Ends when this process is told to leave, or has handed everything over.
    async fn told_to_leave_or_hand_over(self, app: Arc<App>) {
        let Self { exit, hang_ups, mut hand_over } = self;
        let pid = std::process::id();
        let remedy = format!("to reload, start `shellac run --take-over {pid}`");
        tokio::spawn(async move { hang_ups.answer(&remedy).await });
        let mut left = tokio::spawn(exit.told_to_leave());
        tokio::select! {
            _ = &mut left => return,
            _ = hand_over.recv() => tracing::info!("SIGUSR2: handing everything over"),
        }
        if let Err(error) = tokio::task::spawn_blocking(move || app.hand_over()).await {
            tracing::error!(%error, "handing over failed");
        }
    }
}

/// Time for another process to write its queue and to let its store go.
const TAKE_OVER_WAIT: Duration = Duration::from_mins(1);
