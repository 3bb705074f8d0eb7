//! The responses on one connection to an origin: every byte belongs to the response to a request
//! that was sent, or to none.

use super::chunked::Chunked;
use super::content::BodyFraming;
use super::head::{Facts, HeadReader, Side};
use super::{HeadLimits, Violation};

#[derive(Debug)]
pub struct Responses {
    limits: HeadLimits,
    state: ResponseState,
    /// The request that is being answered is HEAD: its response has no content.
    is_to_head: bool,
}

#[derive(Debug)]
enum ResponseState {
    /// No request waits for a response.
    Idle,
    Head(HeadReader),
    Content(BodyFraming),
    Opaque,
}

impl Responses {
    /// Begins before the first request.
    pub const fn new(limits: HeadLimits) -> Self {
        Self { limits, state: ResponseState::Idle, is_to_head: false }
    }

    /// A request is being sent. An error: the response to the one before is not complete.
    pub fn expect(&mut self, is_to_head: bool) -> Result<(), Violation> {
        if !matches!(self.state, ResponseState::Idle) {
            return Err(Violation::Surplus);
        }
        self.state = ResponseState::Head(HeadReader::new(Side::Response));
        self.is_to_head = is_to_head;
        Ok(())
    }

    pub const fn is_opaque(&self) -> bool {
        matches!(self.state, ResponseState::Opaque)
    }

    /// Reads on and returns how many bytes may go on, and what is wrong with those after them.
    /// `bytes` are all that did not go on yet.
    pub fn pass(&mut self, bytes: &[u8]) -> (usize, Option<Violation>) {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return (at, None);
            }
            match self.step(rest) {
                Ok(0) => return (at, None),
                Ok(taken) => at += taken,
                Err(violation) => return (at, Some(violation)),
            }
        }
    }

    fn step(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        match &mut self.state {
            ResponseState::Idle => Err(Violation::Surplus),
            ResponseState::Opaque => Ok(rest.len()),
            ResponseState::Head(reader) => {
                let Some((length, facts)) = reader.read(rest, &self.limits)? else { return Ok(0) };
                self.state = self.after(facts);
                Ok(length)
            }
            ResponseState::Content(content) => {
                let taken = content.take(rest)?;
                if content.is_done() {
                    self.state = ResponseState::Idle;
                }
                Ok(taken)
            }
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9112#section-6.3
    //# 1.  Any response to a HEAD request and any response with a 1xx
    //#     (Informational), 204 (No Content), or 304 (Not Modified) status
    //#     code is always terminated by the first empty line after the
    //#     header fields, regardless of the header fields present in the
    //#     message, and thus cannot contain a message body or trailer
    //#     section.
    fn after(&self, facts: Facts) -> ResponseState {
        match (facts.status, facts.length) {
            (101, _) => ResponseState::Opaque,
            (100..=199, _) => ResponseState::Head(HeadReader::new(Side::Response)),
            (204 | 304, _) => ResponseState::Idle,
            _ if self.is_to_head => ResponseState::Idle,
            _ if facts.is_chunked => {
                ResponseState::Content(BodyFraming::Chunked(Chunked::default()))
            }
            (_, Some(0)) => ResponseState::Idle,
            (_, Some(length)) => ResponseState::Content(BodyFraming::Sized(length)),
            (_, None) => ResponseState::Content(BodyFraming::UntilClose),
        }
    }
}
