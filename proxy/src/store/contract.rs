//! The contract: what every engine does, whatever it keeps its bytes in. An engine's tests call
//! [`check`] with a factory.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::cold;
use super::{
    Body, Content, Fields, NewEntry, Promote, Removal, Store, StoreError, Stored, StoredResponse,
};
use crate::freshness::{
    ExchangeTimes, FreshnessRules, RequestDirectives, RequestFacts, Uncacheable, judge,
};
use crate::invalidation::{Invalidation, TagId};
use crate::key::vary::Variant;
use crate::key::{Key, KeySeed, Scheme};
use process::timestamp::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineLimits {
    pub(crate) capacity: u64,
    pub(crate) object_bytes_max: u64,
    pub(crate) variants_max: usize,
}

pub(crate) struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settle: Box<dyn Fn() + Send + Sync>,
    /// The purges that it knows, where it knows any.
    pub(crate) invalidation: Option<Arc<Invalidation>>,
}

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) invalidation: Arc<Invalidation>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) path: &'a str,
    /// The value of `x-selecting`, which it varies on; empty: it does not vary.
    pub(crate) selecting: &'a str,
    /// The second at which its head arrived: tells older from newer.
    pub(crate) second: u64,
    pub(crate) tags: &'a [&'a str],
}

pub(crate) type Factory<'a> = &'a dyn Fn(EngineLimits) -> Engine;

