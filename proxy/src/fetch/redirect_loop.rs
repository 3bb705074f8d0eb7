//! Redirect loops behind a load balancer that ends TLS and is not trusted: the origin is told
//! `http` and redirects to `https` each time.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};

use super::metrics::FetchMetrics;
use crate::request::RequestHead;

/// Counts a redirect to the URL that the client has asked for already, and warns at the first one.
pub(super) fn look_for(
    metrics: &FetchMetrics,
    request: &RequestHead,
    status: StatusCode,
    fields: &HeaderMap,
) {
    if !status.is_redirection() || !is_loop(request, fields) {
        return;
    }
    if metrics.untrusted_redirects.value() == 0 {
        tracing::warn!(
            peer = %request.peer.remote,
            host = request.target.host(),
            "the origin redirects to https what the peer says was asked over https already: \
            if the peer is your load balancer, name it in listen.trusted_proxies"
        );
    }
    metrics.untrusted_redirects.add(1);
}

/// Returns whether an untrusted peer says `https` and the response leads to the same URL over
/// `https`.
fn is_loop(request: &RequestHead, fields: &HeaderMap) -> bool {
    let says_https = request
        .fields
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    if request.peer.is_trusted || !says_https {
        return false;
    }
    let location = fields.get(LOCATION).and_then(|location| location.to_str().ok());
    let rest = location.and_then(|location| location.strip_prefix("https://"));
    let (host, path) = (request.target.host(), request.target.path());
    rest.and_then(|rest| rest.strip_prefix(host)).is_some_and(|rest| rest == path)
}
