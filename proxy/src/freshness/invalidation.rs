//! Unsafe methods invalidate (RFC 9111 §4.4): which URIs a successful POST, PUT, DELETE ... makes
//! stale.

use http::header::{CONTENT_LOCATION, HeaderMap, LOCATION};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};
use smallvec::SmallVec;

use crate::field::uri_reference;

/// The URIs whose stored responses are invalid from now on: the target, `Location` and
/// `Content-Location`.
pub type InvalidatedUris = SmallVec<[Uri; 3]>;

/// Returns what the response to a request invalidates; nothing for a safe method or an error.
pub fn targets(
    method: &Method,
    status: StatusCode,
    target_uri: &Uri,
    response_headers: &HeaderMap,
) -> InvalidatedUris {
    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
    //# A cache MUST invalidate the target URI (Section 7.1 of [HTTP]) when
    //# it receives a non-error status code in response to an unsafe request
    //# method (including methods whose safety is unknown).
    let is_non_error = status.is_success() || status.is_redirection();
    if method.is_safe() || !is_non_error {
        return InvalidatedUris::new();
    }
    let named = [LOCATION, CONTENT_LOCATION].into_iter().filter_map(|name| {
        let reference = response_headers.get(name)?.to_str().ok()?;
        within_origin(target_uri, &uri_reference::resolve(target_uri, reference)?)
    });
    let mut uris = InvalidatedUris::from_iter([target_uri.clone()]);
    for uri in named {
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    uris
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
//# However, a cache MUST NOT trigger an
//# invalidation under these conditions if the origin (Section 4.3.1 of
//# [HTTP]) of the URI to be invalidated differs from that of the target
//# URI (Section 7.1 of [HTTP]).
/// Returns a URI of the same origin, its authority written as in the target URI, so that both make
/// the same key.
fn within_origin(target_uri: &Uri, uri: &Uri) -> Option<Uri> {
    if origin(target_uri)? != origin(uri)? {
        return None;
    }
    let mut parts = target_uri.clone().into_parts();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}

/// Returns scheme, host and port (RFC 9110 §4.3.1).
fn origin(uri: &Uri) -> Option<(Scheme, String, u16)> {
    let (scheme, authority) = (uri.scheme()?.clone(), uri.authority()?);
    let default_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = authority.port_u16().unwrap_or(default_port);
    Some((scheme, authority.host().to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode, Uri};

    use super::targets;
    use crate::freshness::tests::headers;

    fn invalidated(method: &str, status: u16, fields: &[(&str, &str)]) -> Vec<String> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let target_uri = Uri::from_static("http://site.example/shop/cart?id=1");
        targets(&method, status, &target_uri, &headers(fields)).iter().map(Uri::to_string).collect()
    }

    const TARGET: &str = "http://site.example/shop/cart?id=1";

    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.4
    //= type=test
    //# A cache MUST invalidate the target URI (Section 7.1 of [HTTP]) when
    //# it receives a non-error status code in response to an unsafe request
    //# method (including methods whose safety is unknown).
    #[test]
    fn a_non_error_response_to_an_unsafe_method_invalidates_the_target_uri() {
        for (method, status, expected) in [
            ("POST", 200, true),
            ("PUT", 201, true),
            ("DELETE", 204, true),
            ("PATCH", 303, true),
            ("FROBNICATE", 200, true),
            ("POST", 304, true),
            ("POST", 400, false),
            ("POST", 503, false),
            ("POST", 100, false),
            ("GET", 200, false),
            ("HEAD", 200, false),
            ("OPTIONS", 200, false),
            ("TRACE", 200, false),
        ] {
            let expected: &[&str] = if expected { &[TARGET] } else { &[] };
            assert_eq!(invalidated(method, status, &[]), expected, "{method} {status}");
        }
    }

    #[test]
    fn location_and_content_location_of_the_same_origin_are_invalidated_too() {
        for (location, expected) in [
            ("/orders/7", Some("http://site.example/orders/7")),
            ("../orders", Some("http://site.example/orders")),
            ("?id=2", Some("http://site.example/shop/cart?id=2")),
            ("http://site.example/a", Some("http://site.example/a")),
            ("http://SITE.example:80/a#b", Some("http://site.example/a")),
            ("//site.example/a", Some("http://site.example/a")),
            ("https://site.example/a", None),
            ("http://site.example:8080/a", None),
            ("http://other.example/a", None),
            ("//other.example/a", None),
            ("mailto:a@site.example", None),
            ("http://[", None),
            (TARGET, None),
        ] {
            for field in ["location", "content-location"] {
                let expected: Vec<_> = [TARGET].into_iter().chain(expected).collect();
                assert_eq!(invalidated("POST", 201, &[(field, location)]), expected, "{location}");
            }
        }
    }

    #[test]
    fn both_fields_count() {
        let fields = [("location", "/a"), ("content-location", "/b")];
        let expected = [TARGET, "http://site.example/a", "http://site.example/b"];
        assert_eq!(invalidated("POST", 201, &fields), expected);
    }
}
