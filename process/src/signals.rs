//! The signals that end a program, and the one that would and does not.
//!
//! Each is listened to from the moment that its value is made: a program makes them before it says
//! that it runs, and a signal that arrives in between is held until it is asked for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug)]
pub struct ExitSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP, which asks for the configuration to be read again and ends nothing.
#[derive(Debug)]
pub struct HangUps(Signal);

impl ExitSignals {
    /// Listens from now on. Needs a runtime; that one may end before the signals are asked for in
    /// another.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends at SIGTERM or SIGINT; a second one ends the process at once.
    pub async fn told_to_leave(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT"),
        }
        tokio::spawn(self.end_at_next());
    }

    async fn end_at_next(mut self) {
        let code = tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.interrupt.recv() => INTERRUPTED,
        };
        tracing::warn!("second signal: ending without waiting for connections");
        end_at_once(code);
    }
}

impl HangUps {
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Says with each signal how the configuration is read again. Never ends.
    pub async fn answer(mut self, remedy: &str) {
        while self.0.recv().await.is_some() {
            tracing::warn!("SIGHUP: {remedy}");
        }
    }
}

/// Ends the process without waiting for anybody: what is in the store's files is sound at any
/// moment.
#[expect(
    clippy::exit,
    reason = "the operator asked twice; threads that serve may not hold the end up"
)]
fn end_at_once(code: u8) {
    std::process::exit(i32::from(code));
}

/// The exit code of a process that SIGINT ended before its drain had.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;
