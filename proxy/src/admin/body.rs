//! `AdminBody`: the content of the admin listener's answers, whole or a stream of events.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use crate::client::busy::Busy;
use crate::live::streams::EventReceiver;
use crate::response::body::ResponseBody;

#[derive(Debug)]
pub enum AdminBody {
    Whole(ResponseBody),
    /// Events as they come. The connection is not idle meanwhile.
    Events {
        receiver: EventReceiver,
        _busy: Busy,
    },
}

impl From<ResponseBody> for AdminBody {
    fn from(body: ResponseBody) -> Self {
        Self::Whole(body)
    }
}

impl Body for AdminBody {
    type Data = <ResponseBody as Body>::Data;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events { receiver, .. } => receiver
                .poll_event(cx)
                .map(|event| event.map(|event| Ok(Frame::data(event.into())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}
