//! Preconditions of a client's request against a stored response (RFC 9110 §13, RFC 9111 §4.3.2).
//!
//! A cache evaluates `If-None-Match`, else `If-Modified-Since`. `If-Match` and
//! `If-Unmodified-Since` are for the origin server: a request that has one is forwarded
//! ([`must_forward`]), so no outcome here is 412. `If-Range` is in `range`. Nothing here allocates
//! before it is known that the answer is 304.

use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderName, Method, StatusCode};

use crate::compression::form;
use crate::field::entity_tag::EntityTag;
use crate::field::http_date;
use process::timestamp::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    pub etag: Option<&'a [u8]>,
    pub last_modified: Option<&'a [u8]>,
    pub date: Option<&'a [u8]>,
    pub received: Timestamp,
    /// It may be one of several codings of the content, which have the date in common.
    pub has_codings: bool,
}

impl<'a> Validators<'a> {
    pub fn of(stored: &'a HeaderMap, received: Timestamp) -> Self {
        let field = |name| stored.get(name).map(HeaderValue::as_bytes);
        Self {
            etag: field(ETAG),
            last_modified: field(LAST_MODIFIED),
            date: field(DATE),
            received,
            has_codings: form::varies_on_encoding(stored),
        }
    }

    /// Returns the time of the last change of the representation, or at the latest that of its
    /// creation or receipt (RFC 9111 §4.3.2).
    fn modified(&self) -> Timestamp {
        let date = |value| http_date::parse(value, self.received);
        self.last_modified.and_then(date).or_else(|| self.generated()).unwrap_or(self.received)
    }

    /// Returns whether `Last-Modified` is a strong validator: a second or more before `Date` (RFC
    /// 9110 §8.8.2.2), and not shared by several representations (§8.8.1).
    pub(crate) fn has_strong_date(&self) -> bool {
        if self.has_codings {
            return false;
        }
        let modified = self.last_modified.and_then(|value| http_date::parse(value, self.received));
        modified.zip(self.generated()).is_some_and(|(modified, date)| modified < date)
    }

    fn generated(&self) -> Option<Timestamp> {
        self.date.and_then(|value| http_date::parse(value, self.received))
    }
}

/// The effect of the preconditions on a request that a stored response could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    Proceed,
    /// 304 answers it: the client has the same representation.
    NotModified,
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
//# A cache MUST NOT evaluate conditional header fields that only apply
//# to an origin server
/// Returns whether only the origin server may evaluate the preconditions of this request.
pub fn must_forward(request_headers: &HeaderMap) -> bool {
    request_headers.contains_key(IF_MATCH) || request_headers.contains_key(IF_UNMODIFIED_SINCE)
}

/// Evaluates the preconditions of a request in the order of RFC 9110 §13.2.2.
///
/// They count where the response without them would be a 200 to GET or HEAD; otherwise they are
/// ignored (§13.2.1).
pub fn evaluate(
    method: &Method,
    request_headers: &HeaderMap,
    stored_status: StatusCode,
    stored: &Validators<'_>,
) -> Precondition {
    let is_get_or_head = method == Method::GET || method == Method::HEAD;
    if !is_get_or_head || stored_status != StatusCode::OK {
        return Precondition::Proceed;
    }
    let is_not_modified = if request_headers.contains_key(IF_NONE_MATCH) {
        has_match(request_headers, stored.etag)
    } else {
        is_unmodified_since(request_headers, stored)
    };
    if is_not_modified { Precondition::NotModified } else { Precondition::Proceed }
}

