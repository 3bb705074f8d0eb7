//! The revision of its site that a response reports, compared with the revisions that purges have
//! announced: an origin may lag behind.

use http::header::{ETAG, HeaderMap, HeaderValue};
use purge_protocol::tag;

use super::HeldResponse;
use crate::invalidation::{Invalidation, TagId};
use crate::key::Key;

pub(super) fn of(response: &HeaderMap, rules: &settings::TagSettings) -> Option<u64> {
    if let Some(value) = response.get(&rules.revision) {
        return number(value.as_bytes());
    }
    let etag = response.get(ETAG).filter(|_| rules.revision_in_etag)?;
    let mut parts = tag::of_etag(etag.as_bytes()).rsplitn(3, |byte| *byte == b'-');
    let (_hash, revision, site) = (parts.next()?, parts.next()?, parts.next()?);
    number(revision).filter(|_| !site.is_empty())
}

fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Returns whether a response with these tags reports a lower revision than purges of them have
/// announced: it was made before the change, whenever it was fetched.
pub(super) fn is_lagging(
    invalidation: &Invalidation,
    rules: &settings::TagSettings,
    response: &HeaderMap,
    tags: impl IntoIterator<Item = TagId>,
) -> bool {
    let fence = invalidation.fence();
    if fence.is_empty() {
        return false;
    }
    let reported = of(response, rules);
    reported.zip(fence.lowest(tags)).is_some_and(|(reported, lowest)| reported < lowest)
}

/// Returns the lowest revision that may answer a request: that of its host and of the stale
/// response that it holds.
pub(super) fn lowest(
    invalidation: &Invalidation,
    key: &Key,
    stale: Option<&HeldResponse>,
) -> Option<HeaderValue> {
    let stored = stale.into_iter().flat_map(|stale| stale.stored().provenance.ids());
    let host = invalidation.ids().host(key.host());
    invalidation.fence().lowest(stored.chain([host])).map(HeaderValue::from)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn revision(lines: &[(&'static str, &'static str)], revision_in_etag: bool) -> Option<u64> {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let rules = settings::TagSettings { revision_in_etag, ..settings::TagSettings::default() };
        of(&lines.iter().map(line).collect(), &rules)
    }

    #[test]
    fn a_revision_is_a_number_in_its_field_or_in_the_entity_tag() {
        for (field, expected) in [
            ("42", Some(42)),
            (" 7 ", Some(7)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("x", None),
        ] {
            assert_eq!(revision(&[("x-site-revision", field)], true), expected, "{field:?}");
        }
        for (etag, expected) in [
            ("\"site-1-42-abc\"", Some(42)),
            ("W/\"s-42-abc\"", Some(42)),
            ("\"42-abc\"", None),
            ("\"-42-abc\"", None),
            ("\"site-x-abc\"", None),
        ] {
            assert_eq!(revision(&[("etag", etag)], true), expected, "{etag}");
            assert_eq!(revision(&[("etag", etag)], false), None);
        }
        let both = [("x-site-revision", "1"), ("etag", "\"s-2-h\"")];
        assert_eq!(revision(&both, true), Some(1));
    }
}
