//! A line of the access log as a JSON object, written by hand: no tree, no allocation.

use std::time::Duration;

use http::header::{REFERER, USER_AGENT};

use super::escaped::{push_json, push_number};
use super::logged_request::LoggedRequest;
use super::redaction::{HIDDEN, Redaction};
use super::wall_time::push_rfc3339;

/// Adds the object. `sample` is the share of requests that have a line, in millionths, where this
/// one has it by chance.
pub(super) fn push(
    line: &mut Vec<u8>,
    request: &LoggedRequest<'_>,
    redaction: &Redaction,
    sample: Option<u32>,
) {
    line.extend_from_slice(b"{\"ts\":\"");
    push_rfc3339(line, request.received_millis);
    line.extend_from_slice(b"\",\"log\":\"access\",\"client\":\"");
    push_client(line, request);
    line.push(b'"');
    push_target(line, request, redaction);
    push_answer(line, request);
    push_decision(line, request);
    push_names(line, request, redaction);
    if let Some(sample) = sample {
        push_key(line, "sample");
        push_fraction(line, sample);
    }
    line.push(b'}');
}

/// Adds the client's address, or `unix:` or `unknown` where it has none.
pub(super) fn push_client(line: &mut Vec<u8>, request: &LoggedRequest<'_>) {
    use std::io::Write as _;

    let _to_memory = match request.client() {
        Some(address) => write!(line, "{address}"),
        None => write!(line, "{}", request.details.peer.remote),
    };
}

fn push_target(line: &mut Vec<u8>, request: &LoggedRequest<'_>, redaction: &Redaction) {
    push_plain(line, "method", request.method());
    push_plain(line, "scheme", request.scheme());
    push_field(line, "host", request.host());
    push_field(line, "path", request.path());
    if let Some(query) = request.query() {
        push_field(line, "query", redaction.query(query, &mut Vec::new()));
    }
    push_plain(line, "proto", request.protocol());
    if request.details.peer.is_secure {
        line.extend_from_slice(b",\"tls\":true");
    }
}

fn push_answer(line: &mut Vec<u8>, request: &LoggedRequest<'_>) {
    for (key, number) in [
        ("status", u64::from(request.status())),
        ("bytes", request.record.sent),
        ("bytes_in", request.record.received.bytes()),
    ] {
        push_key(line, key);
        push_number(line, number);
    }
    for (key, span) in [("dur_ms", request.total()), ("ttfb_ms", request.first_byte())] {
        push_key(line, key);
        push_millis(line, span);
    }
    if !request.record.is_complete {
        line.extend_from_slice(b",\"complete\":false");
    }
}

fn push_decision(line: &mut Vec<u8>, request: &LoggedRequest<'_>) {
    if let Some(outcome) = request.outcome() {
        push_plain(line, "cache", outcome.as_str());
    }
    if let Some(reason) = request.reason() {
        push_plain(line, "reason", reason.as_str());
    }
    if let Some(ttl) = request.ttl() {
        push_key(line, "ttl");
        line.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
    }
    if let Some(forwarded) = request.forwarded() {
        push_plain(line, "fwd", forwarded.reason.as_str());
        if let Some(status) = forwarded.status {
            push_key(line, "origin_status");
            push_number(line, u64::from(status.as_u16()));
        }
        for (is_so, key) in [(forwarded.is_stored, "stored"), (forwarded.is_collapsed, "collapsed")]
        {
            if is_so {
                push_key(line, key);
                line.extend_from_slice(b"true");
            }
        }
    }
    if let Some(hash) = request.record.key {
        push_key(line, "key_hash");
        line.push(b'"');
        push_hash(line, hash);
        line.push(b'"');
    }
}

fn push_names(line: &mut Vec<u8>, request: &LoggedRequest<'_>, redaction: &Redaction) {
    if let Some(origin) = request.origin() {
        push_field(line, "origin", origin.as_bytes());
    }
    let mut rules = request.rules().peekable();
    if rules.peek().is_some() {
        push_key(line, "rules");
        line.push(b'[');
        for (place, rule) in rules.enumerate() {
            if place > 0 {
                line.push(b',');
            }
            push_json(line, rule.as_bytes());
        }
        line.push(b']');
    }
    if let Some(listener) = request.listener() {
        push_field(line, "listener", listener.as_bytes());
    }
    if let Some(id) = request.request_id() {
        push_field(line, "request_id", id);
    }
    if let Some(id) = request.trace_id() {
        push_plain(line, "trace_id", id);
    }
    if let Some(agent) = request.field("user-agent") {
        push_field(line, "ua", if redaction.hides(&USER_AGENT) { HIDDEN } else { agent });
    }
    if let Some(url) = request.field("referer") {
        let mut kept = Vec::new();
        let shown = if redaction.hides(&REFERER) { HIDDEN } else { redaction.url(url, &mut kept) };
        push_field(line, "referer", shown);
    }
}

fn push_key(line: &mut Vec<u8>, key: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(key.as_bytes());
    line.extend_from_slice(b"\":");
}

fn push_field(line: &mut Vec<u8>, key: &str, value: &[u8]) {
    push_key(line, key);
    push_json(line, value);
}

/// Adds a value of ours, in which nothing has to be escaped.
fn push_plain(line: &mut Vec<u8>, key: &str, value: &str) {
    push_key(line, key);
    line.push(b'"');
    line.extend_from_slice(value.as_bytes());
    line.push(b'"');
}

/// Adds milliseconds with three places.
fn push_millis(line: &mut Vec<u8>, span: Duration) {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    push_number(line, micros / 1000);
    let rest = micros % 1000;
    line.push(b'.');
    for divisor in [100, 10, 1] {
        line.extend(u8::try_from(rest / divisor % 10).map(|digit| b'0' + digit));
    }
}

/// Adds a share of millionths as a number up to 1.
fn push_fraction(line: &mut Vec<u8>, millionths: u32) {
    line.extend_from_slice(format!("{}", f64::from(millionths) / 1_000_000.0).as_bytes());
}

/// Adds a hash as 16 hexadecimal digits.
pub(super) fn push_hash(line: &mut Vec<u8>, hash: u64) {
    for shift in (0..16).rev() {
        let digit = u8::try_from(hash >> (shift * 4) & 0xf).unwrap_or_default();
        line.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
    }
}
