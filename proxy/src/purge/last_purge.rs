//! `LastPurge`: of the purges that are remembered, the last one that names a response.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use purge_protocol::Selector;
use purge_protocol::request::Target;
use smallvec::SmallVec;

use super::PurgeExecutor;
use super::stored_urls::StoredUrls;
use crate::invalidation::{Subject, TagId};
use crate::key::Key;
use crate::live::snapshot::RecentPurge;
use crate::store::Stored;

#[derive(Clone, Debug, PartialEq)]
pub struct LastPurge {
    pub purge: RecentPurge,
    /// The selector that named the response.
    pub selector: String,
    pub seconds_ago: u64,
}

impl LastPurge {
    /// Finds the last purge of a key and of the tags of what is stored under it, `loaded` among
    /// that. Of what is stored no more, a tag is known if a purge has hit it by that.
    ///
    /// Resolves up to as many selectors as are remembered: not on a thread that serves requests.
    pub fn of(
        executor: &PurgeExecutor,
        key: &Key,
        page: Option<&[u8]>,
        loaded: Option<&Arc<Stored>>,
    ) -> Option<Self> {
        let live = executor.live.get()?;
        let table = executor.invalidation.ids();
        let own = own_tags(executor, key, page);
        let own: &[TagId] = &own;
        let mut stored = executor.store.by_hash(key.hash());
        stored.retain(|stored| stored.key == *key);
        let stored = stored.iter().chain(loaded);
        let mut subjects = vec![Subject::new(key, &own, table)];
        subjects.extend(stored.map(|stored| Subject::new(key, &stored.provenance, table)));
        let settings = executor.settings.get().map(|settings| &**settings);
        let is_named_by = |target: &Target| {
            let targets = StoredUrls::of(std::slice::from_ref(target), settings).targets;
            let mut resolved = targets.iter().map(|target| executor.resolve(target));
            resolved.any(|target| subjects.iter().any(|subject| target.names(subject)))
        };
        live.purges.selectors().into_iter().find_map(|(id, named)| {
            let (selector, _) = named.iter().find(|(_, target)| is_named_by(target))?;
            let purge = live.purges.find(id)?;
            let at = humantime::parse_rfc3339(&purge.at).ok()?;
            let at = at.duration_since(UNIX_EPOCH).ok()?;
            let seconds_ago = executor.clock.wall().as_secs().saturating_sub(at.as_secs());
            Some(Self { purge, selector: text_of(selector), seconds_ago })
        })
    }
}

/// Returns what every response of a key is purged by: its host, URL, page and path; and the tag
/// that the last one was purged by.
fn own_tags(executor: &PurgeExecutor, key: &Key, page: Option<&[u8]>) -> SmallVec<[TagId; 4]> {
    let table = executor.invalidation.ids();
    let mut own = SmallVec::from_slice(&[table.host(key.host()), table.url(key)]);
    let places = table.places(key, page);
    if places.is_empty() {
        own.push(table.path_ids(key.host(), key.path()).own);
    }
    own.extend(places);
    let last = executor.live.get().and_then(|live| live.tags.last_of(key.hash()));
    own.extend(last.map(|tag| table.tag(tag.as_bytes())));
    own
}

fn text_of(selector: &Selector) -> String {
    let mut text = selector.to_string();
    text.truncate(text.floor_char_boundary(TEXT_BYTES));
    text
}

const TEXT_BYTES: usize = 500;

#[cfg(test)]
mod tests {
    use purge_protocol::PurgeRequest;
    use purge_protocol::request::PurgeMode;

    use super::*;
    use crate::key::KeySeed;
    use crate::live::Live;
    use crate::policy::LiveSettings;
    use crate::purge::metrics::Source;
    use crate::purge::sender::PurgeSender;
    use crate::purge::watched::{kept, note_purge};
    use crate::store::contract::{Bench, Engine, EngineLimits, Page, SMALL, key};
    use crate::store::journal::Journal;
    use crate::store::memory::{MemoryLimits, MemoryStore};
    use process::clock::Clock;
    use process::timestamp::Timestamp;

    struct Purging {
        bench: Bench,
        executor: Arc<PurgeExecutor>,
    }

