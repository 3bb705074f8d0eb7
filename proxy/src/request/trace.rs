//! Fields that say which way a message came: `Via` (RFC 9110 §7.6.3), `Forwarded` (RFC 7239),
//! `X-Forwarded-*`, request ids.
//!
//! They are ours and written anew. A trusted peer is believed about the client's address
//! (`X-Real-IP` tells the origin), the scheme and the host; the last two then are part of the key.

use http::Version;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, VIA};

use super::RequestHead;
use super::forwarding::client_address;
use crate::key::Scheme;

/// Writes the trace fields of a request to the origin: what they say of its URL is what the key
/// says.
pub fn write(fields: &mut HeaderMap, request: &RequestHead, via: &str) {
    let is_trusted = request.peer.is_trusted;
    // Metadata may have underscores, and no server of gRPC is an heir of CGI.
    let is_call = request.policy.origin().patience_with_call(fields).is_some();
    let misleads = |name: &&HeaderName| {
        let name = name.as_str();
        let is_forwarding =
            name.starts_with("x-forwarded") && !(is_trusted && name == "x-forwarded-for");
        // CGI and its heirs take an underscore for a hyphen. A trusted peer passes on what its
        // clients send.
        let is_twin = name.contains('_') && !(is_call && is_metadata(name));
        is_forwarding || is_twin || OVERRIDES.contains(&name)
    };
    let misleading: Vec<HeaderName> = fields.keys().filter(misleads).cloned().collect();
    for name in misleading {
        fields.remove(name);
    }
    fields.remove(FORWARDED);
    let listen =
        request.peer.listener.and_then(|listener| listener.of(&request.policy.settings().listen));
    let trusted = listen.map_or(&[][..], |listen| &listen.trusted_proxies);
    if let Some(client) = client_address(fields, &request.peer, trusted) {
        set(fields, X_REAL_IP, &client.to_string());
    }
    set(fields, X_FORWARDED_PORT, port_of(request));
    if let Some(address) = request.peer.remote.ip() {
        append_member(fields, X_FORWARDED_FOR, &address.to_string());
    }
    set(fields, X_FORWARDED_PROTO, request.key.scheme().as_str());
    set(fields, X_FORWARDED_HOST, request.target.host());
    append_via(fields, request.version, via);
}

/// Returns whether a name with underscores resembles none of the fields that say which way a
/// message came.
fn is_metadata(name: &str) -> bool {
    let twin = name.replace('_', "-");
    !twin.starts_with("x-forwarded") && !OVERRIDES.contains(&&*twin)
}

/// Returns the port of the request's URL. No field is believed about it: it would have to be part
/// of the key.
fn port_of(request: &RequestHead) -> &str {
    let port = request.target.host().rsplit_once(':').map(|(_, port)| port);
    let usual = if request.key.scheme() == Scheme::Https { "443" } else { "80" };
    port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or(usual)
}

/// Gives the request an id, unless it has a sound one: the origin and an error page show the same.
pub fn identify(fields: &mut HeaderMap) {
    let id = request_id(fields);
    set(fields, X_REQUEST_ID, &id);
}

/// Adds us to `Via`: the version that we received, our name.
pub fn append_via(fields: &mut HeaderMap, received: Version, via: &str) {
    let version = match received {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    append_member(fields, VIA, &format!("{version} {via}"));
}

/// Returns how often a request has come through proxies of our name, which must not go on for ever
/// (RFC 9110 §7.6). Several in a row, an edge and a shield, may share a name.
pub fn passes(fields: &HeaderMap, via: &str) -> usize {
    let members =
        fields.get_all(VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = members.filter_map(|member| {
        member.trim_ascii().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1)
    });
    names.filter(|name| *name == via.as_bytes()).count()
}

pub const PASSES_MAX: usize = 8;

/// The request's id if it has a sound one, else a new one.
pub fn request_id(fields: &HeaderMap) -> String {
    let given = fields.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    given.filter(|id| is_request_id(id)).map_or_else(new_request_id, str::to_owned)
}

fn is_request_id(id: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=' | b'/' | b'+')
        })
}

fn new_request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Joins a member to a list field, all lines made one.
fn append_member(fields: &mut HeaderMap, name: HeaderName, member: &str) {
    let mut list = Vec::new();
    for line in fields.get_all(&name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        fields.insert(name, value);
    }
}

fn set(fields: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        fields.insert(name, value);
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Fields that could make the renderer believe in another URL or method than the one in the key.
/// Nobody is believed in them, not even trusted peers: load balancers pass them on.
const OVERRIDES: &[&str] = &[
    "x-real-ip",
    "x-client-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "x-original-uri",
    "x-original-method",
    "x-envoy-original-path",
    "x-url-scheme",
    "front-end-https",
    "x-http-host-override",
    "x-method",
    "x-middleware-subrequest",
    "x-invoke-path",
    "x-matched-path",
    "x-now-route-matches",
    "proxy",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];
