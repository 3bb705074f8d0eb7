//! The tags of a response: those its fields name, its entity tag, its groups, its host, and its URL
//! where that is not in normal spelling.
//!
//! Of more tags than a response may have, those that begin alike are folded: one identity stands
//! for all of them, and a purge of any tag that begins so hits it. Too much is purged then, never
//! too little.

use std::collections::HashMap;

use http::HeaderMap;
use http::header::ETAG;
use purge_protocol::{spelling, tag};
use sfv::{BareItem, ListEntry, Parser};

use crate::invalidation::{Invalidation, TagId, fold_prefix};
use crate::key::Key;

/// The identities by which purges find a response.
#[derive(Debug)]
pub struct ResponseTags {
    /// Those that the response is stored with.
    pub ids: Vec<TagId>,
    /// The tags that some of these stand for.
    folded: Vec<TagId>,
    /// The beginning that most of them share.
    pub shared: Option<String>,
}

impl ResponseTags {
    /// The tags that the origin gave, and what they are stored as.
    pub fn all(&self) -> impl Iterator<Item = TagId> {
        self.ids.iter().chain(&self.folded).copied()
    }

    /// Returns the number of tags that are not stored themselves.
    pub const fn folded(&self) -> usize {
        self.folded.len()
    }
}

/// Returns the tags of a response with this key. `added` are those that rules add.
pub fn of(
    response: &HeaderMap,
    added: &[Vec<u8>],
    key: &Key,
    rules: &settings::TagSettings,
    invalidation: &Invalidation,
) -> ResponseTags {
    let ids = invalidation.ids();
    let host = key.host();
    let reads_groups = rules.read.iter().any(|name| name == CACHE_GROUPS);
    let groups = if reads_groups { groups(response, CACHE_GROUPS) } else { Vec::new() };
    let mut named = named(response, &groups, rules);
    named.extend(added.iter().map(Vec::as_slice));
    let mut tags = if is_within(&named, rules) {
        let ids = named.iter().map(|text| ids.tag(text)).collect();
        ResponseTags { ids, folded: Vec::new(), shared: None }
    } else {
        fold(named, rules, invalidation)
    };
    tags.ids.extend(groups.iter().map(|group| ids.group(host, group.as_bytes())));
    tags.ids.push(ids.host(host));
    if !spelling::is_normal(key.path()) || key.rules().is_some() {
        tags.ids.push(ids.url(key)); // a purge of the URL, which makes another key, finds it by this
    }
    tags
}

/// Returns the tags that the origin gave, in order.
fn named<'a>(
    response: &'a HeaderMap,
    groups: &'a [String],
    rules: &settings::TagSettings,
) -> Vec<&'a [u8]> {
    let fields = rules.read.iter().filter(|name| *name != CACHE_GROUPS);
    let lines = fields.flat_map(|name| response.get_all(name));
    let mut named: Vec<&[u8]> = lines.flat_map(|line| tag::split(line.as_bytes())).collect();
    let etag = response.get(ETAG).filter(|_| rules.etag);
    let etag = etag.map(|etag| tag::of_etag(etag.as_bytes())).filter(|etag| !etag.is_empty());
    named.extend(etag);
    named.extend(groups.iter().map(String::as_bytes));
    named
}

fn is_within(named: &[&[u8]], rules: &settings::TagSettings) -> bool {
    let is_short = |text: &&[u8]| text.len() <= rules.max_length;
    named.len() <= rules.max_per_object && named.iter().all(is_short)
}

/// Folds tags that are too long, then the largest groups that begin alike, until there are few
/// enough; where all begin differently, one identity stands for any tag.
fn fold(
    mut named: Vec<&[u8]>,
    rules: &settings::TagSettings,
    invalidation: &Invalidation,
) -> ResponseTags {
    named.sort_unstable();
    named.dedup();
    let mut groups: HashMap<&[u8], (usize, bool)> = HashMap::new();
    for text in &named {
        let group = groups.entry(fold_prefix(text)).or_default();
        group.0 += 1;
        group.1 |= text.len() > rules.max_length;
    }
    let mut largest: Vec<_> = groups.into_iter().collect();
    largest.sort_unstable_by(|(one, (few, is_long)), (other, (many, is_longer))| {
        is_longer.cmp(is_long).then(many.cmp(few)).then(one.cmp(other))
    });
    let shared = largest.first().map(|(prefix, _)| *prefix).unwrap_or_default();
    let mut left = named.len();
    let mut folds: HashMap<&[u8], bool> = HashMap::new();
    for (prefix, (size, is_long)) in &largest {
        let is_excessive = left > rules.max_per_object && *size > 1;
        if *is_long || is_excessive {
            left -= size - 1;
        }
        folds.insert(prefix, *is_long || is_excessive);
    }
    let ids = invalidation.ids();
    let is_folded = |text: &&&[u8]| {
        left > rules.max_per_object || folds.get(fold_prefix(text)).copied().unwrap_or(true)
    };
    let (folded, kept): (Vec<&[u8]>, Vec<&[u8]>) =
        named.iter().copied().partition(|text| is_folded(&text));
    let stand_in = |text: &&[u8]| {
        let [alike, any] = ids.folds(text);
        if left > rules.max_per_object { any } else { alike }
    };
    let mut stored: Vec<TagId> = folded.iter().map(stand_in).collect();
    stored.sort_unstable();
    stored.dedup();
    stored.extend(kept.iter().map(|text| ids.tag(text)));
    ResponseTags {
        ids: stored,
        folded: folded.iter().map(|text| ids.tag(text)).collect(),
        shared: Some(String::from_utf8_lossy(shared).into_owned()),
    }
}