/// Runs every rule against engines that this factory makes.
pub(crate) fn check(make: Factory<'_>) {
    let rules: [fn(Factory<'_>); 15] = [
        what_is_stored_is_found_with_its_body_and_fields,
        the_newest_that_is_accepted_is_found,
        a_new_version_takes_the_place_of_the_same_variant_only,
        too_many_variants_drop_the_oldest,
        a_dropped_writer_leaves_nothing,
        a_body_that_is_too_large_is_refused_and_leaves_nothing,
        freshening_keeps_the_body_and_replaces_the_head,
        exactly_the_given_response_is_removed,
        all_responses_of_a_hash_are_found,
        a_visit_shows_every_response_once,
        an_emptied_store_uses_nothing,
        a_marker_gives_way_to_a_response,
        what_fits_stays,
        pressure_evicts_down_to_the_capacity,
        tags_are_let_go_whatever_the_reason,
    ];
    for rule in rules {
        rule(make);
    }
}

fn what_is_stored_is_found_with_its_body_and_fields(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    bench.put(Page::at("/a"), b"one body");
    let found = bench.find("/a", "").unwrap();
    let response = found.response().unwrap();
    assert_eq!(content(response), b"one body");
    assert_eq!(response.fields.to_map(super::Show::All, 0)["x-page"], "/a");
    assert!(bench.find("/b", "").is_none());
    assert_eq!(bench.store().usage().inserts, 1);
}

fn the_newest_that_is_accepted_is_found(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    for (selecting, second) in [("b", 20), ("c", 30), ("a", 10)] {
        bench.put(Page { selecting, second, ..Page::at("/v") }, selecting.as_bytes());
    }
    let store = bench.store();
    let newest = store.lookup(&key("/v"), &|_| true).unwrap();
    assert_eq!(content(newest.response().unwrap()), b"c");
    let found = bench.find("/v", "a").unwrap();
    assert_eq!(content(found.response().unwrap()), b"a");
    assert!(store.lookup(&key("/v"), &|_| false).is_none());
    assert!(bench.find("/v", "other").is_none());
}

fn a_new_version_takes_the_place_of_the_same_variant_only(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    bench.put(Page { selecting: "a", ..Page::at("/v") }, b"old a");
    bench.put(Page { selecting: "b", ..Page::at("/v") }, b"only b");
    bench.put(Page { selecting: "a", second: 2, ..Page::at("/v") }, b"new a");
    bench.put(Page::at("/v"), b"does not vary");
    let body = |selecting| {
        let stored = bench.store().lookup(&key("/v"), &|stored| selects(stored, selecting));
        content(stored.unwrap().response().unwrap())
    };
    assert_eq!([body("a"), body("b")], [b"new a".to_vec(), b"only b".to_vec()]);
    assert_eq!(bench.store().usage().objects, 3);
    assert_eq!(bench.removed(Removal::Replaced), 1);
}

fn too_many_variants_drop_the_oldest(make: Factory<'_>) {
    let bench = Bench::new(make, EngineLimits { variants_max: 3, ..LARGE });
    for (selecting, second) in [("a", 40), ("b", 10), ("c", 30), ("d", 20)] {
        bench.put(Page { selecting, second, ..Page::at("/v") }, b"x");
    }
    assert!(bench.find("/v", "b").is_none());
    assert!(["a", "c", "d"].iter().all(|selecting| bench.find("/v", selecting).is_some()));
    let crowded = bench.store().usage().crowded;
    let crowded: Vec<_> = crowded.iter().map(|it| (&*it.url, it.displaced)).collect();
    assert_eq!(crowded.len(), 1, "{crowded:?}");
    assert_eq!(crowded.first().map(|(_, displaced)| *displaced), Some(1));
    assert_eq!(bench.removed(Removal::Variants), 1);
    assert_eq!(bench.store().usage().objects, 3);
}

fn a_dropped_writer_leaves_nothing(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    let mut writer = bench.store().begin();
    writer.append(Bytes::from_static(b"half a bo")).unwrap();
    drop(writer);
    assert!(bench.find("/a", "").is_none());
    bench.assert_empty();
}

fn a_body_that_is_too_large_is_refused_and_leaves_nothing(make: Factory<'_>) {
    let bench = Bench::new(make, EngineLimits { object_bytes_max: 1000, ..LARGE });
    let mut writer = bench.store().begin();
    writer.append(Bytes::from_static(&[b'x'; 1000])).unwrap();
    assert_eq!(writer.append(Bytes::from_static(b"y")), Err(StoreError::TooLarge));
    let refused = writer.commit(bench.draft(Page::at("/large"))).unwrap_err();
    assert_eq!(refused, StoreError::TooLarge);
    assert!(bench.find("/large", "").is_none());
    bench.assert_empty();
    bench.put(Page::at("/just"), &[b'x'; 1000]);
    assert!(bench.find("/just", "").is_some());
}

fn freshening_keeps_the_body_and_replaces_the_head(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    let old = bench.put(Page { selecting: "a", ..Page::at("/v") }, b"the body");
    let draft = bench.draft(Page { selecting: "a", second: 99, ..Page::at("/v") });
    let new = bench.store().freshen(&old, draft).unwrap();
    assert_eq!(content(new.response().unwrap()), b"the body");
    assert_eq!(new.response().unwrap().freshness.received(), Timestamp::from_secs(99));
    assert!(Arc::ptr_eq(&bench.find("/v", "a").unwrap(), &new));
    let moved = bench
        .store()
        .freshen(&new, bench.draft(Page { selecting: "b", second: 100, ..Page::at("/v") }));
    assert!(bench.find("/v", "a").is_none(), "the 304 says that it varies otherwise");
    assert!(Arc::ptr_eq(&bench.find("/v", "b").unwrap(), &moved.unwrap()));
    assert_eq!(bench.store().usage().objects, 1);
}

fn exactly_the_given_response_is_removed(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    let old = bench.put(Page::at("/a"), b"old");
    let new = bench.put(Page { second: 2, ..Page::at("/a") }, b"new");
    assert!(!bench.store().remove(&old, Removal::Purged), "it was replaced before");
    assert!(bench.find("/a", "").is_some());
    assert!(bench.store().remove(&new, Removal::Expired));
    assert!(!bench.store().remove(&new, Removal::Expired));
    assert!(bench.find("/a", "").is_none());
    assert_eq!((bench.removed(Removal::Expired), bench.removed(Removal::Purged)), (1, 0));
}

fn all_responses_of_a_hash_are_found(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    for selecting in ["a", "b", "c"] {
        bench.put(Page { selecting, ..Page::at("/v") }, b"x");
    }
    bench.put(Page::at("/other"), b"x");
    let found = bench.store().by_hash(key("/v").hash());
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|stored| stored.key == key("/v")));
    assert!(bench.store().by_hash(key("/none").hash()).is_empty());
}

fn a_visit_shows_every_response_once(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    let paths: std::collections::BTreeSet<_> = (0..500).map(|n| format!("/{n}")).collect();
    for path in &paths {
        bench.put(Page::at(path), b"x");
    }
    let mut seen = Vec::new();
    bench.store().visit(&mut |stored| {
        seen.push(String::from_utf8(stored.key.path().to_vec()).unwrap());
    });
    seen.sort();
    assert!(seen.iter().eq(&paths));
}

fn an_emptied_store_uses_nothing(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    for number in 0..100 {
        bench.put(Page { tags: &["t"], ..Page::at(&format!("/{number}")) }, b"some content");
    }
    let usage = bench.store().usage();
    assert_eq!((usage.objects, usage.capacity), (100, LARGE.capacity));
    assert!(usage.bytes > 100 * 12);
    let store = bench.store();
    store.visit(&mut |stored| assert!(store.remove(stored, Removal::Purged)));
    bench.assert_empty();
    assert_eq!(bench.removed(Removal::Purged), 100);
}

