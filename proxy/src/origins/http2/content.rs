//! `Http2Content`: the content of a response on a stream. What is not read is not granted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

use super::fault::within_content;
use super::open_request::OpenRequest;
use super::upload::{RunningUpload, StreamUpload};
use crate::framing::Violation;
use crate::framing::parsed::check_trailers;
use crate::origins::error::OriginError;
use crate::origins::request_body;

/// Content as it arrives. Dropping it before its end resets the stream.
#[derive(Debug)]
pub struct Http2Content {
    stream: RecvStream,
    open: OpenRequest,
    /// The rest of the request. It ends with the response.
    upload: Option<RunningUpload>,
    /// Its client may pause while content of the response comes.
    client: request_body::Upload,
    /// `false` for the responses that have none, whatever their fields say (RFC 9110 §6.4.1).
    has_content: bool,
    left: Option<u64>,
    is_read: bool,
}

impl Http2Content {
    pub(super) fn new(
        stream: RecvStream,
        open: OpenRequest,
        upload: Option<StreamUpload>,
        client: request_body::Upload,
        (has_content, left): (bool, Option<u64>),
    ) -> Self {
        let upload = upload.filter(|_| !stream.is_end_stream()).map(RunningUpload::start);
        Self { stream, open, upload, client, has_content, left, is_read: false }
    }

    /// Returns whether the server has the whole request. Until then it may wait for the rest.
    pub(in crate::origins) fn is_request_sent(&self) -> bool {
        self.open.progress.is_sent()
    }

    fn fail(&self, error: h2::Error) -> OriginError {
        let own = self.open.progress.failure();
        own.unwrap_or_else(|| within_content(error, self.open.connection.shared.condition()))
    }
}

impl Body for Http2Content {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        let this = self.get_mut();
        if !this.is_read {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    if !this.has_content && !bytes.is_empty() {
                        return Poll::Ready(Some(Err(OriginError::Framing(Violation::Surplus))));
                    }
                    let length = bytes.len();
                    this.client.note_answer();
                    if let Err(error) = this.stream.flow_control().release_capacity(length) {
                        return Poll::Ready(Some(Err(this.fail(error))));
                    }
                    this.left = this.left.map(|left| left.saturating_sub(length as u64));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(this.fail(error)))),
                None => this.is_read = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(cx));
        this.upload = None;
        match trailers {
            Ok(None) => Poll::Ready(None),
            Ok(Some(trailers)) => Poll::Ready(Some(match check_trailers(&trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(violation) => Err(OriginError::Framing(violation)),
            })),
            Err(error) => Poll::Ready(Some(Err(this.fail(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.has_content || self.stream.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
