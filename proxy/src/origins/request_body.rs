//! `RequestBody`: the content of a request on its way to the origin, bounded in length and in
//! pauses.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::replay::Replay;
use crate::client::received::Received;
use crate::field::hop_by_hop;
use crate::framing::Violation;
use crate::framing::parsed::check_trailers;

#[derive(Debug, Default)]
pub enum RequestBody {
    #[default]
    Empty,
    Client(Box<ClientBody>),
}

/// An extension of a request whose client takes trailers (`TE: trailers`).
#[derive(Clone, Copy, Debug)]
pub struct AcceptsTrailers;

#[derive(Debug)]
pub struct ClientBody {
    incoming: Incoming,
    /// Over HTTP/2, the library shows a stream that its client cancels as if it had ended.
    is_http2: bool,
    left: u64,
    /// Bytes that will still come, if the client has announced a length.
    announced: Option<u64>,
    patience: Duration,
    alarm: Pin<Box<Sleep>>,
    /// The alarm runs only while the client is waited for.
    is_waiting: bool,
    /// What failed is gone, and the library shows the rest as if it were whole.
    is_failed: bool,
    upload: Upload,
    received: Received,
    /// `None` where content that was taken is lost with its connection.
    replay: Option<Replay>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Upload(Option<Arc<UploadState>>);

#[derive(Debug)]
struct UploadState {
    state: AtomicU8,
    begun: Instant,
    /// Milliseconds from then to the last content of the response.
    answered: AtomicU64,
}

impl Upload {
    pub(super) fn begin() -> Self {
        let (state, answered) = (AtomicU8::new(0), AtomicU64::new(0));
        Self(Some(Arc::new(UploadState { state, begun: Instant::now(), answered })))
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.state.load(Ordering::Acquire) == DONE)
    }

