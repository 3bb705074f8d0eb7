//! Faults of streams and connections of HTTP/2, as errors of the exchange (RFC 9113 §7, §8.7).

use std::sync::Arc;

use h2::Reason;

use super::shared::Condition;
use super::stream_fault::{ConnectionFault, StreamFault};
use crate::origins::error::OriginError;

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.7
//# The GOAWAY frame indicates the highest stream number that might
//# have been processed.  Requests on streams with higher numbers are
//# therefore guaranteed to be safe to retry.
//# [...] The REFUSED_STREAM error code can be included in a RST_STREAM frame to
//# indicate that the stream is being closed prior to any processing having
//# occurred.
pub(super) fn before_head(error: h2::Error, condition: Condition) -> OriginError {
    if let Some(fault) = of_connection(condition) {
        return fault;
    }
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let (is_remote, is_go_away) = (error.is_remote(), error.is_go_away());
    let (is_library, is_io) = (error.is_library(), error.is_io());
    let fault = StreamFault(Arc::new(error));
    match (is_remote, is_library) {
        (true, _) if is_refused || is_go_away => OriginError::Unprocessed(fault),
        (true, _) => OriginError::Reset(fault),
        (_, true) => OriginError::Malformed(Arc::new(fault)),
        _ if is_io => OriginError::Broken(Arc::new(fault)),
        _ => OriginError::Unwritable, // an error of ours
    }
}

pub(super) fn within_content(error: h2::Error, condition: Condition) -> OriginError {
    of_connection(condition)
        .unwrap_or_else(|| OriginError::Incomplete(Arc::new(StreamFault(Arc::new(error)))))
}

fn of_connection(condition: Condition) -> Option<OriginError> {
    match condition {
        Condition::NotHttp2 => Some(OriginError::Malformed(Arc::new(ConnectionFault::NotHttp2))),
        Condition::Silent => Some(OriginError::Broken(Arc::new(ConnectionFault::Silent))),
        Condition::Sound => None,
    }
}
