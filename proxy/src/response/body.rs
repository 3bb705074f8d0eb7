//! `ResponseBody`: the content of every response to a client, stored, arriving, or none.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::client::busy::Busy;
use crate::fetch::flight::{FlightPiece, FlightReader};
use crate::origins::{OriginBody, OriginError};
use crate::store::body::{Body, BodyReader, Chunk, CopyMode, DeferredBody, ReadError};

#[derive(Debug, Default)]
pub enum ResponseBody {
    /// No bytes.
    #[default]
    Empty,
    Whole(Chunk),
    Pieces(StoredPieces),
    Deferred(Box<DeferredContent>),
    Arriving(Box<ArrivingContent>),
}

/// Content that is read where it is stored, one window ahead of what is sent. The worker does
/// not wait for the device.
#[derive(Debug)]
pub struct DeferredContent {
    reader: Arc<dyn BodyReader>,
    at: u64,
    end: u64,
    mode: CopyMode,
    next: Option<JoinHandle<Result<Chunk, ReadError>>>,
}

/// Pieces of stored content that are still to be sent.
#[derive(Debug)]
pub struct StoredPieces {
    all: Arc<[Bytes]>,
    next: usize,
    left: u64,
}

/// Content that is still arriving, and the part of it that was asked for.
#[derive(Debug)]
pub struct ArrivingContent {
    source: ArrivingSource,
    /// Content that was stored meanwhile. It is sent first.
    stored: ResponseBody,
    skip: u64,
    /// Bytes still to send, if it is known.
    left: Option<u64>,
    /// Told once what came before it is on its way: hyper drops what it has not written yet.
    failure: Option<OriginError>,
    _busy: Busy,
}

#[derive(Debug)]
pub enum ArrivingSource {
    /// A fetch that others may share. The mode is for its content once that is stored.
    Flight(FlightReader, CopyMode),
    /// The origin, for this client only.
    Origin(OriginBody),
}

impl ResponseBody {
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(bytes.into()) }
    }

    pub fn stored(body: &Body, mode: CopyMode) -> Self {
        match body {
            Body::Empty => Self::Empty,
            Body::Whole(bytes) => Self::Whole(bytes.clone().into()),
            Body::Pieces { pieces, length } => {
                Self::Pieces(StoredPieces { all: Arc::clone(pieces), next: 0, left: *length })
            }
            Body::Deferred(body) => DeferredContent::of(body, 0..body.length(), mode),
        }
    }

    pub fn part(body: &Body, range: &Range<u64>, mode: CopyMode) -> Self {
        match body {
            Body::Deferred(body) => {
                DeferredContent::of(body, range.start..range.end.min(body.length()), mode)
            }
            body => Self::of_pieces(body.slices(range).collect()),
        }
    }

    /// Returns complete content, none of whose pieces is empty.
    pub fn of_pieces(pieces: Vec<Bytes>) -> Self {
        Self::stored(&Body::of_pieces(pieces), CopyMode::Copied)
    }

    /// Returns arriving content of this length, if it is known.
    pub fn arriving(source: ArrivingSource, length: Option<u64>, busy: Busy) -> Self {
        Self::Arriving(Box::new(ArrivingContent::new(source, 0, length, busy)))
    }

    pub fn arriving_part(source: ArrivingSource, range: &Range<u64>, busy: Busy) -> Self {
        let left = Some(range.end - range.start);
        Self::Arriving(Box::new(ArrivingContent::new(source, range.start, left, busy)))
    }
}

impl StoredPieces {
    fn take(&mut self) -> Option<Bytes> {
        let piece = self.all.get(self.next)?.clone();
        self.next += 1;
        self.left -= piece.len() as u64;
        Some(piece)
    }
}

impl DeferredContent {
    fn of(body: &Arc<dyn DeferredBody>, range: Range<u64>, mode: CopyMode) -> ResponseBody {
        if range.is_empty() {
            return ResponseBody::Empty;
        }
        if let Some(chunk) = body.at_once(&range, mode) {
            return ResponseBody::Whole(chunk);
        }
        let Range { start: at, end } = range;
        ResponseBody::Deferred(Box::new(Self {
            reader: Arc::clone(body).open(),
            at,
            end,
            mode,
            next: None,
        }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Chunk>, OriginError>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.poll_window(cx)) {
            Ok(window) => {
                self.at += window.remaining() as u64;
                self.read_ahead();
                Some(Ok(Frame::data(window)))
            }
            Err(error) => {
                tracing::debug!(%error, "stored content breaks off");
                Some(Err(OriginError::Abandoned))
            }
        })
    }

    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Chunk>> {
        if self.next.is_none()
            && let Some(window) = self.reader.window_at_once(self.at, self.end, self.mode)
        {
            return Poll::Ready(Ok(window));
        }
        let mut next = self.next.take().unwrap_or_else(|| self.read_on());
        let Poll::Ready(read) = Pin::new(&mut next).poll(cx) else {
            self.next = Some(next);
            return Poll::Pending;
        };
        Poll::Ready(read.map_err(io::Error::from).and_then(|read| read.map_err(io::Error::other)))
    }

    /// Starts to read the next window while this one is sent.
    fn read_ahead(&mut self) {
        if self.at < self.end && !self.reader.is_at_hand(self.at, self.end, self.mode) {
            self.next = Some(self.read_on());
        }
    }

    fn read_on(&self) -> JoinHandle<Result<Chunk, ReadError>> {
        let (reader, mode) = (Arc::clone(&self.reader), self.mode);
        let (at, end) = (self.at, self.end);
        tokio::task::spawn_blocking(move || reader.window(at, end, mode))
    }
}

