//! Validation of a stored response (RFC 9111 §4.3): the conditional request, and what its answer
//! means.
//!
//! A 304 that [`selects`] the stored response freshens it:
//! [`freshen`](super::stored_fields::freshen), then [`judge`](super::judge) with the stored status
//! code, the updated fields and the times of the new exchange.

use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

use crate::field::entity_tag::EntityTag;

/// The preconditions of a validation request (§4.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-None-Match`.
    pub if_none_match: Option<HeaderValue>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<HeaderValue>,
}

impl Conditions {
    pub fn is_empty(&self) -> bool {
        self.if_none_match.is_none() && self.if_modified_since.is_none()
    }
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.1
//# *  MUST send the relevant entity tags (using If-Match, If-None-Match,
//#    or If-Range) if the entity tags were provided in the stored
//#    response(s) being validated.
/// Returns the preconditions that ask whether this stored response is still current.
pub fn conditions(stored: &HeaderMap) -> Conditions {
    Conditions {
        if_none_match: stored.get(ETAG).cloned(),
        if_modified_since: stored.get(LAST_MODIFIED).cloned(),
    }
}

/// Returns whether a 304 is about this stored response (§4.3.4). When not, the request is repeated
/// without conditions.
///
/// The entity tag decides; `Last-Modified` only when the 304 has no entity tag. A 304 without any
/// validator is taken to be about the one stored response whose validators were sent, though the
/// letter of §4.3.4 asks for a stored response without validator: many origin servers answer so,
/// and there is no other response it could mean.
pub fn selects(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    match (not_modified.get(ETAG), not_modified.get(LAST_MODIFIED)) {
        (Some(tag), _) => stored.get(ETAG).is_some_and(|stored| is_selected_by(stored, tag)),
        (None, Some(date)) => stored.get(LAST_MODIFIED) == Some(date),
        (None, None) => true,
    }
}

//= https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4
//# If none of the initial set
//# contains at least one of the same strong validators, then the
//# cache MUST NOT use the new response to update any stored
//# responses.
fn is_selected_by(stored: &HeaderValue, tag: &HeaderValue) -> bool {
    let (stored, tag) = (EntityTag::of(stored.as_bytes()), EntityTag::of(tag.as_bytes()));
    if tag.is_weak() { tag.weakly_equals(stored) } else { tag.strongly_equals(stored) }
}

/// Returns whether a 200 to HEAD describes this stored response (§4.3.5): then it freshens it, else
/// the stored response is stale.
pub fn head_agrees(stored: &HeaderMap, head_response: &HeaderMap) -> bool {
    [ETAG, LAST_MODIFIED, CONTENT_LENGTH]
        .iter()
        .all(|name| head_response.get(name).is_none_or(|value| stored.get(name) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::{conditions, head_agrees, selects};
    use crate::freshness::tests::{NOW_DATE, headers};

    const STRONG: (&str, &str) = ("etag", r#""a""#);
    const WEAK: (&str, &str) = ("etag", r#"W/"a""#);
    const OTHER: (&str, &str) = ("etag", r#""b""#);
    const MODIFIED: (&str, &str) = ("last-modified", NOW_DATE);
    const MODIFIED_LATER: (&str, &str) = ("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT");

    #[test]
    fn both_validators_are_sent() {
        let asked = conditions(&headers(&[WEAK, MODIFIED]));
        assert_eq!(asked.if_none_match.unwrap(), WEAK.1);
        assert_eq!(asked.if_modified_since.unwrap(), MODIFIED.1);
        assert!(conditions(&headers(&[("date", NOW_DATE)])).is_empty());
    }

    #[test]
    fn a_304_is_about_the_stored_response_with_its_validator() {
        for (stored, not_modified, expected) in [
            (&[STRONG][..], &[STRONG][..], true),
            (&[STRONG], &[OTHER], false),
            (&[STRONG, MODIFIED], &[OTHER, MODIFIED], false),
            (&[WEAK], &[STRONG], false),
            (&[STRONG], &[WEAK], true),
            (&[WEAK], &[WEAK], true),
            (&[MODIFIED], &[STRONG], false),
            (&[MODIFIED], &[MODIFIED], true),
            (&[STRONG, MODIFIED], &[MODIFIED], true),
            (&[MODIFIED], &[MODIFIED_LATER], false),
            (&[STRONG], &[MODIFIED], false),
            (&[STRONG], &[], true),
            (&[MODIFIED], &[], true),
            (&[], &[], true),
        ] {
            let selected = selects(&headers(stored), &headers(not_modified));
            assert_eq!(selected, expected, "{stored:?} {not_modified:?}");
        }
    }

    #[test]
    fn a_head_response_agrees_when_all_its_validators_and_its_length_match() {
        let length = ("content-length", "5");
        for (head_response, expected) in [
            (&[STRONG, MODIFIED, length][..], true),
            (&[STRONG], true),
            (&[], true),
            (&[OTHER, MODIFIED, length], false),
            (&[WEAK], false),
            (&[STRONG, MODIFIED_LATER], false),
            (&[STRONG, ("content-length", "6")], false),
        ] {
            let agrees =
                head_agrees(&headers(&[STRONG, MODIFIED, length]), &headers(head_response));
            assert_eq!(agrees, expected, "{head_response:?}");
        }
        assert!(!head_agrees(&headers(&[]), &headers(&[STRONG])));
    }
}
