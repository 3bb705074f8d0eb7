//! `RecordedBody`: a response's content, with the record that ends when it does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};

use super::ruled_bytes::RuledBytes;
use crate::cache::record::RequestRecord;
use crate::response::body::ResponseBody;

pub trait RecordSink: std::fmt::Debug + Send + Sync {
    /// Takes the record of one request. Is called where the request was served: it must not block.
    fn take(&self, record: RequestRecord);
}

/// Content on its way to a client. Its record ends when it is dropped, which hyper does when the
/// last byte was taken or the client has left.
#[derive(Debug)]
pub struct RecordedBody {
    body: ResponseBody,
    ending: Ending,
    /// `None` where no rule matched.
    ruled: Option<RuledBytes>,
}

/// A record that is handed over when this is dropped. Without a sink there is none to keep.
#[derive(Debug)]
pub(super) struct Ending(Option<Box<Recording>>);

#[derive(Debug)]
struct Recording {
    record: RequestRecord,
    sink: Arc<dyn RecordSink>,
}

impl Ending {
    pub(super) fn new(record: RequestRecord, sink: Option<Arc<dyn RecordSink>>) -> Self {
        Self(sink.map(|sink| Box::new(Recording { record, sink })))
    }

    /// Ends without handing anything over: another record does.
    pub(super) fn cancel(mut self) {
        self.0 = None;
    }

    fn record(&mut self) -> Option<&mut RequestRecord> {
        self.0.as_mut().map(|recording| &mut recording.record)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(Recording { record, sink }) = self.0.take().map(|recording| *recording) {
            sink.take(record);
        }
    }
}

impl RecordedBody {
    pub(super) const fn new(body: ResponseBody, ending: Ending, ruled: Option<RuledBytes>) -> Self {
        Self { body, ending, ruled }
    }
}

impl Body for RecordedBody {
    type Data = <ResponseBody as Body>::Data;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { body, ending, ruled } = self.get_mut();
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let (Some(ruled), Some(Ok(frame))) = (ruled, &frame) {
            ruled.add(frame.data_ref().map_or(0, |data| data.remaining() as u64));
        }
        if let Some(record) = ending.record() {
            match &frame {
                Some(Ok(frame)) => {
                    record.sent += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    record.is_complete = frame.is_trailers() || body.is_end_stream();
                }
                Some(Err(_)) => {}
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
