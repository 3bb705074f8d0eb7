//! `Streams`: which streams of an HTTP/2 connection wait for their client, by the windows that it
//! has granted (RFC 9113 §5.2).
//!
//! hyper does not say that a stream makes no progress, and content that it has handed over to its
//! library is out of its reach. So the windows are kept here as well, from the frames that pass. A
//! stream that has to end is reset towards both sides: the client is told, and the library lets go
//! of what it holds.

use std::io::IoSlice;
use std::time::Duration;

use crate::framing::frames::{Frames, H2Frame, reset};
use process::timestamp::Timestamp;

#[derive(Debug)]
pub(super) struct Streams {
    incoming: Frames,
    outgoing: Frames,
    /// Those that are open, in the order of their numbers.
    open: Vec<Stream>,
    highest: u32,
    initial_window: i64,
    window: i64,
    /// The time at which the connection's window was used up, or the last time that it was moved.
    window_moved: Timestamp,
    /// Resets that the client is still to be sent.
    to_client: Vec<u8>,
    /// Resets that the library is still to be shown, as if the client had sent them.
    to_library: Vec<u8>,
    /// The time at which the first of them was written.
    reset_at: Timestamp,
}

#[derive(Debug)]
struct Stream {
    number: u32,
    window: i64,
    is_answered: bool,
    answered: Timestamp,
    /// The time at which the last content was sent.
    moved: Timestamp,
    /// Bytes of content that were sent.
    sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// None waits for its client.
    Flowing,
    /// One does, and its time is up after this.
    Waiting(Duration),
    Reset(usize),
    /// A stream cannot be reset: the connection stands still in the middle of a frame.
    Stuck,
}

impl Streams {
    pub(super) const fn new() -> Self {
        Self {
            incoming: Frames::of_client(),
            outgoing: Frames::of_server(),
            open: Vec::new(),
            highest: 0,
            initial_window: WINDOW,
            window: WINDOW,
            window_moved: Timestamp::from_millis(0),
            to_client: Vec::new(),
            to_library: Vec::new(),
            reset_at: Timestamp::from_millis(0),
        }
    }

