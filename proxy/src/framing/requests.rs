//! The requests on one client connection: a head goes on when it is complete and sound, content as
//! it arrives.

use super::chunked::Chunked;
use super::content::BodyFraming;
use super::head::{Facts, HeadReader, Side};
use super::{HeadLimits, Violation};

#[derive(Debug)]
pub struct Requests {
    limits: HeadLimits,
    state: RequestState,
    heads: u64,
}

#[derive(Debug)]
enum RequestState {
    Head(HeadReader),
    Content {
        content: BodyFraming,
        then: Then,
    },
    /// A request to switch protocols is being answered: what comes next depends on the answer.
    Undecided,
    Opaque,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    NextHead,
    Undecided,
}

/// The part of the bytes that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Bytes from the beginning.
    pub bytes: usize,
    /// The violation that stops all later bytes.
    pub refusal: Option<RequestViolation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestViolation {
    /// A request of which nothing went on: the one after so many others.
    Request(u64, Violation),
    /// The content of a request whose head went on.
    Content(Violation),
}

impl Requests {
    /// Begins before the first request.
    pub const fn new(limits: HeadLimits) -> Self {
        Self { limits, state: RequestState::Head(HeadReader::new(Side::Request)), heads: 0 }
    }

    /// Reads on. `bytes` are all that did not go on yet.
    pub fn pass(&mut self, bytes: &[u8]) -> Passed {
        let mut at = 0;
        let mut begun = None; // where a request begins whose head is among these bytes
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match self.step(rest) {
                Ok(ReadStep::Head(length)) => {
                    begun = Some(at);
                    at += length;
                }
                Ok(ReadStep::Content(length)) => at += length,
                Ok(ReadStep::Wait) => return Passed { bytes: at, refusal: None },
                Err(violation) => return self.refuse(violation, at, begun),
            }
        }
    }

    fn step(&mut self, rest: &[u8]) -> Result<ReadStep, Violation> {
        match &mut self.state {
            _ if rest.is_empty() => Ok(ReadStep::Wait),
            RequestState::Head(reader) => match reader.read(rest, &self.limits)? {
                Some((length, facts)) => self.begin(rest, length, facts),
                None => Ok(ReadStep::Wait),
            },
            RequestState::Content { content, then } => {
                let taken = content.take(rest)?;
                if content.is_done() {
                    self.state = (*then).into();
                }
                Ok(ReadStep::Content(taken))
            }
            RequestState::Undecided => Ok(ReadStep::Wait),
            RequestState::Opaque => Ok(ReadStep::Content(rest.len())),
        }
    }

    /// A complete head goes on, chunked content not without the size of its first chunk: what is
    /// broken from the start never reaches an origin. Where the client waits for a 100, nor do we
    /// wait for it.
    fn begin(&mut self, rest: &[u8], length: usize, facts: Facts) -> Result<ReadStep, Violation> {
        if facts.is_chunked && !facts.has_expect {
            let mut first = Chunked::default();
            first.take(rest.get(length..).unwrap_or_default())?;
            if !first.has_begun() {
                // The head is read again, with what comes: it is sound, and the limit of its length
                // is kept by then.
                self.state = RequestState::Head(HeadReader::new(Side::Request));
                return Ok(ReadStep::Wait);
            }
        }
        self.heads += 1;
        let has_content = facts.is_chunked || facts.length.is_some_and(|length| length > 0);
        let may_switch = facts.has_websocket && !has_content;
        let then = if may_switch { Then::Undecided } else { Then::NextHead };
        self.state = match (facts.is_chunked, facts.length) {
            (true, _) => {
                RequestState::Content { content: BodyFraming::Chunked(Chunked::default()), then }
            }
            (false, Some(1..)) => RequestState::Content {
                content: BodyFraming::Sized(facts.length.unwrap_or_default()),
                then,
            },
            (false, None | Some(0)) => then.into(),
        };
        Ok(ReadStep::Head(length))
    }

    /// A request whose content turns out to be broken at once is refused as a whole, with what went
    /// before it passed.
    fn refuse(&self, violation: Violation, at: usize, begun: Option<usize>) -> Passed {
        let is_head = matches!(self.state, RequestState::Head(_));
        let (bytes, refusal) = match begun {
            _ if is_head => (at, RequestViolation::Request(self.heads, violation)),
            Some(begun) => (begun, RequestViolation::Request(self.heads - 1, violation)),
            None => (at, RequestViolation::Content(violation)),
        };
        Passed { bytes, refusal: Some(refusal) }
    }

    /// The answer to a request to switch protocols is there: from now on another protocol is
    /// spoken, or not.
    pub fn decide(&mut self, is_switched: bool) {
        self.state = if is_switched { RequestState::Opaque } else { Then::NextHead.into() };
    }

    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Returns whether the content of the last request is not complete.
    pub const fn is_within_content(&self) -> bool {
        matches!(self.state, RequestState::Content { .. })
    }

    /// Returns whether nothing goes on until [`Requests::decide`] is called.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.state, RequestState::Undecided)
    }
}

impl From<Then> for RequestState {
    fn from(then: Then) -> Self {
        match then {
            Then::NextHead => Self::Head(HeadReader::new(Side::Request)),
            Then::Undecided => Self::Undecided,
        }
    }
}

enum ReadStep {
    Head(usize),
    Content(usize),
    Wait,
}
