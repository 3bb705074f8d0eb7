//! `ResponseContent`: the content of a response, whichever protocol brings it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::error::OriginError;
use super::http2::Http2Content;

#[derive(Debug)]
pub(super) enum ResponseContent {
    Http1(Incoming),
    Http2(Box<Http2Content>),
}

impl ResponseContent {
    /// Returns whether the server may be waiting for the rest of the request.
    pub(super) fn may_wait_for_request(&self) -> bool {
        match self {
            Self::Http1(_) => false, // the upload has ended
            Self::Http2(content) => !content.is_request_sent(),
        }
    }
}

impl Body for ResponseContent {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        match self.get_mut() {
            Self::Http1(content) => Pin::new(content)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(OriginError::content))),
            Self::Http2(content) => Pin::new(content.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(content) => content.is_end_stream(),
            Self::Http2(content) => content.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(content) => content.size_hint(),
            Self::Http2(content) => content.size_hint(),
        }
    }
}
