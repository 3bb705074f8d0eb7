//! The tags of a response: those its fields name, its entity tag, its groups, its host, and its URL
//! where that is not in normal spelling.

use http::HeaderMap;
use http::header::ETAG;
use purge_protocol::{spelling, tag};
use sfv::{BareItem, ListEntry, Parser};

use crate::freshness::Uncacheable;
use crate::invalidation::{Invalidation, TagId};
use crate::key::Key;

/// Returns the tags of a response with this key. One with too many tags, or too long ones, must not
/// be stored: partly tagged, it could escape a purge.
pub fn of(
    response: &HeaderMap,
    key: &Key,
    rules: &settings::TagSettings,
    invalidation: &Invalidation,
) -> Result<Vec<TagId>, Uncacheable> {
    let ids = invalidation.ids();
    let host = key.host();
    let mut tags = Vec::new();
    let mut add = |text: &[u8]| {
        if text.len() > rules.max_length || tags.len() >= rules.max_per_object {
            return Err(Uncacheable::TooManyTags);
        }
        tags.push(ids.tag(text));
        Ok(())
    };
    for name in rules.read.iter().filter(|name| *name != CACHE_GROUPS) {
        for line in response.get_all(name) {
            tag::split(line.as_bytes()).try_for_each(&mut add)?;
        }
    }
    if let Some(etag) = response.get(ETAG).filter(|_| rules.etag) {
        match tag::of_etag(etag.as_bytes()) {
            b"" => {}
            text => add(text)?,
        }
    }
    let reads_groups = rules.read.iter().any(|name| name == CACHE_GROUPS);
    let groups = if reads_groups { groups(response, CACHE_GROUPS) } else { Vec::new() };
    groups.iter().try_for_each(|group| add(group.as_bytes()))?;
    tags.extend(groups.iter().map(|group| ids.group(host, group.as_bytes())));
    tags.push(ids.host(host));
    if !spelling::is_normal(key.path()) {
        tags.push(ids.url(key)); // a purge that writes the URL in another way finds it by this
    }
    Ok(tags)
}

/// Returns the strings of a list field (RFC 9875 §2, §3); none where it is no valid list.
pub fn groups(fields: &HeaderMap, name: &str) -> Vec<String> {
    let mut text = Vec::new();
    for line in fields.get_all(name) {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(line.as_bytes());
    }
    let Ok(list) = Parser::new(&text).parse::<sfv::List>() else { return Vec::new() };
    list.into_iter()
        .filter_map(|entry| match entry {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::String(string) => Some(string.into()),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .collect()
}

/// The groups that a response belongs to (RFC 9875 §2).
const CACHE_GROUPS: &str = "cache-groups";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::key::{KeySeed, Scheme};

    fn tags(lines: &[(&'static str, &'static str)]) -> Result<Vec<TagId>, Uncacheable> {
        let fields: HeaderMap = lines
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect();
        let rules = settings::TagSettings {
            max_per_object: 4,
            max_length: 10,
            ..settings::TagSettings::default()
        };
        of(&fields, &key("/"), &rules, &Invalidation::new(1))
    }

    fn key(path: &str) -> Key {
        Key::new(KeySeed(1), Scheme::Http, b"h", path.as_bytes())
    }

    fn ids(texts: &[&str]) -> Vec<TagId> {
        let invalidation = Invalidation::new(1);
        let host = invalidation.ids().host(b"h");
        texts.iter().map(|text| invalidation.ids().tag(text.as_bytes())).chain([host]).collect()
    }

    #[test]
    fn all_brands_of_fields_and_the_entity_tag_are_tags() {
        let lines = [("surrogate-key", "a b"), ("cache-tag", "c"), ("etag", "W/\"site-1\"")];
        assert_eq!(tags(&lines).unwrap(), ids(&["a", "b", "c", "site-1"]));
    }

    #[test]
    fn a_response_in_an_unusual_spelling_carries_its_url() {
        let invalidation = Invalidation::new(1);
        let rules = settings::TagSettings::default();
        let tags = |path| of(&HeaderMap::new(), &key(path), &rules, &invalidation).unwrap();
        assert_eq!(tags("/%D0%BD").len(), 1, "the host alone");
        assert!(tags("/%d0%bd").contains(&invalidation.ids().url(&key("/%D0%BD"))));
    }

    #[test]
    fn a_group_is_a_tag_and_a_group_of_its_host() {
        let found = tags(&[("cache-groups", "\"eh\", not-a-string, \"bee\";x=1")]).unwrap();
        let group = |name: &[u8]| Invalidation::new(1).ids().group(b"h", name);
        assert!(ids(&["eh", "bee"]).iter().all(|id| found.contains(id)));
        assert!(found.contains(&group(b"eh")) && found.contains(&group(b"bee")));
        assert_eq!(tags(&[("cache-groups", "\"unclosed")]).unwrap(), ids(&[]));
    }

    #[test]
    fn too_many_or_too_long_tags_are_refused_whole() {
        assert_eq!(tags(&[("xkey", "a b c d e")]), Err(Uncacheable::TooManyTags));
        assert_eq!(tags(&[("xkey", "12345678901")]), Err(Uncacheable::TooManyTags));
        assert!(tags(&[("xkey", "a b c d")]).is_ok());
    }
}
