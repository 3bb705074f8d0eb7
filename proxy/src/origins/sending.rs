//! `Sending`: the progress of the request on one connection. The connection notes it, time-outs
//! read it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::OriginError;
use super::request_body::Upload;

#[derive(Debug, Default)]
pub(super) struct Sending {
    state: Mutex<SendState>,
    is_answered: AtomicBool,
}

#[derive(Debug, Default)]
struct SendState {
    upload: Upload,
    /// `true` for HEAD; `None` once the first byte is written.
    announced: Option<bool>,
    bytes: u64,
    /// The moment since which the server takes no bytes.
    blocked: Option<Instant>,
    writer: Option<Waker>,
    sent: Option<Instant>,
    is_refused: bool,
    /// Set when the exchange has ended. The rest of the request is not sent.
    is_abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Writing,
    Blocked(Instant),
    Sent(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendProgress {
    Nothing,
    Sent,
    Answered,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SendingLimits {
    /// The time for the server to take more of the request.
    pub(super) send_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    /// The end of the exchange, even if it makes progress.
    pub(super) deadline: Option<Instant>,
}

impl SendingLimits {
    /// Returns the time of the next check, or the limit that was reached. Pauses of the client are
    /// limited in [`super::request_body`].
    pub(super) fn due(&self, phase: Phase, now: Instant) -> Result<Instant, OriginError> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(OriginError::TotalTimeout);
        }
        // A limit that begins meanwhile is not due before then.
        let look_again = now + self.send_timeout.min(self.first_byte_timeout);
        let (due, error) = match phase {
            Phase::Writing => (look_again, OriginError::SendTimeout),
            Phase::Blocked(since) => (since + self.send_timeout, OriginError::SendTimeout),
            Phase::Sent(at) => (at + self.first_byte_timeout, OriginError::HeadTimeout),
        };
        if now >= due {
            return Err(error);
        }
        let due = due.min(look_again);
        Ok(self.deadline.map_or(due, |deadline| deadline.min(due)))
    }
}

impl SendState {
    fn hold_up(&mut self, cx: &Context<'_>) {
        self.blocked.get_or_insert_with(Instant::now);
        self.writer = Some(cx.waker().clone());
    }
}

impl Sending {
    pub(super) fn begin(&self, is_head: bool, upload: Upload) {
        self.is_answered.store(false, Ordering::Relaxed);
        *self.state.lock() = SendState { upload, announced: Some(is_head), ..SendState::default() };
    }

    /// Notes that bytes are about to be written. At the beginning of a request, returns whether it
    /// is HEAD.
    pub(super) fn on_write(&self) -> Option<bool> {
        self.state.lock().announced.take()
    }

    /// Notes the result of a write.
    ///
    /// A server that has answered early may refuse the rest of the request. Its answer is still to
    /// be read (RFC 9112 §9.5): the write is reported as done, so that the connection goes on to
    /// read.
    pub(super) fn on_written(
        &self,
        written: Poll<io::Result<usize>>,
        length: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        match written {
            Poll::Ready(Ok(count)) => {
                state.bytes += count as u64;
                state.blocked = None;
            }
            Poll::Pending => state.hold_up(cx),
            Poll::Ready(Err(_)) => {
                state.is_refused = true;
                return Poll::Ready(Ok(length));
            }
        }
        written
    }

    /// Notes that bytes which were written are held up: TLS takes more than the socket.
    pub(super) fn on_held_up(&self, cx: &Context<'_>) {
        self.state.lock().hold_up(cx);
    }

    pub(super) fn on_flushed(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        state.blocked = None;
        if state.bytes == 0 || state.sent.is_some() || state.is_refused {
            return;
        }
        if state.upload.is_done() {
            state.sent = Some(Instant::now());
            state.writer = None;
        } else if !state.writer.as_ref().is_some_and(|writer| writer.will_wake(cx.waker())) {
            state.writer = Some(cx.waker().clone());
        }
    }

