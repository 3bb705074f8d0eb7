//! The fields of a response that are stored (RFC 9111 §3.1), and their update by newer ones (§3.2).

use http::HeaderName;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

use crate::compression::form::{FORM, MADE_OF};
use crate::field::http_date;
use crate::freshness::ResponseDirectives;
use crate::freshness::directive::members;
use process::timestamp::Timestamp;

//= https://www.rfc-editor.org/rfc/rfc9111#section-3.1
//# Caches MUST include all received response header fields -- including
//# unrecognized ones -- when storing a response; this assures that new
//# HTTP header fields can be successfully deployed.
/// Returns the fields to store; a missing `Date` becomes the time of receipt (RFC 9110 §6.6.1).
pub fn stored_fields(received_head: &HeaderMap, received: Timestamp) -> HeaderMap {
    let mut stored = received_head.clone();
    for name in connection_fields(received_head) {
        stored.remove(name);
    }
    for name in ResponseDirectives::of(received_head).qualified_fields() {
        stored.remove(name);
    }
    for name in NEVER_STORED {
        stored.remove(name);
    }
    stored.entry(DATE).or_insert_with(|| http_date::format(received));
    stored
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
//# When doing so, the cache MUST add each header field in the provided
//# response to the stored response, replacing field values that are
//# already present, with the following exceptions:
/// Returns the stored fields updated by those of a 304, or of a 200 to HEAD, which arrived at
/// `received`.
///
/// Each received field replaces all lines of its namesake. What the stored bytes depend on stays as
/// it is (their coding, length and digests), and so does a stored `ETag`: the new one matches it,
/// and may only be weaker. `Date` and `Age` always belong to the new head.
pub fn freshen(stored: &HeaderMap, newer_head: &HeaderMap, received: Timestamp) -> HeaderMap {
    let newer = stored_fields(newer_head, received);
    let mut updated = stored.clone();
    updated.remove(AGE);
    for name in newer.keys().filter(|name| may_replace(stored, name)) {
        updated.remove(name);
        for value in newer.get_all(name) {
            updated.append(name, value.clone());
        }
    }
    updated
}

fn may_replace(stored: &HeaderMap, name: &HeaderName) -> bool {
    let keeps_etag = *name == ETAG && stored.contains_key(ETAG);
    !DEPENDED_UPON.contains(name) && !keeps_etag
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-3.2
//# *  Header fields that the cache's stored response depends upon, as
//#    described below,
const DEPENDED_UPON: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Returns the fields that `Connection` names (RFC 9110 §7.6.1).
fn connection_fields(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = headers.get_all(CONNECTION).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(members).filter_map(|name| HeaderName::from_bytes(name).ok())
}

/// Fields of one connection, and of one proxy (RFC 9111 §3.1); and two that only this cache writes.
const NEVER_STORED: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    FORM,
    MADE_OF,
];

#[cfg(test)]
mod tests {
    use super::{freshen, stored_fields};
    use crate::freshness::tests::{NOW, NOW_DATE, headers};

    const DATE: (&str, &str) = ("date", NOW_DATE);

    #[test]
    fn everything_is_stored_but_what_belongs_to_a_connection_or_a_proxy() {
        let kept =
            [DATE, ("x-unknown", "1"), ("set-cookie", "a=b"), ("link", "</a>"), ("link", "</b>")];
        let dropped = [
            ("connection", "close, X-Hop , content-length"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x"),
            ("proxy-authorization", "x"),
            ("shellac-form", "br"),
            ("shellac-made-of", "0"),
        ];
        let head = headers(&[&kept[..], &dropped[..]].concat());
        assert_eq!(stored_fields(&head, NOW), headers(&kept));
    }

    #[test]
    fn fields_named_by_no_cache_and_private_are_not_stored() {
        let control = ("cache-control", "private=\"X-User, x-cart\", no-cache=x-price");
        let head = headers(&[
            DATE,
            control,
            ("x-user", "1"),
            ("x-cart", "2"),
            ("x-price", "3"),
            ("x-other", "4"),
        ]);
        assert_eq!(stored_fields(&head, NOW), headers(&[DATE, control, ("x-other", "4")]));
        let governed =
            headers(&[DATE, control, ("cdn-cache-control", "max-age=60"), ("x-user", "1")]);
        assert_eq!(stored_fields(&governed, NOW), governed, "another field governs");
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1
    //= type=test
    //# A recipient with a clock that receives a response message without a
    //# Date header field MUST record the time it was received and append a
    //# corresponding Date header field to the message's header section if it
    //# is cached or forwarded downstream.
    #[test]
    fn a_missing_date_is_the_time_of_receipt() {
        assert_eq!(stored_fields(&headers(&[]), NOW), headers(&[DATE]));
    }

    #[test]
    fn received_fields_replace_and_add_but_what_describes_the_content_stays() {
        let stored = headers(&[
            ("date", "Sun, 06 Nov 1994 07:49:37 GMT"),
            ("age", "9"),
            ("etag", r#""a""#),
            ("cache-control", "max-age=60"),
            ("cache-control", "public"),
            ("content-length", "5"),
            ("content-type", "text/html"),
            ("content-encoding", "br"),
            ("x-kept", "1"),
        ]);
        let newer = headers(&[
            ("etag", r#"W/"a""#),
            ("cache-control", "max-age=90"),
            ("content-length", "0"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("content-range", "bytes 0-1/5"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x-new", "1"),
            ("x-new", "2"),
        ]);
        let expected = headers(&[
            DATE,
            ("etag", r#""a""#),
            ("cache-control", "max-age=90"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("content-encoding", "br"),
            ("x-kept", "1"),
            ("x-new", "1"),
            ("x-new", "2"),
        ]);
        assert_eq!(freshen(&stored, &newer, NOW), expected);
    }

    #[test]
    fn a_stored_response_without_an_etag_receives_one() {
        let freshened = freshen(&headers(&[]), &headers(&[("etag", r#""a""#)]), NOW);
        assert_eq!(freshened.get("etag").unwrap(), r#""a""#);
    }
}