    pub(super) const fn is_any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Bytes came from the client.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        let Self { incoming, open, highest, initial_window, window, .. } = self;
        incoming.read(bytes, &mut |frame| match frame {
            H2Frame::Headers { stream, .. } if stream > *highest && open.len() < OPEN_MAX => {
                *highest = stream;
                open.push(Stream::new(stream, *initial_window));
            }
            H2Frame::Reset { stream } => remove(open, stream),
            H2Frame::WindowUpdate { stream: 0, increment } => *window += i64::from(increment),
            H2Frame::WindowUpdate { stream, increment } => {
                if let Some(stream) = find(open, stream) {
                    stream.window += i64::from(increment);
                }
            }
            H2Frame::InitialWindow(new) => {
                let change = i64::from(new) - *initial_window;
                *initial_window = i64::from(new);
                for stream in open.iter_mut() {
                    stream.window += change;
                }
            }
            H2Frame::Headers { .. } | H2Frame::Data { .. } => {}
        });
    }

    /// Bytes went to the client. Returns whether a stream that they were of waits for it now.
    pub(super) fn sent(&mut self, buffers: &[IoSlice<'_>], count: usize, now: Timestamp) -> bool {
        let Self { outgoing, open, window, window_moved, .. } = self;
        let mut is_waiting = false;
        let mut show = |frame| match frame {
            H2Frame::Headers { stream, is_last: true }
            | H2Frame::Data { stream, length: 0, is_last: true }
            | H2Frame::Reset { stream } => remove(open, stream),
            H2Frame::Headers { stream, is_last: false } => {
                if let Some(stream) = find(open, stream) {
                    stream.is_answered = true;
                    (stream.answered, stream.moved) = (now, now);
                    is_waiting |= stream.window <= 0 || *window <= 0;
                }
            }
            H2Frame::Data { stream: number, length, is_last } => {
                *window -= i64::from(length);
                *window_moved = now;
                if is_last {
                    return remove(open, number);
                }
                if let Some(stream) = find(open, number) {
                    stream.window -= i64::from(length);
                    stream.moved = now;
                    stream.sent += u64::from(length);
                    is_waiting |= stream.window <= 0;
                }
                is_waiting |= *window <= 0;
            }
            H2Frame::WindowUpdate { .. } | H2Frame::InitialWindow(_) => {}
        };
        let mut left = count;
        for buffer in buffers {
            let bytes = buffer.get(..left.min(buffer.len())).unwrap_or_default();
            outgoing.read(bytes, &mut show);
            left -= bytes.len();
        }
        is_waiting
    }

    /// Resets the streams that have waited for their client as long as it may take nothing.
    pub(super) fn look(&mut self, now: Timestamp, limit: Duration, frame_limit: Duration) -> Look {
        if self.has_resets() && now.since(self.reset_at) >= frame_limit {
            return Look::Stuck;
        }
        let mut longest = None;
        let mut overdue = Vec::new();
        for stream in self.open.iter().filter(|stream| self.is_waiting(stream)) {
            let waited = now.since(self.moved(stream));
            if waited >= limit {
                overdue.push(stream.number);
            } else {
                longest = longest.max(Some(waited));
            }
        }
        for number in &overdue {
            self.reset(*number, now);
        }
        match longest {
            _ if !overdue.is_empty() => Look::Reset(overdue.len()),
            _ if self.has_resets() => Look::Waiting(frame_limit),
            Some(waited) => Look::Waiting(limit.saturating_sub(waited)),
            None => Look::Flowing,
        }
    }

    /// The streams that wait for their client, and the bytes a second that each has been sent since
    /// it was answered.
    pub(super) fn waiting(&self, now: Timestamp) -> impl Iterator<Item = (u32, u64)> {
        self.open.iter().filter(|stream| self.is_waiting(stream)).map(move |stream| {
            let millis = now.since(stream.answered).as_millis();
            (stream.number, rate(stream.sent, millis))
        })
    }

    /// Resets a stream, unless it has ended.
    pub(super) fn reset(&mut self, number: u32, now: Timestamp) {
        if find(&mut self.open, number).is_none() {
            return;
        }
        remove(&mut self.open, number);
        if !self.has_resets() {
            self.reset_at = now;
        }
        self.to_client.extend_from_slice(&reset(number));
        self.to_library.extend_from_slice(&reset(number));
    }

    /// Returns the bytes to be sent to the client before anything else.
    pub(super) fn to_client(&self) -> &[u8] {
        if self.outgoing.is_between_frames() { &self.to_client } else { &[] }
    }

    pub(super) fn sent_to_client(&mut self, count: usize) {
        self.to_client.drain(..count.min(self.to_client.len()));
    }

    /// Takes up to `most` bytes that the library reads before anything else.
    pub(super) fn take_for_library(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.to_library.is_empty() || !self.incoming.is_between_frames() {
            return None;
        }
        Some(self.to_library.drain(..most.min(self.to_library.len())).collect())
    }

    fn has_resets(&self) -> bool {
        !self.to_client.is_empty() || !self.to_library.is_empty()
    }

    const fn is_waiting(&self, stream: &Stream) -> bool {
        stream.is_answered && (stream.window <= 0 || self.window <= 0)
    }

    /// The time at which it last moved: one that only the connection's window holds back, has
    /// waited since that is used up.
    fn moved(&self, stream: &Stream) -> Timestamp {
        if stream.window > 0 { stream.moved.max(self.window_moved) } else { stream.moved }
    }
}

impl Stream {
    const fn new(number: u32, window: i64) -> Self {
        let never = Timestamp::from_millis(0);
        Self { number, window, is_answered: false, answered: never, moved: never, sent: 0 }
    }
}

/// Bytes a second.
pub(super) fn rate(bytes: u64, millis: u128) -> u64 {
    let millis = u64::try_from(millis).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1000) / millis
}

fn find(open: &mut [Stream], number: u32) -> Option<&mut Stream> {
    let place = open.binary_search_by_key(&number, |stream| stream.number).ok()?;
    open.get_mut(place)
}

fn remove(open: &mut Vec<Stream>, number: u32) {
    if let Ok(place) = open.binary_search_by_key(&number, |stream| stream.number) {
        open.remove(place);
    }
}

/// With which windows begin (RFC 9113 §6.9.2).
const WINDOW: i64 = 65_535;
/// More than may be open at once: those that are refused are here until the refusal is sent.
const OPEN_MAX: usize = 1024;
