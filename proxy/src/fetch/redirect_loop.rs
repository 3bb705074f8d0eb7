//! A load balancer that ends TLS and is not trusted: the origin redirects to `https`, over and over, as it is told `http`.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};

use super::Fetcher;
use crate::request::RequestHead;

impl Fetcher {
    /// Counts a redirect to the URL that the client has asked for already, and warns at the first one.
    pub fn look_for_redirect_loop(
        &self,
        request: &RequestHead,
        status: StatusCode,
        fields: &HeaderMap,
    ) {
        if !status.is_redirection() || !is_loop(request, fields) {
            return;
        }
        if self.metrics.untrusted_redirects.value() == 0 {
            tracing::warn!(
                peer = %request.peer.remote.ip(),
                host = request.target.host(),
                "the origin redirects to https what the peer says was asked over https already: \
                if the peer is your load balancer, name it in listen.trusted_proxies"
            );
        }
        self.metrics.untrusted_redirects.add(1);
    }
}

/// Returns whether the peer says `https`, is not believed, and the response leads to the same URL with `https`.
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
