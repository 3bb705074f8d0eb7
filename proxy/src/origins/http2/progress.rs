//! `StreamProgress`: how far the request on one stream has got. The upload and the wire note it,
//! time-outs read it.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::origins::error::OriginError;
use crate::origins::sending::{Phase, SendProgress};

#[derive(Debug, Default)]
pub(super) struct StreamProgress(Mutex<StreamSendState>);

#[derive(Debug, Default)]
struct StreamSendState {
    /// The head was written to the socket.
    is_begun: bool,
    is_answered: bool,
    /// The moment at which the library had all of it.
    given: Option<Instant>,
    /// The moment at which its last frame was written.
    sent: Option<Instant>,
    /// The moment since which the server grants no window.
    no_window: Option<Instant>,
    /// The reason for which the rest of the request is not sent.
    failure: Option<OriginError>,
}

impl StreamProgress {
    pub(super) fn note_begun(&self) {
        self.0.lock().is_begun = true;
    }

    pub(super) fn note_sent(&self) {
        self.0.lock().sent.get_or_insert_with(Instant::now);
    }

    pub(super) fn note_given(&self) {
        let mut state = self.0.lock();
        state.no_window = None;
        state.given.get_or_insert_with(Instant::now);
    }

    /// Returns the moment since which the server grants no window.
    pub(super) fn note_no_window(&self) -> Instant {
        *self.0.lock().no_window.get_or_insert_with(Instant::now)
    }

    pub(super) fn note_window(&self) {
        self.0.lock().no_window = None;
    }

    pub(super) fn note_answered(&self) {
        self.0.lock().is_answered = true;
    }

    pub(super) fn fail(&self, error: OriginError) {
        self.0.lock().failure = Some(error);
    }

    pub(super) fn failure(&self) -> Option<OriginError> {
        self.0.lock().failure.clone()
    }

    /// Returns what is waited for. `blocked` is the moment since which the socket takes no bytes.
    ///
    /// A request that the library has whole, and does not write, waits for the server: for the end
    /// of another stream, or for the socket.
    pub(super) fn phase(&self, blocked: Option<Instant>) -> Phase {
        let state = self.0.lock();
        if let Some(sent) = state.sent {
            return Phase::Sent(sent);
        }
        match state.no_window.or(state.given).or(blocked) {
            Some(since) => Phase::Blocked(since),
            None => Phase::Writing,
        }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.0.lock().sent.is_some()
    }

    pub(super) fn extent(&self) -> SendProgress {
        let state = self.0.lock();
        match (state.is_answered, state.is_begun) {
            (true, _) => SendProgress::Answered,
            (false, true) => SendProgress::Sent,
            (false, false) => SendProgress::Nothing,
        }
    }
}
