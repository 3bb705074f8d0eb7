//! A line of the access log as a JSON object, written by hand: no tree, no allocation. Keys are
//! written with their punctuation, so that each is one copy of a known length.

use std::net::IpAddr;
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
    line.reserve(RESERVE);
    line.extend_from_slice(b"{\"ts\":\"");
    push_rfc3339(line, request.received_millis);
    line.extend_from_slice(b"\",\"log\":\"access\",\"client\":\"");
    push_client(line, request);
    line.extend_from_slice(b"\",\"method\":\"");
    push_target(line, request, redaction);
    push_answer(line, request);
    push_decision(line, request);
    push_names(line, request, redaction);
    if let Some(sample) = sample {
        line.extend_from_slice(b",\"sample\":");
        push_fraction(line, sample);
    }
    line.push(b'}');
}

/// Adds the client's address, or `unix:` or `unknown` where it has none.
pub(super) fn push_client(line: &mut Vec<u8>, request: &LoggedRequest<'_>) {
    use std::io::Write as _;

    match request.client() {
        Some(IpAddr::V4(address)) => {
            let [first, rest @ ..] = address.octets();
            push_number(line, u64::from(first));
            for octet in rest {
                line.push(b'.');
                push_number(line, u64::from(octet));
            }
        }
        Some(address) => {
            let _to_memory = write!(line, "{address}");
        }
        None => {
            let _to_memory = write!(line, "{}", request.details.peer.remote);
        }
    }
}

/// Goes on in the value of the method.
fn push_target(line: &mut Vec<u8>, request: &LoggedRequest<'_>, redaction: &Redaction) {
    line.extend_from_slice(request.method().as_bytes());
    line.extend_from_slice(b"\",\"scheme\":\"");
    line.extend_from_slice(request.scheme().as_bytes());
    line.extend_from_slice(b"\",\"host\":");
    push_json(line, request.host());
    line.extend_from_slice(b",\"path\":");
    push_json(line, request.path());
    if let Some(query) = request.query() {
        line.extend_from_slice(b",\"query\":");
        push_json(line, redaction.query(query, &mut Vec::new()));
    }
    line.extend_from_slice(b",\"proto\":\"");
    line.extend_from_slice(request.protocol().as_bytes());
    line.push(b'"');
    if request.details.peer.is_secure {
        line.extend_from_slice(b",\"tls\":true");
    }
}

fn push_answer(line: &mut Vec<u8>, request: &LoggedRequest<'_>) {
    line.extend_from_slice(b",\"status\":");
    push_number(line, u64::from(request.status()));
    line.extend_from_slice(b",\"bytes\":");
    push_number(line, request.record.sent);
    line.extend_from_slice(b",\"bytes_in\":");
    push_number(line, request.record.received.bytes());
    line.extend_from_slice(b",\"dur_ms\":");
    push_millis(line, request.total());
    line.extend_from_slice(b",\"ttfb_ms\":");
    push_millis(line, request.first_byte());
    if !request.record.is_complete {
        line.extend_from_slice(b",\"complete\":false");
    }
}

fn push_decision(line: &mut Vec<u8>, request: &LoggedRequest<'_>) {
    if let Some(outcome) = request.outcome() {
        push_plain(line, b",\"cache\":\"", outcome.as_str());
    }
    if let Some(reason) = request.reason() {
        push_plain(line, b",\"reason\":\"", reason.as_str());
    }
    if let Some(ttl) = request.ttl() {
        line.extend_from_slice(b",\"ttl\":");
        line.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
    }
    if let Some(forwarded) = request.forwarded() {
        push_plain(line, b",\"fwd\":\"", forwarded.reason.as_str());
        if let Some(status) = forwarded.status {
            line.extend_from_slice(b",\"origin_status\":");
            push_number(line, u64::from(status.as_u16()));
        }
        if forwarded.is_stored {
            line.extend_from_slice(b",\"stored\":true");
        }
        if forwarded.is_collapsed {
            line.extend_from_slice(b",\"collapsed\":true");
        }
    }
    if let Some(hash) = request.record.key {
        line.extend_from_slice(b",\"key_hash\":\"");
        push_hash(line, hash);
        line.push(b'"');
    }
}

fn push_names(line: &mut Vec<u8>, request: &LoggedRequest<'_>, redaction: &Redaction) {
    if let Some(origin) = request.origin() {
        line.extend_from_slice(b",\"origin\":");
        push_json(line, origin.as_bytes());
    }
    let mut rules = request.rules().peekable();
    if rules.peek().is_some() {
        line.extend_from_slice(b",\"rules\":[");
        for (place, rule) in rules.enumerate() {
            if place > 0 {
                line.push(b',');
            }
            push_json(line, rule.as_bytes());
        }
        line.push(b']');
    }
    if let Some(listener) = request.listener() {
        line.extend_from_slice(b",\"listener\":");
        push_json(line, listener.as_bytes());
    }
    if let Some(id) = request.request_id() {
        line.extend_from_slice(b",\"request_id\":");
        push_json(line, id);
    }
    if let Some(id) = request.trace_id() {
        push_plain(line, b",\"trace_id\":\"", &id);
    }
    if let Some(agent) = request.field(&USER_AGENT) {
        line.extend_from_slice(b",\"ua\":");
        push_json(line, if redaction.hides(&USER_AGENT) { HIDDEN } else { agent });
    }
    if let Some(url) = request.field(&REFERER) {
        let mut kept = Vec::new();
        let shown = if redaction.hides(&REFERER) { HIDDEN } else { redaction.url(url, &mut kept) };
        line.extend_from_slice(b",\"referer\":");
        push_json(line, shown);
    }
}

/// Adds a value of ours, in which nothing has to be escaped, behind its key and a quote.
#[inline]
fn push_plain(line: &mut Vec<u8>, key: &[u8], value: &str) {
    line.extend_from_slice(key);
    line.extend_from_slice(value.as_bytes());
    line.push(b'"');
}

/// Adds milliseconds with three places.
fn push_millis(line: &mut Vec<u8>, span: Duration) {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    push_number(line, micros / 1000);
    let digit = |divisor: u64| b'0' + u8::try_from(micros / divisor % 10).unwrap_or_default();
    line.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// Adds a share of millionths as a number up to 1.
fn push_fraction(line: &mut Vec<u8>, millionths: u32) {
    line.extend_from_slice(format!("{}", f64::from(millionths) / 1_000_000.0).as_bytes());
}

/// Adds a hash as 16 hexadecimal digits.
pub(super) fn push_hash(line: &mut Vec<u8>, hash: u64) {
    let mut digits = [0; 16];
    for (digit, shift) in digits.iter_mut().zip((0..16).rev()) {
        let value = (hash >> (shift * 4) & 0xf) as usize;
        *digit = HEX.get(value).copied().unwrap_or_default();
    }
    line.extend_from_slice(&digits);
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Most lines are shorter.
const RESERVE: usize = 512;
