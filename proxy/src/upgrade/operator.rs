//! The operator's side: asks a running process for an upgrade and hears what happens.

use std::io;
use std::time::Duration;

use super::channel::Channel;
use super::identity::{PeerProcess, name_of, running};
use super::message::{Message, PROTOCOL};

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No process can be asked. The operator names one, or starts one.
    #[error("{0}")]
    Unreachable(String),
    /// The upgrade failed, and the old process goes on.
    #[error("{0}")]
    Failed(String),
}

/// Asks a process, the only one if none is named, and shows what it tells. With `until_gone` it
/// waits for the end of the old process as well.
pub fn upgrade(
    pid: Option<i32>,
    until_gone: bool,
    show: &mut dyn FnMut(&str),
) -> Result<(), OperatorError> {
    let pid = match pid {
        Some(pid) => pid,
        None => the_only_one()?,
    };
    let unreachable = |error: io::Error| {
        OperatorError::Unreachable(format!("process {pid} cannot be asked: {error}"))
    };
    let channel = Channel::to(&name_of(pid)).map_err(unreachable)?;
    let peer = PeerProcess::of(&channel).map_err(unreachable)?;
    if peer.pid != Some(pid) || !peer.is_trusted() {
        let reason = format!("another process answers in the place of process {pid}");
        return Err(OperatorError::Unreachable(reason));
    }
    channel.send(&Message::Upgrade { protocol: PROTOCOL }, &[]).map_err(unreachable)?;
    loop {
        match channel.receive(Some(PATIENCE)).map_err(unreachable)? {
            Some((Message::Progress { text }, _)) => show(&text),
            Some((Message::Ended { is_done: true, text }, _)) => {
                show(&text);
                break;
            }
            Some((Message::Ended { text: reason, .. } | Message::Refused { reason }, _)) => {
                return Err(OperatorError::Failed(format!("{reason}; process {pid} goes on")));
            }
            None => {
                let reason = format!("process {pid} ended without saying what came of it");
                return Err(OperatorError::Failed(reason));
            }
            Some(_) => {}
        }
    }
    if until_gone {
        while channel.receive(None).map_err(unreachable)?.is_some() {}
        show(&format!("process {pid} has ended"));
    }
    Ok(())
}

fn the_only_one() -> Result<i32, OperatorError> {
    let running = running().map_err(|error| OperatorError::Unreachable(error.to_string()))?;
    match running.as_slice() {
        [only] => Ok(*only),
        [] => Err(OperatorError::Unreachable("no shellac is running here".to_owned())),
        several => {
            let pids: Vec<String> = several.iter().map(ToString::to_string).collect();
            let reason = format!("several are running: name one with --pid ({})", pids.join(", "));
            Err(OperatorError::Unreachable(reason))
        }
    }
}

/// Longer than all that a process waits for during an upgrade.
const PATIENCE: Duration = Duration::from_mins(5);