/// Returns the tags that the fields of a response name, as text.
pub fn names(response: &HeaderMap, rules: &settings::TagSettings) -> Vec<String> {
    let reads_groups = rules.read.iter().any(|name| name == CACHE_GROUPS);
    let groups = if reads_groups { groups(response, CACHE_GROUPS) } else { Vec::new() };
    let named = named(response, &groups, rules);
    named.into_iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
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

    fn tags(lines: &[(&'static str, &'static str)]) -> Vec<TagId> {
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
        of(&fields, &[], &key("/"), &rules, &Invalidation::new(1)).ids
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
        assert_eq!(tags(&lines), ids(&["a", "b", "c", "site-1"]));
    }

    #[test]
    fn a_response_in_an_unusual_spelling_carries_its_url() {
        let invalidation = Invalidation::new(1);
        let rules = settings::TagSettings::default();
        let tags = |path| of(&HeaderMap::new(), &[], &key(path), &rules, &invalidation).ids;
        assert_eq!(tags("/%D0%BD").len(), 1, "the host alone");
        assert!(tags("/%d0%bd").contains(&invalidation.ids().url(&key("/%D0%BD"))));
    }

    #[test]
    fn a_group_is_a_tag_and_a_group_of_its_host() {
        let found = tags(&[("cache-groups", "\"eh\", not-a-string, \"bee\";x=1")]);
        let group = |name: &[u8]| Invalidation::new(1).ids().group(b"h", name);
        assert!(ids(&["eh", "bee"]).iter().all(|id| found.contains(id)));
        assert!(found.contains(&group(b"eh")) && found.contains(&group(b"bee")));
        assert_eq!(tags(&[("cache-groups", "\"unclosed")]), ids(&[]));
    }

    /// Folds tags with a limit of four.
    fn folded(tags: &str) -> (Vec<TagId>, usize) {
        let fields = HeaderMap::from_iter([(
            http::HeaderName::from_static("xkey"),
            HeaderValue::from_str(tags).unwrap(),
        )]);
        let rules = settings::TagSettings {
            max_per_object: 4,
            max_length: 10,
            ..settings::TagSettings::default()
        };
        let tags = of(&fields, &[], &key("/"), &rules, &Invalidation::new(1));
        let folded = tags.folded();
        (tags.ids, folded)
    }

    #[test]
    fn the_largest_group_that_begins_alike_is_folded_and_the_others_stay() {
        let table = Invalidation::new(1);
        let table = table.ids();
        let (ids, count) = folded("node:1 node:2 node:3 user:1 user:2 page");
        assert_eq!(count, 3);
        assert!(ids.contains(&table.folds(b"node:99")[0]), "a purge of it hits the page");
        for kept in ["user:1", "user:2", "page"] {
            assert!(ids.contains(&table.tag(kept.as_bytes())), "{kept}");
        }
        assert!(!ids.contains(&table.tag(b"node:1")));
        assert_eq!(ids.len(), 1 + 3 + 1, "and the host");
    }

    #[test]
    fn tags_that_all_begin_differently_are_folded_into_any() {
        let (ids, count) = folded("a:1 b:1 c:1 d:1 e:1");
        let invalidation = Invalidation::new(1);
        let table = invalidation.ids();
        assert_eq!((ids, count), (vec![table.any_tag(), table.host(b"h")], 5));
        assert_eq!(table.folds(b"x:9")[1], table.any_tag());
    }

    #[test]
    fn a_tag_that_is_too_long_is_folded_and_repeated_ones_count_once() {
        let (ids, count) = folded("news:12345678901 b");
        let invalidation = Invalidation::new(1);
        assert_eq!(count, 1);
        assert!(ids.contains(&invalidation.ids().folds(b"news:1")[0]));
        assert!(ids.contains(&invalidation.ids().tag(b"b")));
        assert_eq!(folded("a b c d a b c d").1, 0);
    }

    #[test]
    fn a_tag_is_folded_by_its_beginning_up_to_its_last_separator() {
        for (tag, prefix) in [
            ("node:5", "node:"),
            ("cat_p_42", "cat_p_"),
            ("config:system.menu.main", "config:system.menu."),
            ("news", ""),
            ("node:", ""),
            ("a:b:", "a:"),
            ("", ""),
        ] {
            assert_eq!(fold_prefix(tag.as_bytes()), prefix.as_bytes(), "{tag}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_purge_of_any_tag_hits_the_response_however_it_was_folded(
            tags in proptest::collection::vec("[a-c]{1,2}[:_][a-c0-2]{0,9}", 1..40),
            max_per_object in 1..12_usize,
        ) {
            let text = tags.join(" ");
            let fields = HeaderMap::from_iter([(
                http::HeaderName::from_static("xkey"),
                HeaderValue::from_str(&text).unwrap(),
            )]);
            let rules = settings::TagSettings {
                max_per_object, max_length: 8, ..settings::TagSettings::default()
            };
            let invalidation = Invalidation::new(1);
            let stored = of(&fields, &[], &key("/"), &rules, &invalidation).ids;
            proptest::prop_assert!(stored.len() <= max_per_object + 1);
            for tag in &tags {
                let [alike, any] = invalidation.ids().folds(tag.as_bytes());
                let marked = [invalidation.ids().tag(tag.as_bytes()), alike, any];
                proptest::prop_assert!(marked.iter().any(|id| stored.contains(id)), "{}", tag);
            }
        }
    }
}
