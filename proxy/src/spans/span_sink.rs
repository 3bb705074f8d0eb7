//! `SpanSink`: the sink that makes spans of the record of a request.

use std::sync::Arc;
use std::time::Duration;

use http::Version;
use process::clock::Clock;

use super::exporter::SpanExporter;
use super::message::{SpanAttributes, SpanKind, SpanLink, SpanStatus, SpanStatusCode, WireSpan};
use crate::cache::record::RequestRecord;
use crate::front::record_sinks::{RecordSink, Wants};
use crate::policy::LiveSettings;
use crate::reason::Reason;
use crate::request::details::RequestDetails;
use crate::request::span::{RequestSpan, SpanContext, SpanId, TRACESTATE};

#[derive(Debug)]
pub(super) struct SpanSink {
    pub(super) exporter: SpanExporter,
    pub(super) live: Arc<LiveSettings>,
    pub(super) clock: Clock,
}

/// A request that has spans, with the times of its steps in nanoseconds since 1970.
struct Traced<'a> {
    record: &'a RequestRecord,
    details: &'a RequestDetails,
    span: &'a RequestSpan,
    origin: Option<String>,
    begun: u64,
}

impl RecordSink for SpanSink {
    fn wants(&self) -> Wants {
        Wants { spans: Some(self.exporter.settings.sample), ..Wants::default() }
    }

    fn take(&self, record: &RequestRecord) {
        let Some(details) = record.details.as_deref() else { return };
        let Some(span) = &details.span else { return };
        let origin = record.origin.map(|origin| {
            details.settings(&self.live.local()).origins.get(origin).name().to_owned()
        });
        let begun = self.clock.exact_wall().saturating_sub(details.began.elapsed());
        let traced = Traced { record, details, span, origin, begun: nanos(begun) };
        let exchange = traced.exchange();
        match exchange {
            Some(exchange) => self.exporter.queue.push([traced.request(), exchange].into_iter()),
            None => self.exporter.queue.push([traced.request()].into_iter()),
        }
    }
}

