//! A line of the access log in a format of `varnishncsa`.

use settings::{ExtraPiece, FormatPiece, TimeFormat};

use super::escaped::{push_number, push_text};
use super::json_line::{push_client, push_hash};
use super::logged_request::LoggedRequest;
use super::redaction::{HIDDEN, Redaction};
use super::wall_time::{push_common, push_rfc3339};
use crate::cache::outcome::Outcome;

/// Adds the pieces of a line.
pub(super) fn push(
    line: &mut Vec<u8>,
    pieces: &[FormatPiece],
    request: &LoggedRequest<'_>,
    redaction: &Redaction,
) {
    for piece in pieces {
        push_piece(line, piece, request, redaction);
    }
}

fn push_piece(
    line: &mut Vec<u8>,
    piece: &FormatPiece,
    request: &LoggedRequest<'_>,
    redaction: &Redaction,
) {
    let record = request.record;
    match piece {
        FormatPiece::Literal(text) => line.extend_from_slice(text.as_bytes()),
        FormatPiece::BytesOrDash if record.sent == 0 => line.push(b'-'),
        FormatPiece::BytesOrDash | FormatPiece::Bytes => push_number(line, record.sent),
        FormatPiece::BytesReceived => push_number(line, record.received.bytes()),
        FormatPiece::Microseconds => {
            push_number(line, u64::try_from(request.total().as_micros()).unwrap_or(u64::MAX));
        }
        FormatPiece::Seconds => push_number(line, request.total().as_secs()),
        FormatPiece::Client => push_client(line, request),
        FormatPiece::Protocol => line.extend_from_slice(request.protocol().as_bytes()),
        FormatPiece::Dash => line.push(b'-'),
        FormatPiece::Method => push_text(line, request.method().as_bytes()),
        FormatPiece::Query => push_query(line, request, redaction),
        FormatPiece::RequestLine => {
            push_text(line, request.method().as_bytes());
            // Varnish writes the whole URL, so that the host is not lost.
            for part in [" ", request.scheme(), "://"] {
                line.extend_from_slice(part.as_bytes());
            }
            push_text(line, request.host());
            push_text(line, request.path());
            push_query(line, request, redaction);
            line.push(b' ');
            line.extend_from_slice(request.protocol().as_bytes());
        }
        FormatPiece::Status => push_number(line, u64::from(request.status())),
        FormatPiece::Time => push_common(line, request.received_millis),
        FormatPiece::TimeAs(format) => push_time(line, format, request.received_millis),
        FormatPiece::Path => push_text(line, request.path()),
        FormatPiece::RequestField(name) => {
            let mut values = request.fields().get_all(name).iter();
            push_values(line, name, values.by_ref().map(http::HeaderValue::as_bytes), redaction);
        }
        FormatPiece::ResponseField(name) => {
            let fields = request.details.response_fields.iter();
            let values = fields
                .filter(|(own, _)| own.as_str() == name.as_str())
                .map(|(_, value)| value.as_bytes());
            push_values(line, name, values, redaction);
        }
        FormatPiece::Extra(extra) => push_extra(line, *extra, request),
    }
}

fn push_query(line: &mut Vec<u8>, request: &LoggedRequest<'_>, redaction: &Redaction) {
    if let Some(query) = request.query() {
        line.push(b'?');
        push_text(line, redaction.query(query, &mut Vec::new()));
    }
}

fn push_values<'a>(
    line: &mut Vec<u8>,
    name: &str,
    values: impl Iterator<Item = &'a [u8]>,
    redaction: &Redaction,
) {
    let (before, mut kept) = (line.len(), Vec::new());
    for value in values {
        if line.len() > before {
            line.extend_from_slice(b", ");
        }
        if redaction.hides_named(name) {
            line.extend_from_slice(HIDDEN);
        } else if name == "referer" || name == "location" {
            push_text(line, redaction.url(value, &mut kept));
        } else {
            push_text(line, value);
        }
    }
    if line.len() == before {
        line.push(b'-');
    }
}

fn push_time(line: &mut Vec<u8>, format: &TimeFormat, millis: u64) {
    match format {
        TimeFormat::Seconds => push_number(line, millis / 1000),
        TimeFormat::Milliseconds => push_number(line, millis),
        TimeFormat::Microseconds => push_number(line, millis.saturating_mul(1000)),
        TimeFormat::Rfc3339 => push_rfc3339(line, millis),
    }
}

fn push_extra(line: &mut Vec<u8>, extra: ExtraPiece, request: &LoggedRequest<'_>) {
    let trace;
    let word = match extra {
        ExtraPiece::FirstByte => {
            let micros = request.first_byte().as_micros();
            let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            return line.extend_from_slice(text.as_bytes());
        }
        ExtraPiece::Rule => {
            let before = line.len();
            for rule in request.rules() {
                if line.len() > before {
                    line.push(b',');
                }
                push_text(line, rule.as_bytes());
            }
            if line.len() == before {
                line.push(b'-');
            }
            return;
        }
        ExtraPiece::KeyHash => {
            return match request.record.key {
                Some(hash) => push_hash(line, hash),
                None => line.push(b'-'),
            };
        }
        ExtraPiece::RequestId => request.request_id(),
        ExtraPiece::HitMiss => Some(if is_hit(request) { "hit" } else { "miss" }.as_bytes()),
        ExtraPiece::Handling => Some(handling(request).as_bytes()),
        ExtraPiece::Side => Some(&b"c"[..]),
        ExtraPiece::Outcome => request.outcome().map(|outcome| outcome.as_str().as_bytes()),
        ExtraPiece::Reason => request.reason().map(|reason| reason.as_str().as_bytes()),
        ExtraPiece::Forward => request.forwarded().map(|it| it.reason.as_str().as_bytes()),
        ExtraPiece::Origin => request.origin().map(str::as_bytes),
        ExtraPiece::Listener => request.listener().map(str::as_bytes),
        ExtraPiece::TraceId => {
            trace = request.trace_id();
            trace.as_deref().map(str::as_bytes)
        }
    };
    match word {
        Some(word) => push_text(line, word),
        None => line.push(b'-'),
    }
}

fn is_hit(request: &LoggedRequest<'_>) -> bool {
    matches!(request.outcome(), Some(Outcome::Hit | Outcome::Stale))
}

/// Returns Varnish's word for how a request was handled.
fn handling(request: &LoggedRequest<'_>) -> &'static str {
    match request.outcome() {
        Some(Outcome::Hit | Outcome::Stale) => "hit",
        Some(Outcome::Miss | Outcome::Revalidated | Outcome::Uncacheable) | None => "miss",
        Some(Outcome::Bypass) if request.status() == 101 => "pipe",
        Some(Outcome::Bypass) => "pass",
        Some(Outcome::Synthetic) if request.record.origin.is_some() => "miss",
        Some(Outcome::Synthetic | Outcome::Purge) => "synth",
    }
}
