//! A shop whose pages are in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, thread};

use bytes::{Buf as _, Bytes};
use http::header::{CACHE_CONTROL, DATE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};
use process::clock::Clock;
use process::timestamp::Timestamp;
use purge_protocol::PurgeMode;
use shellac::testing::freshness::{ExchangeTimes, FreshnessRules, judge};
use shellac::testing::invalidation::{Mark, PurgeMark};
use shellac::testing::store::file::{FileLimits, OpenedStore, TieredStore, Tiering};
use shellac::testing::store::memory::MemoryLimits;
use shellac::testing::store::{
    Body, Content, Fields, NewEntry, Promote, Store as _, Stored, StoredResponse,
};
use shellac::testing::store::{ColdTier as _, CopyMode};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::{FIELDS, facts, fields, key};

#[derive(Debug)]
pub struct FileShop {
    /// Where its files are.
    pub folder: PathBuf,
    /// Where its pages are stored.
    pub opened: OpenedStore,
    /// The time, which stands still until it is moved.
    pub clock: Clock,
    fields: HeaderMap,
    runtime: Runtime,
    block: Bytes,
}

impl FileShop {
    /// Opens the store, or makes one, of so many bytes in the file, and as much of this memory as
    /// it gives its parts.
    pub fn open(folder: &Path, capacity: u64, memory: u64, tiering: Tiering) -> Self {
        Self::with(folder, capacity, tiering.share(memory, capacity), tiering)
    }

    /// The same with so many responses in the index, and so many bytes for responses in memory.
    pub fn with(
        folder: &Path,
        capacity: u64,
        (entries_max, memory): (u64, u64),
        tiering: Tiering,
    ) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let limits = FileLimits {
            path: folder.to_owned(),
            capacity,
            object_bytes_max: 16 << 20,
            persists: true,
            wait: Duration::ZERO,
            sync: Duration::from_secs(5),
            entries_max,
        };
        let memory = MemoryLimits { capacity: memory, object_bytes_max: 4 << 20, variants_max: 64 };
        let opened = TieredStore::open(&limits, memory, tiering, &clock).expect("it can be opened");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let block = Bytes::from(vec![b'x'; 3 << 20]);
        Self { folder: folder.to_owned(), opened, clock, fields: fields(FIELDS), runtime, block }
    }

    pub fn set_life(&mut self, seconds: u64) {
        let value = HeaderValue::try_from(format!("max-age={seconds}")).expect("it is a value");
        self.fields.insert(CACHE_CONTROL, value);
        self.fields.remove(ETAG); // what cannot be validated is of no use afterwards
        self.fields.remove(LAST_MODIFIED);
        self.fields.remove(DATE); // else it gets older with the clock
    }

    /// Stores a page of so many bytes, when the writer is not behind.
    pub fn put_in_turn(&self, number: u64, length: usize) {
        self.put(number, &self.block.slice(..length));
        while !self.opened.store.has_room() {
            thread::yield_now();
        }
    }

    pub fn remove(self) {
        let folder = self.folder.clone();
        drop(self);
        drop(fs::remove_dir_all(folder));
    }

    pub fn put(&self, number: u64, content: &Bytes) {
        let now = self.clock.now();
        let exchange = ExchangeTimes { request_time: now, response_time: now, wall_time: now };
        let freshness =
            judge(&FreshnessRules::default(), &facts(), StatusCode::OK, &self.fields, exchange);
        let invalidation = &self.opened.invalidation;
        let ids = invalidation.ids();
        let tag = |text: String| ids.tag(text.as_bytes());
        let shared = ["site-1".into(), format!("section-{}", number % 100), "layout-2".into()];
        let own = format!("page-{number}");
        let tags: Vec<_> = shared.into_iter().chain([own]).map(tag).collect();
        let tags = tags.into_iter().chain([ids.host(b"www.shop.example")]);
        let draft = NewEntry {
            key: self.key(number),
            variant: None,
            provenance: invalidation.begin_fetch().provenance(tags),
            content: Content::Response(StoredResponse {
                status: StatusCode::OK,
                fields: Fields::copy_of(&self.fields, &|_| false),
                freshness: freshness.expect("it says that it may be stored"),
                body: Body::Empty,
                part: None,
            }),
        };
        let mut writer = self.opened.store.begin();
        writer.append(content.clone()).expect("smaller than the limit");
        drop(writer.commit(draft).expect("there is room"));
    }

    fn key(&self, number: u64) -> shellac::testing::key::Key {
        let plain = key(number);
        let (host, path) = (plain.host(), plain.path());
        shellac::testing::key::Key::new(self.opened.seed, plain.scheme(), host, path)
    }

    /// Finds a page in memory or in the file, and notes the use.
    pub fn find(&self, number: u64, promote: Promote) -> Option<Arc<Stored>> {
        let key = self.key(number);
        let store = &self.opened.store;
        let found = store.lookup(&key, &|_| true).or_else(|| {
            let load = || self.runtime.block_on(store.load(&key, promote));
            let transient = store.holds(key.hash()).then(load)?.pop();
            transient.or_else(|| store.lookup(&key, &|_| true))
        });
        found.inspect(|stored| store.touch(stored))
    }

    /// Whether a page is there and may still be used.
    pub fn has_fresh(&self, number: u64) -> bool {
        let found = self.find(number, Promote::IfHot);
        found.is_some_and(|stored| stored.useless_after() > self.clock.now())
    }

    /// Reads a page to its end, and says how many bytes that were.
    pub fn read(&self, number: u64) -> u64 {
        let key = self.key(number);
        let store = &self.opened.store;
        let found = store.lookup(&key, &|_| true).or_else(|| {
            self.runtime.block_on(store.load(&key, Promote::Always));
            store.lookup(&key, &|_| true)
        });
        let stored = found.expect("it is stored");
        match &stored.response().expect("it is a response").body {
            Body::Deferred(body) => {
                let (reading, mut at) = (Arc::clone(body).open(), 0);
                while at < body.length() {
                    at += reading
                        .window(at, body.length(), CopyMode::Mapped)
                        .expect("it is sound")
                        .remaining() as u64;
                }
                at
            }
            body => body.length(),
        }
    }

    /// Purges a tag, and says how long it takes until nothing in the file carries it, and how much
    /// was looked at.
    #[expect(clippy::disallowed_methods, reason = "a benchmark waits for the sweeper")]
    pub fn sweep(&self, tag: &str) -> (Duration, [u64; 2]) {
        let OpenedStore { store, invalidation, .. } = &self.opened;
        let swept = || store.file_usage().swept;
        let id = invalidation.ids().tag(tag.as_bytes());
        let (before, started) = (swept(), Instant::now());
        let sequence = invalidation.mark(&[Mark::Tag(id)], PurgeMode::Hard, self.clock.now());
        store.sweep_purged(&[PurgeMark::Tag(id)], sequence);
        let (mut last, mut took) = (before, Duration::ZERO);
        while started.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
            let now = swept();
            if now != last {
                (last, took) = (now, started.elapsed());
            }
        }
        (took, [last[0] - before[0], last[1] - before[1]])
    }

    /// Waits until everything is in the file.
    #[expect(clippy::disallowed_methods, reason = "a benchmark waits for the writer")]
    pub fn settle(&self) {
        while !self.opened.store.is_settled() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
