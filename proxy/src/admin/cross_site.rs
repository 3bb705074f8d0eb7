//! Requests that the page of another site has a browser make: refused, since the browser may be let
//! in by its address or by a password that it keeps.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method};
use purge_protocol::foreign::is_purge_method;

use crate::client::end_address::EndAddress;
use crate::client::peer::Peer;

/// Returns why a request is refused, if it is.
///
/// A page of another site may neither order anything nor read (`Sec-Fetch-Site`, or `Origin` where
/// a browser sends only that). Where no token is asked for, the host has to be an address, a
/// `localhost`, or a name without a dot: any other may be that of a site whose name has been made
/// to lead here. Purges name the host of what they purge.
pub(super) fn objection(parts: &Parts, peer: &Peer, has_token: bool) -> Option<&'static str> {
    let field = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = parts.uri.authority().map(Authority::as_str).or_else(|| field(HOST));
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let is_foreign = match (field(SEC_FETCH_SITE), field(ORIGIN)) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => !is_origin_of(origin, host.unwrap_or_default()),
        (None, None) => false,
    };
    let is_navigation = is_read && field(SEC_FETCH_MODE) == Some("navigate");
    if is_foreign && !is_navigation {
        return Some("Pages of other sites have no access to this listener.");
    }
    let is_named = host.is_some_and(|host| !is_of_this_machine(host));
    let may_be_named =
        has_token || peer.remote == EndAddress::Unix || is_purge_method(parts.method.as_str());
    (is_named && !may_be_named && parts.method.as_str() != "PURGE").then_some(
        "Without admin.token this listener is asked for by its address or as localhost: another host \
         may be a site whose name leads here. Use the address, or set admin.token.",
    )
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    !authority.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// Returns whether a host with or without a port is none that a name server of another site speaks
/// for.
fn is_of_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.');
    let is_address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
    let last = name.rsplit('.').next().unwrap_or(name);
    is_address || !name.contains('.') || last.eq_ignore_ascii_case("localhost")
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;

    use super::*;

    fn peer(remote: EndAddress) -> Peer {
        Peer {
            local: remote,
            remote,
            is_trusted: false,
            is_secure: false,
            listener: None,
            retained: Arc::default(),
            claims: Arc::default(),
        }
    }

    fn is_refused(method: &str, fields: &[(&str, &str)], has_token: bool) -> bool {
        let mut request = Request::builder().method(method).uri("/api/v1/purge");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = peer(EndAddress::Ip("127.0.0.1:1".parse().unwrap()));
        objection(&parts, &peer, has_token).is_some()
    }

    #[test]
    fn a_page_of_another_site_orders_nothing() {
        let host = ("host", "127.0.0.1:8081");
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://127.0.0.1:8082"),
            ("origin", "null"),
            ("origin", ""),
        ] {
            for method in ["POST", "PATCH", "GET", "PURGE"] {
                assert!(is_refused(method, &[host, (name, value)], true), "{method} {value}");
            }
        }
    }

    #[test]
    fn the_listeners_own_pages_and_programs_do() {
        let host = ("host", "127.0.0.1:8081");
        let own = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("origin", "http://127.0.0.1:8081"),
            ("user-agent", "curl/8"),
        ];
        for field in own {
            assert!(!is_refused("POST", &[host, field], false), "{field:?}");
        }
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(!is_refused("GET", &link, false), "a link may lead here");
        assert!(is_refused("POST", &link, false), "a form may not");
    }

    #[test]
    fn a_name_that_leads_here_needs_a_token() {
        for host in ["evil.example:8081", "evil.example", "127.0.0.1.evil.example", "a b", "1.2.3"]
        {
            assert!(is_refused("GET", &[("host", host)], false), "{host}");
            assert!(!is_refused("GET", &[("host", host)], true), "{host}");
            assert!(!is_refused("PURGE", &[("host", host)], false), "{host}");
            assert!(!is_refused("BAN", &[("host", host)], false), "{host}");
        }
        for host in
            ["localhost:8081", "LOCALHOST", "a.localhost:1", "[::1]:8081", "10.0.0.1", "proxy-0"]
        {
            assert!(!is_refused("GET", &[("host", host)], false), "{host}");
        }
        assert!(!is_refused("GET", &[], false));
    }
}