/// Returns the head of a 304 for a stored head (RFC 9110 §15.4.5).
///
/// Fields about the content are left out, and `Last-Modified` where there is an `ETag`. All others
/// are kept: `Cache-Control`, `Content-Location`, `Date`, `ETag`, `Expires`, `Vary`, and fields
/// that this proxy does not know.
pub fn not_modified_head(stored: &HeaderMap) -> HeaderMap {
    let mut head = stored.clone();
    for name in REPRESENTATION_METADATA {
        head.remove(name);
    }
    if head.contains_key(ETAG) {
        head.remove(LAST_MODIFIED);
    }
    head
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
//# A recipient MUST use the weak comparison function when comparing
//# entity tags for If-None-Match (Section 8.8.3.2), since weak entity
//# tags can be used for cache validation even if there have been changes
//# to the representation data.
fn has_match(request_headers: &HeaderMap, stored_etag: Option<&[u8]>) -> bool {
    let mut lines = request_headers.get_all(IF_NONE_MATCH).into_iter().map(HeaderValue::as_bytes);
    lines.any(|line| {
        let is_any = line.trim_ascii() == b"*";
        is_any || stored_etag.is_some_and(|etag| lists(line, EntityTag::of(etag)))
    })
}

fn lists(line: &[u8], etag: EntityTag<'_>) -> bool {
    EntityTag::list(line).any(|listed| listed.weakly_equals(etag))
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3
//# A recipient MUST ignore the If-Modified-Since header field if the
//# received field value is not a valid HTTP-date, the field value has
//# more than one member, or if the request method is neither GET nor
//# HEAD.
fn is_unmodified_since(request_headers: &HeaderMap, stored: &Validators<'_>) -> bool {
    let mut lines = request_headers.get_all(IF_MODIFIED_SINCE).into_iter();
    let (Some(since), None) = (lines.next(), lines.next()) else { return false };
    http_date::parse(since.as_bytes(), stored.received)
        .is_some_and(|since| stored.modified() <= since)
}

/// Fields about content that a 304 does not have.
const REPRESENTATION_METADATA: [HeaderName; 10] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("repr-digest"),
];

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, StatusCode};
    use proptest::prelude::{any, proptest};

    use super::{Precondition, Validators, evaluate, must_forward, not_modified_head};
    use crate::freshness::tests::headers;
    use process::timestamp::Timestamp;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn outcome(stored: &[(&str, &str)], request: &[(&str, &str)]) -> Precondition {
        let stored = headers(stored);
        let validators = Validators::of(&stored, Timestamp::from_secs(784_111_777 + 3600));
        evaluate(&Method::GET, &headers(request), StatusCode::OK, &validators)
    }

    #[test]
    fn if_none_match_compares_weakly_with_every_member_of_every_line() {
        for (etag, request, expected) in [
            (r#""a""#, &[("if-none-match", r#""a""#)][..], Precondition::NotModified),
            (r#""a""#, &[("if-none-match", r#"W/"a""#)], Precondition::NotModified),
            (r#"W/"a""#, &[("if-none-match", r#""a""#)], Precondition::NotModified),
            (r#""a""#, &[("if-none-match", r#""b", W/"a" , "c""#)], Precondition::NotModified),
            (
                r#""a""#,
                &[("if-none-match", r#""b""#), ("if-none-match", r#""a""#)],
                Precondition::NotModified,
            ),
            (r#""a,b""#, &[("if-none-match", r#""x", "a,b""#)], Precondition::NotModified),
            (r#""a""#, &[("if-none-match", "*")], Precondition::NotModified),
            ("site-1", &[("if-none-match", "site-1")], Precondition::NotModified),
            (r#""a""#, &[("if-none-match", r#""b""#)], Precondition::Proceed),
            (r#""a""#, &[("if-none-match", r#""A""#)], Precondition::Proceed),
            (r#""a""#, &[("if-none-match", "a")], Precondition::Proceed),
            (r#""b""#, &[("if-none-match", r#""a,"b"#)], Precondition::Proceed),
            (r#""a""#, &[("if-none-match", "")], Precondition::Proceed),
        ] {
            assert_eq!(outcome(&[("etag", etag)], request), expected, "{etag} {request:?}");
        }
        assert_eq!(outcome(&[], &[("if-none-match", r#""a""#)]), Precondition::Proceed);
        assert_eq!(outcome(&[], &[("if-none-match", "*")]), Precondition::NotModified);
    }

    #[test]
    fn if_modified_since_counts_only_without_if_none_match() {
        let stored = [("etag", r#""a""#), ("last-modified", MODIFIED)];
        let since = ("if-modified-since", MODIFIED);
        assert_eq!(outcome(&stored, &[since]), Precondition::NotModified);
        assert_eq!(outcome(&stored, &[since, ("if-none-match", r#""b""#)]), Precondition::Proceed);
        assert_eq!(outcome(&stored, &[since, ("if-none-match", "")]), Precondition::Proceed);
    }

    #[test]
    fn if_modified_since_is_compared_as_a_date_and_ignored_when_it_is_none() {
        for (since, expected) in [
            (BEFORE, Precondition::Proceed),
            (MODIFIED, Precondition::NotModified),
            (AFTER, Precondition::NotModified),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Precondition::NotModified),
            ("Sun Nov  6 08:49:37 1994", Precondition::NotModified),
            ("yesterday", Precondition::Proceed),
            ("0", Precondition::Proceed),
            ("", Precondition::Proceed),
        ] {
            let stored = [("last-modified", MODIFIED), ("date", LATER)];
            assert_eq!(outcome(&stored, &[("if-modified-since", since)]), expected, "{since}");
        }
        let twice = [("if-modified-since", AFTER), ("if-modified-since", AFTER)];
        assert_eq!(outcome(&[("last-modified", MODIFIED)], &twice), Precondition::Proceed);
    }

    //= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.2
    //= type=test
    //# If a request contains an If-Modified-Since header field and the Last-
    //# Modified header field is not present in a stored response, a cache
    //# SHOULD use the stored response's Date field value (or, if no Date
    //# field is present, the time that the stored response was received) to
    //# evaluate the conditional.
    #[test]
    fn without_last_modified_the_date_or_the_time_of_receipt_counts() {
        let since = |date| [("if-modified-since", date)];
        assert_eq!(outcome(&[("date", MODIFIED)], &since(MODIFIED)), Precondition::NotModified);
        assert_eq!(outcome(&[("date", MODIFIED)], &since(BEFORE)), Precondition::Proceed);
        assert_eq!(outcome(&[], &since(MODIFIED)), Precondition::Proceed);
        assert_eq!(outcome(&[], &since(LATER)), Precondition::NotModified);
    }

    #[test]
    fn only_get_and_head_of_a_200_have_preconditions() {
        let stored = headers(&[("etag", r#""a""#)]);
        let request = headers(&[("if-none-match", r#""a""#)]);
        let validators = Validators::of(&stored, Timestamp::from_secs(0));
        for (method, status, expected) in [
            (Method::GET, StatusCode::OK, Precondition::NotModified),
            (Method::HEAD, StatusCode::OK, Precondition::NotModified),
            (Method::POST, StatusCode::OK, Precondition::Proceed),
            (Method::GET, StatusCode::NOT_FOUND, Precondition::Proceed),
            (Method::GET, StatusCode::MOVED_PERMANENTLY, Precondition::Proceed),
        ] {
            assert_eq!(
                evaluate(&method, &request, status, &validators),
                expected,
                "{method} {status}"
            );
        }
    }

    #[test]
    fn if_match_and_if_unmodified_since_are_for_the_origin_server() {
        assert!(must_forward(&headers(&[("if-match", "*")])));
        assert!(must_forward(&headers(&[("if-unmodified-since", MODIFIED)])));
        assert!(!must_forward(&headers(&[
            ("if-none-match", "*"),
            ("if-modified-since", MODIFIED)
        ])));
    }

    #[test]
    fn a_304_leaves_out_what_describes_the_content() {
        let kept = [
            ("cache-control", "max-age=60"),
            ("content-location", "/a"),
            ("content-security-policy", "default-src 'self'"),
            ("date", LATER),
            ("etag", r#""a""#),
            ("expires", LATER),
            ("vary", "accept"),
            ("link", "</a>"),
            ("link", "</b>"),
        ];
        let dropped = [
            ("content-type", "text/html"),
            ("content-length", "5"),
            ("content-encoding", "br"),
            ("last-modified", MODIFIED),
        ];
        let stored = headers(&[&kept[..], &dropped[..]].concat());
        assert_eq!(not_modified_head(&stored), headers(&kept));

        let without_etag = headers(&[("last-modified", MODIFIED), ("content-length", "5")]);
        assert_eq!(not_modified_head(&without_etag), headers(&[("last-modified", MODIFIED)]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_evaluated(
            etag in any::<Vec<u8>>(), line in any::<Vec<u8>>(), date in any::<Vec<u8>>(),
        ) {
            let mut request = HeaderMap::new();
            for (name, value) in [("if-none-match", line), ("if-modified-since", date.clone())] {
                if let Ok(value) = value.try_into() { request.append(name, value); }
            }
            let stored = Validators {
                etag: Some(&etag),
                last_modified: Some(&date),
                date: None,
                received: Timestamp::MAX,
                has_codings: false,
            };
            evaluate(&Method::GET, &request, StatusCode::OK, &stored);
            request.remove("if-none-match");
            evaluate(&Method::GET, &request, StatusCode::OK, &stored);
        }
    }
}
