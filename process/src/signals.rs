//! The signals that end a program, and those that ask it for something.
//!
//! Each is listened to from the moment that its value is made: a program makes them before it says
//! that it runs, and a signal that arrives in between is held until it is asked for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::stderr;

/// SIGTERM and SIGINT, which drain, and SIGQUIT, which does not.
#[derive(Debug)]
pub struct ExitSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// SIGHUP and SIGUSR1, which end nothing.
#[derive(Debug)]
pub struct RequestSignals {
    hang_up: Signal,
    reopen: Signal,
}

/// The signal that a program was told to leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveSignal {
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
}

/// A request by signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// SIGHUP: read the configuration again, and open the files of the log again.
    Reload,
    /// SIGUSR1: open the files of the log again.
    ReopenLogs,
}

impl ExitSignals {
    /// Listens from now on. Needs a runtime; that one may end before the signals are asked for in
    /// another.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Ends at SIGTERM or SIGINT; a second one ends the process at once. So does SIGQUIT, the first
    /// as well, after `summarize`.
    pub async fn told_to_leave(mut self, summarize: impl Fn() + Send + 'static) -> LeaveSignal {
        let leave = tokio::select! {
            _ = self.terminate.recv() => LeaveSignal::Terminated,
            _ = self.interrupt.recv() => LeaveSignal::Interrupted,
            _ = self.quit.recv() => quit(&summarize),
        };
        tracing::info!("{}: leaving once what is in flight is done", leave.name());
        tokio::spawn(self.end_at_next(summarize));
        leave
    }

    async fn end_at_next(mut self, summarize: impl Fn()) {
        let leave = tokio::select! {
            _ = self.terminate.recv() => LeaveSignal::Terminated,
            _ = self.interrupt.recv() => LeaveSignal::Interrupted,
            _ = self.quit.recv() => quit(&summarize),
        };
        tracing::warn!("second signal, {}: ending without waiting for connections", leave.name());
        end_at_once(leave.code());
    }
}

impl LeaveSignal {
    const fn name(self) -> &'static str {
        match self {
            Self::Terminated => "SIGTERM",
            Self::Interrupted => "SIGINT",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Terminated => 143,
            Self::Interrupted => 130,
        }
    }
}

impl RequestSignals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.hang_up.recv() => SignalRequest::Reload,
            _ = self.reopen.recv() => SignalRequest::ReopenLogs,
        }
    }

    /// Says with each SIGHUP how the configuration is read again. Never ends.
    pub async fn answer(mut self, remedy: &str) {
        loop {
            match self.next().await {
                SignalRequest::Reload => tracing::warn!("SIGHUP: {remedy}"),
                SignalRequest::ReopenLogs => reopened_logs("SIGUSR1", 0),
            }
        }
    }
}

/// Says how many files of logs were opened again.
pub fn reopened_logs(cause: &str, files: usize) {
    match files {
        0 => tracing::info!("{cause}: no log goes to a file: none is opened again"),
        files => tracing::info!(files, "{cause}: the files of the log are opened again"),
    }
}

fn quit(summarize: &impl Fn()) -> ! {
    tracing::warn!("SIGQUIT: ending without waiting for connections");
    summarize();
    end_at_once(QUIT)
}

/// Ends the process without waiting for anybody: what is in the store's files is sound at any
/// moment.
#[expect(
    clippy::exit,
    reason = "the operator asked twice; threads that serve may not hold the end up"
)]
fn end_at_once(code: u8) -> ! {
    stderr::flush();
    std::process::exit(i32::from(code));
}

/// The exit code of a process that SIGQUIT ended.
const QUIT: u8 = 131;