    impl Purging {
        fn new() -> Self {
            let clock = Clock::manual(Timestamp::from_secs(1000));
            let EngineLimits { capacity, object_bytes_max, variants_max } = SMALL;
            let limits = MemoryLimits { capacity, object_bytes_max, variants_max };
            let store = Arc::new(MemoryStore::new(limits, clock.clone()));
            let engine = |_| Engine {
                store: Arc::<MemoryStore>::clone(&store),
                settle: Box::new(|| ()),
                invalidation: None,
            };
            let bench = Bench::new(&engine, SMALL);
            let invalidation = Arc::clone(&bench.invalidation);
            let journal = Journal::default();
            let executor =
                PurgeExecutor::new(store, invalidation, journal, KeySeed(3), clock.clone());
            executor.follow(&LiveSettings::with_defaults(), &Arc::new(Live::new(&clock)));
            Self { bench, executor }
        }

        async fn purge(&self, request: &str) {
            let request: PurgeRequest = serde_json::from_str(request).unwrap();
            let selectors = request.selectors(100).unwrap();
            let named = kept(&selectors);
            let (executor, source) = (&self.executor, Source::Admin);
            let report = executor.apply(None, selectors, PurgeMode::Hard, source).await.unwrap();
            let sender = PurgeSender { source, client: "10.0.0.1".to_owned() };
            note_purge(executor, sender, named, &report, None);
        }

        /// Returns the selector of the last purge of a path.
        fn last(&self, path: &str) -> Option<String> {
            Some(LastPurge::of(&self.executor, &key(path), None, None)?.selector)
        }
    }

    #[tokio::test]
    async fn each_selector_that_names_a_page_is_found_and_no_other() {
        let purging = Purging::new();
        for (path, request, selector) in [
            (
                "/url?a=1",
                r#"{"urls":["http://shop.example/url?a=1"]}"#,
                "url http://shop.example/url?a=1",
            ),
            (
                "/spelt%2f",
                r#"{"urls":["http://shop.example/spelt%2F"]}"#,
                "url http://shop.example/spelt%2F",
            ),
            (
                "/page?a=1",
                r#"{"pages":["http://shop.example/page"]}"#,
                "page http://shop.example/page",
            ),
            (
                "/path?a=1",
                r#"{"paths":["http://shop.example/path"]}"#,
                "path http://shop.example/path",
            ),
            (
                "/pre/fix",
                r#"{"prefixes":["http://shop.example/pre/"]}"#,
                "prefix http://shop.example/pre/",
            ),
        ] {
            assert_eq!(purging.last(path), None, "{path}");
            purging.purge(request).await;
            assert_eq!(purging.last(path).as_deref(), Some(selector));
            assert_eq!(purging.last("/other"), None, "{path}");
        }
        purging.purge(r#"{"tags":["t"],"hosts":["shop.example"]}"#).await;
        assert_eq!(purging.last("/other").as_deref(), Some("host shop.example"));
        purging.purge(r#"{"all":true}"#).await;
        assert_eq!(purging.last("/other").as_deref(), Some("everything"));
    }

    #[tokio::test]
    async fn a_page_that_is_gone_is_known_by_the_tag_that_it_was_purged_by() {
        let purging = Purging::new();
        purging.bench.put(Page { tags: &["t", "u"], ..Page::at("/p") }, b"content");
        assert_eq!(purging.last("/p"), None);
        purging.purge(r#"{"tags":["t"]}"#).await;
        assert!(purging.executor.store.by_hash(key("/p").hash()).is_empty());
        assert_eq!(purging.last("/p").as_deref(), Some("tag t"));

        purging.bench.put(Page { tags: &["u"], ..Page::at("/p") }, b"content");
        purging.purge(r#"{"tags":["v"]}"#).await;
        assert_eq!(purging.last("/p").as_deref(), Some("tag t"), "it was that of its last render");
        purging.purge(r#"{"tags":["w"]}"#).await;
        purging.purge(r#"{"tags":["u"]}"#).await;
        assert_eq!(purging.last("/p").as_deref(), Some("tag u"));
    }
}
