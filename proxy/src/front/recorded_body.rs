//! `RecordedBody`: a response's content, with the record that ends when it does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};

use super::forwarded_request::ForwardedRequest;
use super::record_sinks::SinkList;
use super::ruled_bytes::RuledBytes;
use crate::cache::record::RequestRecord;
use crate::response::body::ResponseBody;

/// Content on its way to a client. Its record ends when it is dropped, which hyper does when the
/// last byte was taken or the client has left.
#[derive(Debug)]
pub struct RecordedBody {
    body: ResponseBody,
    ending: Ending,
}

/// A record that is handed over when this is dropped. Where neither a sink nor a rule counts the
/// request, there is none to keep.
#[derive(Debug)]
pub(super) struct Ending(Option<Box<Recording>>);

#[derive(Debug)]
struct Recording {
    record: RequestRecord,
    sinks: Option<Arc<SinkList>>,
    /// `None` where no rule matched.
    ruled: Option<RuledBytes>,
    /// `None` where the origin was not asked.
    forwarded: Option<ForwardedRequest>,
}

impl Ending {
    pub(super) fn new(
        record: RequestRecord,
        sinks: Option<Arc<SinkList>>,
        ruled: Option<RuledBytes>,
        forwarded: Option<ForwardedRequest>,
    ) -> Self {
        let is_kept = sinks.is_some() || ruled.is_some() || forwarded.is_some();
        Self(is_kept.then(|| Box::new(Recording { record, sinks, ruled, forwarded })))
    }

    /// Ends without handing anything over: another record does.
    pub(super) fn cancel(mut self) {
        self.0 = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(recording) = self.0.as_deref_mut() else { return };
        if let Some(forwarded) = &recording.forwarded {
            forwarded.end(&recording.record);
        }
        if let Some(sinks) = &recording.sinks {
            if let Some(details) = &mut recording.record.details {
                details.total = details.began.elapsed();
            }
            sinks.take(&recording.record);
        }
    }
}

impl RecordedBody {
    pub(super) const fn new(body: ResponseBody, ending: Ending) -> Self {
        Self { body, ending }
    }
}

impl Body for RecordedBody {
    type Data = <ResponseBody as Body>::Data;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { body, ending } = self.get_mut();
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(Recording { record, ruled, .. }) = ending.0.as_deref_mut() {
            match &frame {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    if let Some(ruled) = ruled {
                        ruled.add(bytes);
                    }
                    record.sent += bytes;
                    record.is_complete = frame.is_trailers() || body.is_end_stream();
                }
                Some(Err(error)) => record.broken = Some(error.reason()),
                None => record.is_complete = true,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
