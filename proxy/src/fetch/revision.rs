//! The revision that a response reports of its site, and whether the origin lags behind what a purge has announced.

use http::header::{ETAG, HeaderMap, HeaderName, HeaderValue};
use purge_protocol::tag;

use super::Fetcher;
use super::request::FetchRequest;
use crate::invalidation::TagId;
use crate::key::Key;
use crate::request::RequestHead;

/// Tells the origin which revision it has to know at least.
pub const MIN_REVISION: HeaderName = HeaderName::from_static("x-min-site-revision");

/// Returns the revision that a response reports.
pub(super) fn of(response: &HeaderMap, rules: &settings::Tags) -> Option<u64> {
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

impl Fetcher {
    /// Returns whether a response with these tags reports a lower revision than purges of them have announced: it was made
    /// before the change, whenever it was fetched.
    pub(super) fn is_lagging(
        &self,
        request: &RequestHead,
        response: &HeaderMap,
        tags: impl IntoIterator<Item = TagId>,
    ) -> bool {
        let fence = self.invalidation.fence();
        if fence.is_empty() {
            return false;
        }
        let reported = of(response, &request.policy.tags);
        reported.zip(fence.lowest(tags)).is_some_and(|(reported, lowest)| reported < lowest)
    }

    /// The lowest revision that may answer a request for this key.
    pub fn lowest_revision(&self, key: &Key) -> Option<HeaderValue> {
        let host = self.invalidation.ids().host(key.host());
        self.invalidation.fence().lowest([host]).map(HeaderValue::from)
    }

    /// The lowest revision that may answer this request: that of its host, and of what is stored already.
    pub(super) fn lowest_revision_for(&self, request: &FetchRequest) -> Option<HeaderValue> {
        let fence = self.invalidation.fence();
        let stored = request.stale.iter().flat_map(|stale| stale.stored().provenance.ids());
        let host = self.invalidation.ids().host(request.head.key.host());
        fence.lowest(stored.chain([host])).map(HeaderValue::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(lines: &[(&'static str, &'static str)], revision_in_etag: bool) -> Option<u64> {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let rules = settings::Tags { revision_in_etag, ..settings::Tags::default() };
        of(&lines.iter().map(line).collect(), &rules)
    }

    #[test]
    fn a_revision_is_a_whole_number_in_its_field_or_where_asked_for_in_the_entity_tag() {
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