impl ArrivingContent {
    const fn new(source: ArrivingSource, skip: u64, left: Option<u64>, busy: Busy) -> Self {
        Self { source, stored: ResponseBody::Empty, skip, left, failure: None, _busy: busy }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Chunk>, OriginError>>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if self.left == Some(0) {
                return Poll::Ready(None);
            }
            if let Some(frame) = ready!(Pin::new(&mut self.stored).poll_frame(cx)) {
                let data = frame.as_ref().ok().and_then(Frame::data_ref);
                if let (Some(left), Some(data)) = (&mut self.left, data) {
                    *left = left.saturating_sub(data.remaining() as u64);
                }
                return Poll::Ready(Some(frame));
            }
            match ready!(self.source.poll_piece(cx)) {
                Some(Ok(FlightPiece::Frame(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if let Some(data) = self.clip(data) {
                            return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                        }
                    }
                    Err(frame) => return Poll::Ready(Some(Ok(frame.map_data(Chunk::from)))),
                },
                Some(Ok(FlightPiece::Stored(body, part))) => self.go_on_from(&body, &part),
                Some(Err(error)) => {
                    self.failure = Some(error);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(None),
            }
        }
    }

    /// Goes on in stored content: in `part` of it, as far as the client asked for.
    fn go_on_from(&mut self, body: &Body, part: &Range<u64>) {
        let start = part.start.saturating_add(self.skip).min(part.end);
        self.skip -= start - part.start;
        let end = self.left.map_or(part.end, |left| start.saturating_add(left).min(part.end));
        let mode = match self.source {
            ArrivingSource::Flight(_, mode) => mode,
            ArrivingSource::Origin(_) => CopyMode::Copied,
        };
        self.stored = ResponseBody::part(body, &(start..end), mode);
    }

    /// Cuts off bytes that the client has not asked for.
    fn clip(&mut self, mut data: Bytes) -> Option<Bytes> {
        let skipped = self.skip.min(data.len() as u64);
        self.skip -= skipped;
        data = data.split_off(usize::try_from(skipped).unwrap_or(usize::MAX).min(data.len()));
        if let Some(left) = &mut self.left {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
        }
        (!data.is_empty()).then_some(data)
    }
}

impl ArrivingSource {
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<FlightPiece, OriginError>>> {
        match self {
            Self::Flight(reader, _) => reader.poll_piece(cx),
            Self::Origin(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map(FlightPiece::Frame)))
            }
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Chunk;
    type Error = OriginError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, OriginError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Whole(chunk) => {
                let chunk = std::mem::take(chunk);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Self::Pieces(pieces) => {
                Poll::Ready(pieces.take().map(|piece| Ok(Frame::data(piece.into()))))
            }
            Self::Deferred(content) => content.poll(cx),
            Self::Arriving(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(_) => false,
            Self::Pieces(pieces) => pieces.left == 0,
            Self::Deferred(content) => content.at >= content.end,
            Self::Arriving(stream) => stream.left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.remaining() as u64),
            Self::Pieces(pieces) => SizeHint::with_exact(pieces.left),
            Self::Deferred(content) => SizeHint::with_exact(content.end - content.at),
            Self::Arriving(stream) => {
                stream.left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::flight::{Budget, Flight};
    use crate::invalidation::Invalidation;

    fn body(pieces: &[&'static str]) -> Body {
        Body::of_pieces(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect())
    }

    fn text(mut body: ResponseBody) -> String {
        let mut all = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut cx) {
            all.extend_from_slice(frame.unwrap().data_ref().unwrap().chunk());
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_part_is_cut_across_pieces() {
        let stored = body(&["abc", "defg", "h"]);
        for (range, expected) in
            [(0..8, "abcdefgh"), (2..4, "cd"), (3..7, "defg"), (7..8, "h"), (0..1, "a")]
        {
            let part = ResponseBody::part(&stored, &range, CopyMode::Copied);
            assert_eq!(part.size_hint().exact(), Some(range.end - range.start));
            assert_eq!(text(part), expected);
        }
    }

    #[test]
    fn the_length_is_known_and_right() {
        let stored = ResponseBody::stored(&body(&["abc", "de"]), CopyMode::Copied);
        assert_eq!(stored.size_hint().exact(), Some(5));
        assert_eq!(text(stored), "abcde");
    }

    #[test]
    fn a_part_of_what_arrives_is_the_same_when_it_is_stored_at_any_moment() {
        let content = Bytes::from_static(b"abcdefgh");
        for (skip, length, expected) in [(0, 8, "abcdefgh"), (3, 4, "defg"), (7, 1, "h")] {
            for stored_after in 0..4 {
                let budget = Arc::new(Budget::new(1000));
                let birth = Arc::new(Invalidation::new(1)).begin_fetch();
                let (_flight, writer) = Flight::begin(birth, budget, Arc::default(), None);
                let source = ArrivingSource::Flight(writer.first_reader(), CopyMode::Copied);
                let range = skip..skip + length;
                let mut arriving = ResponseBody::arriving_part(source, &range, Busy::default());
                let mut cx = Context::from_waker(std::task::Waker::noop());
                let mut all = Vec::new();
                for number in 0..4 {
                    if number == stored_after {
                        // The bytes before and after are of a stored part that it was joined with.
                        let body = body(&["..", "abcde", "fgh", "."]);
                        writer.stored(body, 2..10);
                    }
                    writer.push(content.slice(2 * number..2 * number + 2));
                    while let Poll::Ready(Some(frame)) = Pin::new(&mut arriving).poll_frame(&mut cx)
                    {
                        all.extend_from_slice(frame.unwrap().data_ref().unwrap().chunk());
                    }
                }
                writer.complete(None);
                assert!(arriving.is_end_stream());
                assert_eq!(String::from_utf8(all).unwrap(), expected, "{stored_after}");
            }
        }
    }
}
