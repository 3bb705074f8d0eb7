//! The signals that end a program.

use tokio::signal::unix::{SignalKind, signal};

/// Ends at SIGTERM or SIGINT; a second one ends the process at once.
pub async fn told_to_leave() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen to signals: leaving");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM"),
        _ = interrupt.recv() => tracing::info!("SIGINT"),
    }
    tokio::spawn(async move {
        let code = tokio::select! {
            _ = terminate.recv() => TERMINATED,
            _ = interrupt.recv() => INTERRUPTED,
        };
        tracing::warn!("second signal: ending without waiting for connections");
        end_at_once(code);
    });
}

/// Ends the process without waiting for anybody: what is in the store's files is sound at any moment.
#[expect(
    clippy::exit,
    reason = "the operator asked twice; threads that serve may not hold the end up"
)]
fn end_at_once(code: u8) {
    std::process::exit(i32::from(code));
}

/// The exit code of a process that SIGINT ended before its drain had.
const INTERRUPTED: u8 = 130;
/// The same of SIGTERM.
const TERMINATED: u8 = 143;
