//! `StreamPatience`: how long calls and event streams may be silent, which have pauses by nature.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::error::OriginError;
use crate::field::grpc;
use settings::{OriginHttp2, OriginSettings};

#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPatience {
    stream_idle_timeout: Duration,
    /// For a call: the time within which its client wants the answer, or none.
    grpc: Option<Duration>,
}

impl StreamPatience {
    /// `fields` are those of the request.
    pub(super) fn of(origin: &OriginSettings, fields: &HeaderMap) -> Self {
        let is_grpc = origin.http2 != OriginHttp2::Off && grpc::is_call(fields);
        Self {
            stream_idle_timeout: origin.stream_idle_timeout,
            grpc: is_grpc.then(|| grpc::deadline(fields).unwrap_or_default()),
        }
    }

    pub(super) const fn is_grpc(&self) -> bool {
        self.grpc.is_some()
    }

    /// The server of a call may read its next message when it has answered others.
    pub(super) fn send(&self, timeout: Duration) -> Duration {
        timeout.max(self.of_call().unwrap_or_default())
    }

    /// The response to a call may begin when its first event happens.
    pub(super) fn first_byte(&self, timeout: Duration) -> Duration {
        timeout.max(self.of_call().unwrap_or_default())
    }

    /// Returns the error by the name of the limit that was reached.
    pub(super) fn named(&self, error: OriginError) -> OriginError {
        match error {
            OriginError::HeadTimeout if self.is_grpc() => OriginError::StreamIdleTimeout,
            error => error,
        }
    }

    /// `fields` are those of the response.
    pub(super) fn idle(&self, fields: &HeaderMap, timeout: Duration) -> Duration {
        let of_events = is_event_stream(fields).then_some(self.stream_idle_timeout);
        timeout.max(self.of_call().or(of_events).unwrap_or_default())
    }

    /// Returns the time without a byte after which a call is ended: never before its own deadline,
    /// which its client watches.
    pub(super) fn of_call(&self) -> Option<Duration> {
        self.grpc.map(|deadline| self.stream_idle_timeout.max(deadline.saturating_add(MARGIN)))
    }
}

fn is_event_stream(fields: &HeaderMap) -> bool {
    let media_type = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// The client's own end of a call comes first.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.insert(*name, HeaderValue::from_static(value));
        }
        fields
    }

    fn patience(http2: OriginHttp2, request: &[(&'static str, &'static str)]) -> StreamPatience {
        let mut origin = OriginSettings::new("app", Vec::new());
        origin.http2 = http2;
        StreamPatience::of(&origin, &fields(request))
    }

    #[test]
    fn event_streams_may_pause_for_longer_than_other_content() {
        let patience = patience(OriginHttp2::Off, &[]);
        for (media_type, minutes) in [
            ("text/event-stream", 5),
            ("Text/Event-Stream; charset=utf-8", 5),
            ("text/event-stream-2", 1),
            ("text/html", 1),
        ] {
            let idle = patience.idle(&fields(&[("content-type", media_type)]), MINUTE);
            assert_eq!(idle, minutes * MINUTE, "{media_type}");
        }
        let events = fields(&[("content-type", "text/event-stream")]);
        assert_eq!(patience.idle(&events, 9 * MINUTE), 9 * MINUTE, "never less than others");
        assert_eq!(patience.first_byte(MINUTE), MINUTE);
    }

    #[test]
    fn a_call_is_not_ended_before_its_own_deadline() {
        let call = ("content-type", "application/grpc+proto");
        for (deadline, seconds) in [("5S", 300), ("10M", 601), ("nonsense", 300)] {
            let patience = patience(OriginHttp2::Cleartext, &[call, ("grpc-timeout", deadline)]);
            let expected = Duration::from_secs(seconds);
            assert_eq!(patience.first_byte(MINUTE), expected, "{deadline}");
            assert_eq!(patience.idle(&HeaderMap::new(), MINUTE), expected, "{deadline}");
            assert_eq!(patience.send(MINUTE), expected, "{deadline}");
        }
        let over_http1 = patience(OriginHttp2::Off, &[call, ("grpc-timeout", "10M")]);
        assert_eq!((over_http1.first_byte(MINUTE), over_http1.is_grpc()), (MINUTE, false));
    }
}
