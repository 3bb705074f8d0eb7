//! The responses on one connection to an origin: every byte belongs to the response to a request that was sent, or to none.

use super::chunked::Chunked;
use super::content::Content;
use super::head::{Facts, HeadReader, Side};
use super::{Limits, Violation};

/// Follows the responses of one connection.
#[derive(Debug)]
pub struct Responses {
    limits: Limits,
    state: State,
    /// The request that is being answered is HEAD: its response has no content.
    is_to_head: bool,
}

#[derive(Debug)]
enum State {
    /// No request waits for a response.
    Idle,
    Head(HeadReader),
    Content(Content),
    /// Another protocol is spoken.
    Opaque,
}

impl Responses {
    /// Begins before the first request.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, state: State::Idle, is_to_head: false }
    }

    /// A request is being sent. An error: the response to the one before is not complete.
    pub fn expect(&mut self, is_to_head: bool) -> Result<(), Violation> {
        if !matches!(self.state, State::Idle) {
            return Err(Violation::Surplus);
        }
        self.state = State::Head(HeadReader::new(Side::Response));
        self.is_to_head = is_to_head;
        Ok(())
    }

    /// Returns whether another protocol is spoken.
    pub const fn is_opaque(&self) -> bool {
        matches!(self.state, State::Opaque)
    }

    /// Reads on and returns how many bytes may go on, and what is wrong with those after them. `bytes` are all that did not go
    /// on yet.
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
            State::Idle => Err(Violation::Surplus),
            State::Opaque => Ok(rest.len()),
            State::Head(reader) => {
                let Some((length, facts)) = reader.read(rest, &self.limits)? else { return Ok(0) };
                self.state = self.after(facts);
                Ok(length)
            }
            State::Content(content) => {
                let taken = content.take(rest)?;
                if content.is_done() {
                    self.state = State::Idle;
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
    fn after(&self, facts: Facts) -> State {
        match (facts.status, facts.length) {
            (101, _) => State::Opaque,
            (100..=199, _) => State::Head(HeadReader::new(Side::Response)),
            (204 | 304, _) => State::Idle,
            _ if self.is_to_head => State::Idle,
            _ if facts.is_chunked => State::Content(Content::Chunked(Chunked::default())),
            (_, Some(0)) => State::Idle,
            (_, Some(length)) => State::Content(Content::Sized(length)),
            (_, None) => State::Content(Content::UntilClose),
        }
    }
}
