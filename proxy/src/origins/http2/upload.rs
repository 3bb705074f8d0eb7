//! `StreamUpload`: the content of a request on its way to a server, as fast as the server grants
//! windows.
//!
//! The client is asked for more when the piece before was accepted: what a server does not read
//! stays with the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;
use tokio::time::{Instant, Sleep, sleep_until};

use super::progress::StreamProgress;
use crate::origins::error::OriginError;
use crate::origins::request_body::RequestBody;

#[derive(Debug)]
pub(super) struct StreamUpload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    piece: Option<UploadPiece>,
    is_done: bool,
    progress: Arc<StreamProgress>,
    send_timeout: Duration,
    /// Runs while the server grants no window.
    alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct UploadPiece {
    bytes: Bytes,
    is_last: bool,
}

enum UploadStep {
    Next,
    Done,
}

impl StreamUpload {
    pub(super) const fn new(
        stream: SendStream<Bytes>,
        body: RequestBody,
        progress: Arc<StreamProgress>,
        send_timeout: Duration,
    ) -> Self {
        Self { stream, body, piece: None, is_done: false, progress, send_timeout, alarm: None }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Returns the content, to be sent elsewhere, if none of it is lost.
    pub(super) fn into_body(mut self) -> Option<RequestBody> {
        self.body.rewind().then_some(self.body)
    }

    /// The response has begun: nothing is sent again.
    pub(super) fn note_answer(&mut self) {
        self.body.forget_beginning();
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<UploadStep, OriginError>> {
        if self.piece.is_some() {
            return self.poll_piece(cx).map(Ok);
        }
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Ok(UploadStep::Done)); // the response says why, or the connection's end
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => {
                self.piece = Some(UploadPiece { bytes: Bytes::new(), is_last: true });
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    let is_last = self.body.is_end_stream();
                    self.piece = Some(UploadPiece { bytes, is_last });
                }
                Err(frame) => {
                    return Poll::Ready(Ok(self.end(frame.into_trailers().unwrap_or_default())));
                }
            },
            Some(Err(error)) => {
                self.stream.send_reset(Reason::CANCEL);
                return Poll::Ready(Err(OriginError::of_request(&error)));
            }
        }
        Poll::Ready(Ok(UploadStep::Next))
    }

    fn end(&mut self, trailers: HeaderMap) -> UploadStep {
        if self.stream.send_trailers(trailers).is_ok() {
            self.progress.note_given();
        }
        UploadStep::Done
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<UploadStep> {
        let Some(piece) = &mut self.piece else { return Poll::Ready(UploadStep::Next) };
        let mut granted = 0;
        if !piece.bytes.is_empty() {
            self.stream.reserve_capacity(piece.bytes.len());
            granted = self.stream.capacity().min(piece.bytes.len());
            if granted == 0 {
                return match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => Poll::Ready(UploadStep::Next),
                    Some(Err(_)) | None => Poll::Ready(UploadStep::Done), // it was reset
                };
            }
        }
        let bytes = piece.bytes.split_to(granted);
        let is_last = piece.is_last && piece.bytes.is_empty();
        if piece.bytes.is_empty() {
            self.piece = None;
        }
        if self.stream.send_data(bytes, is_last).is_err() {
            return Poll::Ready(UploadStep::Done);
        }
        self.progress.note_window();
        self.alarm = None;
        if is_last {
            self.progress.note_given();
            return Poll::Ready(UploadStep::Done);
        }
        Poll::Ready(UploadStep::Next)
    }

    /// Ready when the server has granted no window for too long, and has not answered either.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let no_window = self.progress.note_no_window();
        loop {
            let moved = self.body.answered().map_or(no_window, |answered| answered.max(no_window));
            let due = moved + self.send_timeout;
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }
}

impl Future for StreamUpload {
    type Output = Result<(), OriginError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        for _ in 0..STEPS_AT_ONCE {
            match this.poll_step(cx) {
                Poll::Ready(Ok(UploadStep::Next)) => {}
                Poll::Ready(Ok(UploadStep::Done)) => {
                    this.is_done = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.piece.is_some() => {
                    ready!(this.poll_alarm(cx));
                    this.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(OriginError::SendTimeout));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// An upload whose response has begun. Dropping it ends it.
#[derive(Debug)]
pub(super) struct RunningUpload(tokio::task::JoinHandle<()>);

impl RunningUpload {
    pub(super) fn start(upload: StreamUpload) -> Self {
        let progress = Arc::clone(&upload.progress);
        Self(tokio::spawn(async move {
            if let Err(error) = upload.await {
                progress.fail(error);
            }
        }))
    }
}

impl Drop for RunningUpload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pieces after which other tasks of the thread have their turn.
const STEPS_AT_ONCE: usize = 32;