fn a_marker_gives_way_to_a_response(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    for selecting in ["", "a"] {
        let draft = NewEntry {
            variant: None,
            content: Content::Uncacheable {
                reason: Uncacheable::NoStore,
                until: Timestamp::from_secs(1),
            },
            ..bench.draft(Page::at("/m"))
        };
        let marker = bench.store().begin().commit(draft).unwrap();
        assert!(Arc::ptr_eq(&bench.store().lookup(&key("/m"), &|_| true).unwrap(), &marker));
        let response = bench.put(Page { selecting, ..Page::at("/m") }, b"cacheable after all");
        assert!(Arc::ptr_eq(&bench.store().lookup(&key("/m"), &|_| true).unwrap(), &response));
        assert_eq!(bench.store().by_hash(key("/m").hash()).len(), 1);
        assert_eq!(bench.store().usage().objects, 1, "markers are not counted");
        bench.store().remove(&response, Removal::Expired);
    }
    bench.assert_empty();
}

fn what_fits_stays(make: Factory<'_>) {
    let bench = Bench::new(make, LARGE);
    let cost = bench.put(Page::at("/cost"), &[b'x'; 1000]).cost();
    let count = LARGE.capacity / cost * 3 / 4;
    for number in 0..count {
        bench.put(Page::at(&format!("/{number}")), &[b'x'; 1000]);
    }
    bench.settle();
    let missing = (0..count).filter(|n| bench.find(&format!("/{n}"), "").is_none()).count();
    assert_eq!((missing, bench.removed(Removal::Size)), (0, 0));
}

fn pressure_evicts_down_to_the_capacity(make: Factory<'_>) {
    let bench = Bench::new(make, SMALL);
    let mut highest = 0;
    for number in 0..5000 {
        let body = vec![b'x'; 100 + number * 7919 % 20_000];
        let stored = bench.put(Page::at(&format!("/{number}")), &body);
        assert!(bench.find(&format!("/{number}"), "").is_some_and(|it| Arc::ptr_eq(&it, &stored)));
        highest = highest.max(bench.store().usage().bytes);
    }
    // What one batch of housekeeping may lag behind, see `SETTLE_SHARE`.
    assert!(highest <= SMALL.capacity + SMALL.capacity / 64, "{highest}");
    bench.settle();
    let usage = bench.store().usage();
    assert!(usage.bytes <= SMALL.capacity, "{usage:?}");
    assert!(usage.bytes >= SMALL.capacity * 2 / 3, "{usage:?}");
    assert_eq!(usage.objects + bench.removed(Removal::Size), 5000);
    assert_eq!(usage.bytes, bench.visited_bytes());
}

fn tags_are_let_go_whatever_the_reason(make: Factory<'_>) {
    let bench = Bench::new(make, EngineLimits { variants_max: 1, ..SMALL });
    let tag = bench.tag("shared");
    let page = Page { tags: &["shared"], ..Page::at("/a") };
    let live = || bench.invalidation.ids().live(tag);
    let old = bench.put(page, b"1");
    assert_eq!(live(), 1);
    let freshened = bench.store().freshen(&old, bench.draft(page)).unwrap();
    assert_eq!(live(), 1, "freshened");
    let replaced = bench.put(Page { second: 3, ..page }, b"2");
    assert_eq!(live(), 1, "replaced");
    bench.store().remove(&replaced, Removal::Purged);
    assert_eq!(live(), 0, "removed");
    bench.put(Page { selecting: "a", ..page }, b"3");
    bench.put(Page { selecting: "b", tags: &[], ..page }, b"4");
    assert_eq!(live(), 0, "too many variants");
    bench.put(page, b"5");
    for number in 0..2000 {
        bench.put(Page::at(&format!("/{number}")), &vec![b'x'; 20_000]);
    }
    bench.settle();
    assert_eq!(live(), 0, "evicted");
    drop((old, freshened, replaced));
    let store = bench.store();
    store.visit(&mut |stored| assert!(store.remove(stored, Removal::Expired)));
    bench.settle();
    assert_eq!(bench.invalidation.tag_count(), 0, "forgotten");
}