impl Traced<'_> {
    /// The span from the request's head to the response's end.
    fn request(&self) -> WireSpan {
        let Self { record, details, span, .. } = self;
        let mut attributes = self.of_both();
        attributes.text("url.scheme", details.scheme());
        if let Some(head) = &details.head {
            let (name, port) = name_and_port(head.target.host());
            attributes.text("server.address", name);
            if let Some(port) = port {
                attributes.whole("server.port", port);
            }
        }
        if let Some(version) = details.line.as_ref().and_then(|line| version(line.version)) {
            attributes.text("network.protocol.version", version);
        }
        if let Some(status) = record.status {
            attributes.whole("http.response.status_code", i64::from(status.as_u16()));
        }
        attributes.whole("http.response.body.size", signed(record.sent));
        if let Some(client) = details.client() {
            attributes.text("client.address", client.to_string());
        }
        if let Some(outcome) = record.outcome {
            attributes.text("shellac.cache", outcome.as_str());
        }
        if let Some(reason) = record.reason() {
            attributes.text("shellac.reason", reason.as_str());
        }
        if let Some(forwarded) = record.forwarded() {
            attributes.flag("shellac.stored", forwarded.is_stored);
            attributes.flag("shellac.collapsed", forwarded.is_collapsed);
        }
        let rules: Vec<_> = details.rules().collect();
        if !rules.is_empty() {
            attributes.text("shellac.rules", rules.join(","));
        }
        let is_error =
            record.broken.is_some() || record.status.is_some_and(|status| status.is_server_error());
        if is_error {
            attributes.text("error.type", self.error());
        }
        let parent = span.parent.map_or_else(Vec::new, id_of);
        let is_remote = span.parent.is_some();
        WireSpan {
            flags: if is_remote { SAMPLED | KNOWN | REMOTE } else { SAMPLED | KNOWN },
            links: span.joined.into_iter().map(link_to).collect(),
            ..self.span((span.own, parent, SpanKind::Server), details.total, attributes, is_error)
        }
    }

    /// The span of the exchange with the origin, to the response's head; `None` where there was
    /// none, or another request's was waited for.
    fn exchange(&self) -> Option<WireSpan> {
        let Self { record, details, span, .. } = self;
        let forwarded = record.forwarded();
        if !span.is_forwarded || forwarded.is_some_and(|forwarded| forwarded.is_collapsed) {
            return None;
        }
        let mut attributes = self.of_both();
        let status = forwarded.and_then(|forwarded| forwarded.status);
        if let Some(status) = status {
            attributes.whole("http.response.status_code", i64::from(status.as_u16()));
        }
        let is_error = status.is_none_or(|status| status.as_u16() >= 400);
        if is_error {
            let code = status.map(|status| status.as_str().to_owned());
            attributes.text("error.type", code.unwrap_or_else(|| self.error()));
        }
        let end = if record.status.is_some() { details.until_head } else { details.total };
        let took = record.first_byte.unwrap_or(end).min(end);
        let parts = (span.exchange, id_of(span.own), SpanKind::Client);
        let begun = self.begun.saturating_add(nanos(end.saturating_sub(took)));
        Some(WireSpan {
            start_time_unix_nano: begun,
            end_time_unix_nano: begun.saturating_add(nanos(took)),
            ..self.span(parts, took, attributes, is_error)
        })
    }

    fn of_both(&self) -> SpanAttributes {
        let mut attributes = SpanAttributes::default();
        if let Some(line) = &self.details.line {
            attributes.text("http.request.method", line.method.as_str());
            attributes.text("url.path", cut(line.uri.path(), PATH_BYTES_MAX));
        }
        if let Some(origin) = &self.origin {
            attributes.text("shellac.origin", &**origin);
        }
        attributes
    }

    fn span(
        &self,
        (id, parent_span_id, kind): (SpanId, Vec<u8>, SpanKind),
        took: Duration,
        attributes: SpanAttributes,
        is_error: bool,
    ) -> WireSpan {
        let state = self
            .details
            .fields()
            .get(TRACESTATE)
            .filter(|state| self.span.parent.is_some() && state.len() <= TRACESTATE_BYTES_MAX);
        let method = self.details.method().unwrap_or("HTTP");
        WireSpan {
            trace_id: big_endian(self.span.trace.0),
            span_id: id_of(id),
            trace_state: state.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned(),
            parent_span_id,
            name: method.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: self.begun,
            end_time_unix_nano: self.begun.saturating_add(nanos(took)),
            attributes: attributes.into_list(),
            links: Vec::new(),
            status: is_error.then(|| SpanStatus { code: SpanStatusCode::Error.into() }),
            flags: SAMPLED | KNOWN,
        }
    }

    /// The reason of a failure, else the status code.
    fn error(&self) -> String {
        let reason = self.record.reason().map(Reason::as_str);
        reason.map_or_else(|| self.record.status_code().to_string(), str::to_owned)
    }
}

/// Returns the beginning of a text, of so many bytes at most.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

fn name_and_port(host: &str) -> (&str, Option<i64>) {
    let split = host.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
    split.map_or((host, None), |(name, port)| (name, Some(port)))
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

fn link_to(SpanContext { trace, span }: SpanContext) -> SpanLink {
    SpanLink { trace_id: big_endian(trace.0), span_id: id_of(span) }
}

fn id_of(id: SpanId) -> Vec<u8> {
    big_endian(u128::from(id.0)).split_off(size_of::<u128>() - size_of::<u64>())
}

#[expect(clippy::big_endian_bytes, reason = "ids are written as they are read")]
fn big_endian(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Bytes of a path that a span has.
const PATH_BYTES_MAX: usize = 1 << 10;
/// Bytes of a `tracestate` that every party propagates (W3C Trace Context, "tracestate Limits");
/// longer ones are left out.
const TRACESTATE_BYTES_MAX: usize = 512;
/// Flags of a span: the trace is recorded; it is known whether the parent is of another process;
/// it is.
const SAMPLED: u32 = 0x001;
const KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_a_port() {
        assert_eq!(name_and_port("site.example"), ("site.example", None));
        assert_eq!(name_and_port("site.example:8080"), ("site.example", Some(8080)));
        assert_eq!(name_and_port("[::1]"), ("[::1]", None));
        assert_eq!(name_and_port("[::1]:80"), ("[::1]", Some(80)));
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        assert_eq!(cut("/short", 8), "/short");
        assert_eq!(cut("/aé", 3), "/a");
    }
}
