//! The old process: hands over, and goes on where the new one fails.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::{Channel, DESCRIPTORS_MAX};
use super::message::{Message, PROTOCOL};
use crate::app::{App, Pages};
use crate::listener::sockets::{DuplicateSockets, OpenSockets};
use crate::origins::ServerOrder;
use crate::purge::{SUCCESSOR_PATIENCE, Successor};

/// The parts that serve in this process.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) app: Arc<App>,
    pub(super) sockets: Arc<OpenSockets>,
    pub(super) runtime: Handle,
    /// Cancelled when it is to leave.
    pub(super) over: CancellationToken,
}

/// The end of a hand-over that did not succeed.
#[derive(Debug)]
pub(super) enum HandOverError {
    /// Nothing has changed here.
    Unchanged(String),
    /// The store was let go of already: it has to be opened again, and these sockets served.
    Released(String, DuplicateSockets),
}

/// Why the new process does not serve.
#[derive(Debug)]
struct SuccessorFailure {
    reason: String,
    /// It has not closed its end of the channel, as the end of a process does.
    may_live: bool,
}

impl SuccessorFailure {
    const fn of_living(reason: String) -> Self {
        Self { reason, may_live: true }
    }
}

/// Hands everything over to the process at the other end. Blocks until that one serves.
pub(super) fn hand_over(
    channel: Channel,
    pid: i32,
    serving: &Serving,
) -> Result<(), HandOverError> {
    let unchanged = |error: io::Error| HandOverError::Unchanged(error.to_string());
    greet(&channel, &serving.sockets).map_err(unchanged)?;
    match answer(&channel, START_PATIENCE) {
        Ok(Message::Take) => {}
        Ok(other) => return Err(HandOverError::Unchanged(format!("it says {other:?}"))),
        Err(failure) => return Err(HandOverError::Unchanged(failure.reason)),
    }
    let addresses = serving.sockets.duplicate().map_err(unchanged)?;
    let usage = serving.app.store.usage();
    tracing::info!(pid, "handing everything over");
    {
        let _context = serving.runtime.enter();
        serving.app.hand_over();
    }
    let pages = serving.app.pages.write().unwrap_or_else(|error| {
        tracing::warn!(%error, "no pages are handed over");
        None
    });
    let released = release(&channel, pages.as_ref(), serving.app.origins().orders());
    let served = released.map_err(|error| SuccessorFailure::of_living(error.to_string()));
    let has_file = serving.app.file_usage().is_some();
    let patience = if has_file { OPEN_PATIENCE } else { BEGIN_PATIENCE };
    let served = served.and_then(|()| match answer(&channel, patience)? {
        Message::Serving => Ok(()),
        other => Err(SuccessorFailure::of_living(format!("it says {other:?}"))),
    });
    if let Err(SuccessorFailure { reason, may_live }) = served {
        if may_live {
            end(&channel, pid);
        }
        return Err(HandOverError::Released(reason, addresses));
    }
    if !has_file && usage.objects > 0 {
        let handed_over = pages.map_or(0, |pages| pages.notes.count);
        let (objects, bytes) = (usage.objects, usage.bytes);
        tracing::warn!(
            objects,
            bytes,
            handed_over,
            "what was stored in memory is lost with this process, but for the pages that were handed over"
        );
    }
    let successor: Arc<dyn Successor> = Arc::new(SuccessorLink::new(channel, SUCCESSOR_PATIENCE));
    serving.app.executor.succeed_with(&successor);
    Ok(())
}

fn greet(channel: &Channel, sockets: &OpenSockets) -> io::Result<()> {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    channel.send(&Message::Welcome { protocol: PROTOCOL, program }, &[])?;
    for (place, (is_admin, address)) in sockets.addresses().into_iter().enumerate() {
        for some in address.sockets().chunks(DESCRIPTORS_MAX) {
            let configured = address.configured.to_string();
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|it| it.as_fd()).collect();
            channel.send(&Message::Address { is_admin, place, configured }, &descriptors)?;
        }
    }
    channel.send(&Message::Complete, &[])
}