impl Bench {
    pub(crate) fn new(make: Factory<'_>, limits: EngineLimits) -> Self {
        let engine = make(limits);
        let invalidation = engine.invalidation.clone();
        Self {
            engine,
            invalidation: invalidation.unwrap_or_else(|| Arc::new(Invalidation::new(7))),
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.engine.store
    }

    pub(crate) fn settle(&self) {
        (self.engine.settle)();
    }

    pub(crate) fn tag(&self, text: &str) -> TagId {
        self.invalidation.ids().tag(text.as_bytes())
    }

    pub(crate) fn draft(&self, page: Page<'_>) -> NewEntry {
        draft(&self.invalidation, page)
    }

    pub(crate) fn put(&self, page: Page<'_>, body: &[u8]) -> Arc<Stored> {
        let mut writer = self.store().begin();
        for piece in body.chunks(16 << 10) {
            writer.append(Bytes::copy_from_slice(piece)).unwrap();
        }
        writer.commit(self.draft(page)).unwrap()
    }

    /// Finds the body that a request with this value of `x-selecting` is given.
    pub(crate) fn find(&self, path: &str, selecting: &str) -> Option<Arc<Stored>> {
        load(self.store(), &key(path));
        self.store().lookup(&key(path), &|stored| selects(stored, selecting))
    }

    pub(crate) fn removed(&self, reason: Removal) -> u64 {
        self.store().usage().removals[reason as usize]
    }

    pub(crate) fn visited_bytes(&self) -> u64 {
        let mut bytes = 0;
        self.store().visit(&mut |stored| bytes += stored.cost());
        bytes
    }

    fn assert_empty(&self) {
        self.settle();
        let usage = self.store().usage();
        assert_eq!((usage.objects, usage.bytes), (0, 0));
        self.store().visit(&mut |stored| panic!("{stored:?} is left"));
    }
}

impl<'a> Page<'a> {
    /// Returns a page that does not vary and has no tags.
    pub(crate) fn at(path: &'a str) -> Self {
        Self { path, selecting: "", second: 1, tags: &[] }
    }

    fn variant(&self) -> Option<Variant> {
        let vary = HeaderMap::from_iter([(http::header::VARY, HeaderValue::from_name(SELECTING))]);
        let is_varying = !self.selecting.is_empty();
        is_varying.then(|| Variant::of(&vary, &request(self.selecting), &[]).unwrap().unwrap())
    }

    fn response(&self) -> StoredResponse {
        let second = self.second.to_string();
        let fields: HeaderMap = [
            (HeaderName::from_static("cache-control"), "max-age=600"),
            (HeaderName::from_static("x-page"), self.path),
            (SECOND, &second),
        ]
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_str(value).unwrap()))
        .collect();
        let facts = RequestFacts {
            method: http::Method::GET,
            has_authorization: false,
            directives: RequestDirectives::of(&HeaderMap::new()),
        };
        let now = Timestamp::from_secs(self.second);
        let exchange = ExchangeTimes { request_time: now, response_time: now, wall_time: now };
        let freshness =
            judge(&FreshnessRules::default(), &facts, StatusCode::OK, &fields, exchange).unwrap();
        StoredResponse {
            status: StatusCode::OK,
            fields: Fields::copy_of(&fields, &|_| false),
            freshness,
            body: Body::Empty,
            part: None,
        }
    }
}

pub(crate) fn draft(invalidation: &Arc<Invalidation>, page: Page<'_>) -> NewEntry {
    let tags = page.tags.iter().map(|tag| invalidation.ids().tag(tag.as_bytes()));
    NewEntry {
        key: key(page.path),
        variant: page.variant(),
        provenance: invalidation.begin_fetch().provenance(tags),
        content: Content::Response(page.response()),
    }
}

pub(crate) fn load(store: &dyn Store, key: &Key) {
    if store.cold().is_some_and(|cold| cold.holds(key.hash())) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(cold::load(store, key, Promote::Always));
    }
}

pub(crate) fn key(path: &str) -> Key {
    Key::new(KeySeed(3), Scheme::Http, b"shop.example", path.as_bytes())
}

fn request(selecting: &str) -> HeaderMap {
    HeaderMap::from_iter([(SELECTING, HeaderValue::from_str(selecting).unwrap())])
}

pub(crate) fn selects(stored: &Stored, selecting: &str) -> bool {
    stored.variant.as_ref().is_none_or(|variant| variant.matches(&request(selecting)))
        && (selecting.is_empty() || stored.variant.is_some())
}

pub(crate) fn content(response: &StoredResponse) -> Vec<u8> {
    match &response.body {
        Body::Deferred(body) => Arc::clone(body).open().whole().unwrap().concat(),
        body => body.pieces().concat(),
    }
}

/// The second of the page, whatever its time is taken for.
pub(crate) const SECOND: HeaderName = HeaderName::from_static("x-second");
const SELECTING: HeaderName = HeaderName::from_static("x-selecting");
pub(crate) const LARGE: EngineLimits =
    EngineLimits { capacity: 16 << 20, object_bytes_max: 4 << 20, variants_max: 64 };
pub(crate) const SMALL: EngineLimits =
    EngineLimits { capacity: 4 << 20, object_bytes_max: 64 << 10, variants_max: 64 };
