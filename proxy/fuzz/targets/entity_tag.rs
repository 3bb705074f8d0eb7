//! Entity tags, their lists, and conditional requests: an `ETag`, a line feed, an `If-None-Match`.

use http::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use shellac::testing::field::entity_tag::EntityTag;
use shellac::testing::freshness::validation::{conditions, selects};
use shellac::testing::response::conditional::{Precondition, Validators, evaluate};

use super::head::{NOW, split_line};

pub(crate) fn run(data: &[u8]) {
    let (tag, list) = split_line(data);
    let tags: Vec<_> = EntityTag::list(list).collect();
    assert!(tags.len() <= list.len());
    for one in tags.iter().copied().chain([EntityTag::of(tag)]) {
        assert!(one.weakly_equals(one));
        assert_eq!(one.strongly_equals(one), !one.is_weak());
        for two in &tags {
            assert_eq!(one.weakly_equals(*two), two.weakly_equals(one));
            assert_eq!(one.strongly_equals(*two), two.strongly_equals(one));
            assert!(!one.strongly_equals(*two) || one.weakly_equals(*two));
        }
    }
    if let (Ok(tag), Ok(list)) = (HeaderValue::from_bytes(tag), HeaderValue::from_bytes(list)) {
        a_304_is_given_to_who_has_the_tag(&tag, &list);
    }
}

fn a_304_is_given_to_who_has_the_tag(tag: &HeaderValue, list: &HeaderValue) {
    let mut stored = HeaderMap::new();
    stored.insert(ETAG, tag.clone());
    let own = EntityTag::of(tag.as_bytes());
    let is_listed = EntityTag::list(list.as_bytes()).any(|member| member.weakly_equals(own));
    let is_any = list.as_bytes().trim_ascii() == b"*";
    assert_eq!(outcome(list, &stored) == Precondition::NotModified, is_listed || is_any);

    let asked = conditions(&stored);
    assert_eq!(asked.if_none_match.as_ref(), Some(tag));
    assert!(selects(&stored, &stored), "a 304 with the same tag is about another response");
    if !own.is_weak() {
        assert_eq!(
            outcome(tag, &stored),
            Precondition::NotModified,
            "a strong tag is not found in itself"
        );
    }
}

fn outcome(list: &HeaderValue, stored: &HeaderMap) -> Precondition {
    let mut request = HeaderMap::new();
    request.insert(IF_NONE_MATCH, list.clone());
    evaluate(&Method::GET, &request, StatusCode::OK, &Validators::of(stored, NOW))
}