    pub(super) fn on_read(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        let state = self.state.lock();
        match (state.sent, state.blocked) {
            (Some(sent), _) => Phase::Sent(sent),
            (None, Some(blocked)) => Phase::Blocked(blocked),
            (None, None) => Phase::Writing,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state.lock().sent.is_some()
    }

    pub(super) fn extent(&self) -> SendProgress {
        if self.is_answered.load(Ordering::Relaxed) {
            SendProgress::Answered
        } else if self.state.lock().bytes > 0 {
            SendProgress::Sent
        } else {
            SendProgress::Nothing
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.state.lock().is_refused
    }

    /// Ends the exchange: the rest of the request is not sent.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_abandoned = true;
        state.upload.abandon();
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.state.lock().is_abandoned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn written(sending: &Sending, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        sending.on_written(written, 100, &Context::from_waker(Waker::noop()))
    }

    fn flush(sending: &Sending) {
        sending.on_flushed(&Context::from_waker(Waker::noop()));
    }

    #[test]
    fn the_first_byte_is_waited_for_from_the_end_of_the_request() {
        let start = Instant::now();
        let limits = SendingLimits {
            send_timeout: 60 * SECOND,
            first_byte_timeout: 15 * SECOND,
            deadline: None,
        };
        let due = |phase, seconds: u32| limits.due(phase, start + seconds * SECOND);
        let at = |seconds: u32| start + seconds * SECOND;

        assert_eq!(due(Phase::Writing, 1000).unwrap(), at(1015));
        assert_eq!(due(Phase::Sent(at(1000)), 1001).unwrap(), at(1015));
        assert!(matches!(due(Phase::Sent(at(1000)), 1015), Err(OriginError::HeadTimeout)));
        assert_eq!(
            due(Phase::Blocked(at(1000)), 1001).unwrap(),
            at(1016),
            "it may be sent by then"
        );
        assert_eq!(due(Phase::Blocked(at(1000)), 1050).unwrap(), at(1060));
        assert!(matches!(due(Phase::Blocked(at(1000)), 1060), Err(OriginError::SendTimeout)));
    }

    #[test]
    fn a_total_limit_that_was_asked_for_comes_first() {
        let start = Instant::now();
        let limits = SendingLimits {
            send_timeout: 60 * SECOND,
            first_byte_timeout: 60 * SECOND,
            deadline: Some(start + 5 * SECOND),
        };

        assert_eq!(limits.due(Phase::Writing, start).unwrap(), start + 5 * SECOND);
        let late = limits.due(Phase::Sent(start), start + 5 * SECOND);
        assert!(matches!(late, Err(OriginError::TotalTimeout)));
    }

    #[test]
    fn a_request_is_sent_when_all_of_it_was_written_and_flushed() {
        let sending = Sending::default();
        flush(&sending);
        assert!(!sending.is_complete(), "no request was begun");

        sending.begin(true, Upload::default());
        flush(&sending);
        assert!(!sending.is_complete());
        assert_eq!(sending.extent(), SendProgress::Nothing);
        assert_eq!(sending.on_write(), Some(true));
        assert!(written(&sending, Poll::Pending).is_pending());
        assert!(matches!(sending.phase(), Phase::Blocked(_)));
        assert!(written(&sending, Poll::Ready(Ok(100))).is_ready());
        assert_eq!(sending.phase(), Phase::Writing);
        assert_eq!(sending.on_write(), None);
        flush(&sending);
        assert!(sending.is_complete());
        assert_eq!(sending.extent(), SendProgress::Sent);
        sending.on_read();
        assert_eq!(sending.extent(), SendProgress::Answered);

        sending.begin(false, Upload::default());
        assert!(!sending.is_complete());
    }

    #[test]
    fn a_refused_request_is_never_complete_and_its_answer_is_read() {
        let sending = Sending::default();
        sending.begin(false, Upload::default());
        let refused = written(&sending, Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())));
        assert!(matches!(refused, Poll::Ready(Ok(100))));
        flush(&sending);

        assert!(sending.is_refused() && !sending.is_complete());
        assert_eq!(sending.extent(), SendProgress::Nothing);
    }
}