    /// Notes content of the response. While it comes, the client may pause.
    pub(super) fn note_answer(&self) {
        if let Some(upload) = &self.0 {
            let millis = u64::try_from(upload.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            upload.answered.store(millis, Ordering::Relaxed);
        }
    }

    fn answered(&self) -> Option<Instant> {
        let upload = self.0.as_ref()?;
        Some(upload.begun + Duration::from_millis(upload.answered.load(Ordering::Relaxed)))
    }

    /// Ends the upload with its exchange. Takes effect when the connection asks for more.
    pub(super) fn abandon(&self) {
        if let Some(upload) = &self.0 {
            upload.state.store(ABANDONED, Ordering::Release);
        }
    }

    fn is_abandoned(&self) -> bool {
        let is_abandoned = |state: &AtomicU8| state.load(Ordering::Acquire) == ABANDONED;
        self.0.as_ref().is_some_and(|upload| is_abandoned(&upload.state))
    }

    fn note_end(&self) {
        if let Some(upload) = &self.0 {
            upload.state.store(DONE, Ordering::Release);
        }
    }
}

const DONE: u8 = 1;
const ABANDONED: u8 = 2;

/// A failure to forward a client's content. The exchange with the origin ends with it.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The content is longer than `limits.max_body`. Chunked content is only known to be at its
    /// end.
    #[error("request body exceeds the limit")]
    TooLarge,
    /// The client sent nothing for `limits.body_timeout` while it was waited for.
    #[error("request body stalled")]
    Stalled,
    #[error("the exchange ended before the request body")]
    Abandoned,
    #[error("request body broke off")]
    Broken(#[from] hyper::Error),
    /// The client reset the stream of its request with the code CANCEL.
    #[error("the client cancelled the request")]
    Cancelled,
    #[error("request trailers: {0}")]
    Trailers(#[from] Violation),
}

impl RequestBody {
    pub fn client(
        incoming: Incoming,
        version: Version,
        bytes_max: u64,
        patience: Duration,
        received: Received,
    ) -> Self {
        if incoming.is_end_stream() || incoming.size_hint().exact() == Some(0) {
            return Self::Empty;
        }
        let alarm = Box::pin(tokio::time::sleep(patience));
        Self::Client(Box::new(ClientBody {
            left: bytes_max,
            announced: incoming.size_hint().exact(),
            incoming,
            is_http2: version == Version::HTTP_2,
            patience,
            alarm,
            is_waiting: false,
            is_failed: false,
            upload: Upload::begin(),
            received,
            replay: None,
        }))
    }

    /// Keeps the beginning of the content, so that it can be sent again if it is not processed.
    pub(super) fn keep_beginning(&mut self) {
        if let Self::Client(body) = self {
            body.replay.get_or_insert_default();
        }
    }

    /// Begins again with the content. Returns whether everything that was taken is at hand.
    pub(super) fn rewind(&mut self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => {
                body.upload = Upload::begin();
                !body.is_failed && body.replay.as_mut().is_some_and(Replay::rewind)
            }
        }
    }

    /// Keeps the beginning no longer: the response has begun.
    pub(super) fn forget_beginning(&mut self) {
        if let Self::Client(body) = self
            && let Some(replay) = &mut body.replay
        {
            replay.forget();
        }
    }

    /// Returns a handle on the progress of the upload, for use while it is being sent.
    pub(super) fn upload(&self) -> Upload {
        match self {
            Self::Empty => Upload::default(),
            Self::Client(body) => body.upload.clone(),
        }
    }

    /// Returns when the last content of the response came, if any did.
    pub(super) fn answered(&self) -> Option<Instant> {
        match self {
            Self::Empty => None,
            Self::Client(body) => body.upload.answered(),
        }
    }

    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl ClientBody {
    /// Ready when the client has paused for too long, and the response did, too.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            match self.upload.answered().map(|answered| answered + self.patience) {
                Some(due) if due > Instant::now() => self.alarm.as_mut().reset(due),
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.is_failed || self.upload.is_abandoned() {
            return Poll::Ready(Some(Err(RequestBodyError::Abandoned)));
        }
        let frame = ready!(self.poll_next(cx));
        self.is_failed = matches!(frame, Some(Err(_)));
        Poll::Ready(frame)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if let Some(frame) = self.replay.as_mut().and_then(Replay::take) {
            if self.is_end() {
                self.upload.note_end();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.replay.as_ref().is_some_and(Replay::is_ended) {
            self.upload.note_end();
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            if !self.is_waiting {
                self.is_waiting = true;
                self.alarm.as_mut().reset(Instant::now() + self.patience);
            }
            ready!(self.poll_alarm(cx));
            return Poll::Ready(Some(Err(RequestBodyError::Stalled)));
        };
        self.is_waiting = false;
        let Some(mut frame) = frame.transpose()? else {
            if self.is_http2 && !self.incoming.is_end_stream() {
                return Poll::Ready(Some(Err(RequestBodyError::Cancelled)));
            }
            if let Some(replay) = &mut self.replay {
                replay.note(None);
            }
            self.upload.note_end();
            return Poll::Ready(None);
        };
        if let Some(trailers) = frame.trailers_mut() {
            check_trailers(trailers)?;
            hop_by_hop::remove_from_trailers(trailers);
            self.upload.note_end();
        }
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.received.add(length);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(RequestBodyError::TooLarge))),
        }
        self.announced = self.announced.map(|announced| announced.saturating_sub(length));
        if self.announced == Some(0) || self.incoming.is_end_stream() {
            self.upload.note_end(); // what has a length is not asked for more
        }
        if let Some(replay) = &mut self.replay {
            replay.note(Some(&frame));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end(&self) -> bool {
        let is_read = self.incoming.is_end_stream() && !self.is_failed;
        is_read && !self.replay.as_ref().is_some_and(Replay::has_more)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.size_hint();
        let again = self.replay.as_ref().map_or(0, Replay::left);
        hint.exact().map_or(hint, |length| SizeHint::with_exact(length + again))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::convert::Infallible;

    use http::{HeaderMap, Request, Response};
    use http_body_util::BodyExt as _;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::duplex;
    use tokio::sync::mpsc;

    use super::*;

    /// Returns the content of a request over HTTP/2, and the stream on which its client sends it.
    pub(in crate::origins) async fn upload(bytes_max: u64) -> (RequestBody, h2::SendStream<Bytes>) {
        let (client, server) = duplex(1 << 16);
        let (sender, mut bodies) = mpsc::channel::<Incoming>(1);
        let service = service_fn(move |request: Request<Incoming>| {
            let sender = sender.clone();
            async move {
                sender.send(request.into_body()).await.unwrap();
                std::future::pending::<Result<Response<String>, Infallible>>().await
            }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(server), service);
        tokio::spawn(server);
        let (mut requests, connection) = h2::client::handshake(client).await.unwrap();
        tokio::spawn(connection);
        let head = Request::post("http://a.example/").body(()).unwrap();
        let (answer, stream) = requests.send_request(head, false).unwrap();
        tokio::spawn(async move { answer.await.map(drop) });
        let incoming = bodies.recv().await.unwrap();
        let patience = Duration::from_hours(1);
        let received = Received::default();
        (RequestBody::client(incoming, Version::HTTP_2, bytes_max, patience, received), stream)
    }

    #[tokio::test]
    async fn an_upload_that_is_cancelled_does_not_end_as_if_it_were_whole() {
        for code in [h2::Reason::CANCEL, h2::Reason::NO_ERROR, h2::Reason::INTERNAL_ERROR] {
            let (mut body, mut stream) = upload(1 << 20).await;
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            let first = body.frame().await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "half");
            stream.send_reset(code);
            let end = body.frame().await;
            assert!(matches!(end, Some(Err(_))), "{code}: {end:?}");
            assert!(!body.upload().is_done(), "{code}");
        }
    }

    #[tokio::test]
    async fn an_upload_that_ends_does_so_with_data_or_trailers() {
        let (body, mut stream) = upload(1 << 20).await;
        stream.send_data(Bytes::from_static(b"whole"), true).unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");

        let (body, mut stream) = upload(1 << 20).await;
        stream.send_data(Bytes::from_static(b"whole"), false).unwrap();
        stream.send_trailers(HeaderMap::new()).unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
    }

    #[tokio::test]
    async fn content_that_has_failed_does_not_go_on_or_begin_again() {
        let (mut body, mut stream) = upload(4).await;
        body.keep_beginning();
        stream.send_data(Bytes::from_static(b"long"), false).unwrap();
        body.frame().await.unwrap().unwrap();
        stream.send_data(Bytes::from_static(b"er"), false).unwrap();
        assert!(matches!(body.frame().await, Some(Err(RequestBodyError::TooLarge))));

        stream.send_data(Bytes::new(), true).unwrap();
        for _ in 0..2 {
            let after = body.frame().await;
            assert!(matches!(after, Some(Err(RequestBodyError::Abandoned))), "{after:?}");
        }
        assert!(!body.is_end_stream() && !body.rewind());
    }
}
