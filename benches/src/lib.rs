//! What the benchmarks have in common: the pages of a shop, a store with pages in it, and a
//! repeatable choice among them.

pub mod file_shop;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use process::clock::Clock;
use process::timestamp::Timestamp;
use shellac::testing::freshness::{
    ExchangeTimes, FreshnessRules, RequestDirectives, RequestFacts, judge,
};
use shellac::testing::invalidation::{Invalidation, TagId};
use shellac::testing::key::{Key, KeySeed, Scheme};
use shellac::testing::store::memory::{MemoryLimits, MemoryStore};
use shellac::testing::store::{
    Body, Content, Fields, NewEntry, Store as _, Stored, StoredResponse,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A shop whose pages can be stored: keys of about 60 bytes, 12 fields of about 600 bytes.
#[derive(Debug)]
pub struct Shop {
    /// Where its pages are stored.
    pub store: MemoryStore,
    pub invalidation: Arc<Invalidation>,
    /// The time, which stands still until it is moved.
    pub clock: Clock,
    fields: HeaderMap,
}

impl Shop {
    /// Makes a shop with an empty store of this capacity in bytes.
    pub fn new(capacity: u64) -> Self {
        let limits = MemoryLimits { capacity, object_bytes_max: 4 << 20, variants_max: 64 };
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let store = MemoryStore::new(limits, clock.clone());
        Self { store, invalidation: Arc::new(Invalidation::new(1)), clock, fields: fields(FIELDS) }
    }

    /// Returns the tags of a page: the site, which all have, and `count - 1` that it shares with
    /// some others.
    pub fn tags(&self, number: u64, count: u64) -> Vec<TagId> {
        let tag = |text: String| self.invalidation.ids().tag(text.as_bytes());
        let shared = (1..count).map(|kind| tag(format!("kind-{kind}-{}", number / (20 * kind))));
        std::iter::once(self.site()).chain(shared).collect()
    }

    pub fn site(&self) -> TagId {
        self.invalidation.ids().tag(b"site-1")
    }

    /// Stores a page with this content in exact size, as a fetch does.
    pub fn put(&self, number: u64, tags: Vec<TagId>, content: &[u8]) -> Arc<Stored> {
        let mut writer = self.store.begin();
        for piece in content.chunks(128 << 10) {
            writer.append(Bytes::copy_from_slice(piece)).expect("smaller than the limit");
        }
        let stored = writer.commit(self.draft(number, tags)).expect("smaller than the limit");
        assert!(self.invalidation.may_keep(&stored.provenance, &stored.key), "nothing was purged");
        stored
    }

    fn draft(&self, number: u64, tags: Vec<TagId>) -> NewEntry {
        let now = self.clock.now();
        let freshness = judge(
            &FreshnessRules::default(),
            &facts(),
            StatusCode::OK,
            &self.fields,
            ExchangeTimes { request_time: now, response_time: now, wall_time: now },
        );
        NewEntry {
            key: key(number),
            variant: None,
            provenance: self.invalidation.begin_fetch().provenance(tags),
            content: Content::Response(StoredResponse {
                status: StatusCode::OK,
                fields: Fields::copy_of(&self.fields, &|_| false),
                freshness: freshness.expect("it says that it may be stored"),
                body: Body::Empty,
                part: None,
            }),
        }
    }
}

pub fn facts() -> RequestFacts {
    let directives = RequestDirectives::of(&HeaderMap::new());
    RequestFacts { method: Method::GET, has_authorization: false, directives }
}

/// Returns the key of a page, of 60 bytes.
pub fn key(number: u64) -> Key {
    let path = format!("/en/catalogue/products/{number:09}?size=42");
    Key::new(KeySeed(3), Scheme::Https, b"www.shop.example", path.as_bytes())
}

pub fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    lines.iter().map(field).collect()
}

/// What a renderer sends: 12 fields.
pub const FIELDS: &[(&str, &str)] = &[
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "public, max-age=60, s-maxage=86400, stale-while-revalidate=600"),
    ("date", "Fri, 15 Jan 2027 08:00:00 GMT"),
    ("etag", "\"site-1-4f2a9c1b7d3e8a60\""),
    ("last-modified", "Thu, 14 Jan 2027 21:14:05 GMT"),
    (
        "link",
        "</_next/static/css/4f2a9c1b7d3e8a60.css>; rel=preload; as=style, </_next/static/chunks/main.js>; rel=preload; as=script",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-powered-by", "Next.js"),
    ("strict-transport-security", "max-age=63072000; includeSubDomains; preload"),
    ("surrogate-key", "site-1 kind-1-4711 kind-2-2355 kind-3-1570 kind-4-1177"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("server-timing", "render;dur=23.4, data;dur=11.2, total;dur=34.6"),
];

/// Numbers that look random and are the same in every run (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub const fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A size of a page in bytes: lognormal, median 8 KiB, one in a thousand above 180 KiB.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    pub fn page_bytes(&mut self) -> usize {
        let normal = (-2.0 * (1.0 - self.share()).ln()).sqrt()
            * (std::f64::consts::TAU * self.share()).cos();
        (8192.0 * normal.exp()).clamp(200.0, 1_000_000.0) as usize
    }
}

/// Chooses numbers from zero on, the lower the more often: number `n` as often as `1 / (n +
/// 1)^exponent`.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub fn new(count: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| f64::from(rank).powf(-exponent));
        let cumulated = weights.map(|weight| {
            sum += weight;
            sum
        });
        Self { cumulated: cumulated.collect() }
    }

    pub fn choose(&self, random: &mut Random) -> u64 {
        let at = random.share() * self.cumulated.last().copied().unwrap_or_default();
        self.cumulated.partition_point(|sum| *sum < at) as u64
    }
}