fn release(channel: &Channel, pages: Option<&Pages>, orders: Vec<ServerOrder>) -> io::Result<()> {
    let notes = pages.map(|pages| pages.notes.clone());
    let content: Vec<BorrowedFd<'_>> = pages.iter().map(|pages| pages.content.as_fd()).collect();
    channel.send(&Message::Released { pages: notes, orders }, &content)
}

fn answer(channel: &Channel, patience: Duration) -> Result<Message, SuccessorFailure> {
    match channel.receive(Some(patience)) {
        Ok(Some((Message::Failed { reason }, _))) => Err(SuccessorFailure::of_living(reason)),
        Ok(Some((message, _))) => Ok(message),
        Ok(None) => Err(SuccessorFailure { reason: "it has ended".to_owned(), may_live: false }),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(SuccessorFailure::of_living(format!("it has said nothing for {patience:?}")))
        }
        Err(error) => Err(SuccessorFailure::of_living(error.to_string())),
    }
}

/// Ends a process that has asked for the store and does not serve: two must not write there.
fn end(channel: &Channel, pid: i32) {
    if let Some(process) = Pid::from_raw(pid)
        && let Err(error) = kill_process(process, Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        tracing::error!(%error, pid, "cannot end the new process");
    }
    // Its end of the channel closes with it.
    while let Ok(Some(_)) = channel.receive(Some(END_PATIENCE)) {}
}

/// The way to the process that has taken over.
#[derive(Debug)]
struct SuccessorLink {
    /// With the number of the last purge.
    channel: Mutex<(Channel, u64)>,
    patience: Duration,
}

impl SuccessorLink {
    const fn new(channel: Channel, patience: Duration) -> Self {
        Self { channel: Mutex::new((channel, 0)), patience }
    }
}

impl Successor for SuccessorLink {
    fn invalidate(&self, uris: &[Uri], host: &[u8], groups: &[String]) -> io::Result<()> {
        let uris = uris.iter().map(ToString::to_string).collect();
        let mut channel = self.channel.lock();
        let (channel, last) = &mut *channel;
        *last += 1;
        let purge =
            Message::Purge { number: *last, uris, host: host.to_vec(), groups: groups.to_vec() };
        channel.send(&purge, &[])?;
        let begun = Instant::now();
        loop {
            let left = self.patience.saturating_sub(begun.elapsed()).max(PATIENCE_MIN);
            match channel.receive(Some(left))? {
                Some((Message::Purged { number }, _)) if number == *last => return Ok(()),
                // The answer to a purge that was no longer waited for.
                Some((Message::Purged { .. }, _)) => {}
                _ => return Err(io::Error::other("the process that took over does not answer")),
            }
        }
    }
}

/// For the new process to bind what is new, and to check what can be checked.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// For the new process to open a store in a file. Clients wait in the sockets' queues meanwhile.
const OPEN_PATIENCE: Duration = Duration::from_secs(90);
/// The same without a file.
const BEGIN_PATIENCE: Duration = Duration::from_secs(15);
const END_PATIENCE: Duration = Duration::from_secs(10);
/// A socket takes 0 as no limit.
const PATIENCE_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_to_one_purge_does_not_answer_the_next() {
        let (ours, theirs) = Channel::pair().unwrap();
        let link = SuccessorLink::new(ours, Duration::from_millis(200));
        let purge = || link.invalidate(&[], b"a", &[]);
        let answer = |number| theirs.send(&Message::Purged { number }, &[]).unwrap();

        assert_eq!(purge().unwrap_err().kind(), io::ErrorKind::TimedOut);
        answer(1);
        assert_eq!(purge().unwrap_err().kind(), io::ErrorKind::TimedOut);
        answer(2);
        answer(3);
        assert!(purge().is_ok());
    }
}
