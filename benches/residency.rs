//! Which policy keeps the right pages: hit ratios of a simulated shop under several ways to decide
//! who stays.
//!
//! `cargo bench -p benches --bench residency`. Requests are zipf-distributed over 200,000 pages of
//! lognormal size; a share of them asks for something that is never asked for again. The capacity
//! is a tenth of all pages. As in the store, a policy hears of a page's use once a second at most:
//! every 10,000 requests.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use benches::{Random, Shop, Zipf};
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use shellac::testing::store::Store as _;

const PAGES: u32 = 200_000;
const REQUESTS: u64 = 3_000_000;
const REQUESTS_PER_SECOND: u64 = 10_000;

fn main() {
    println!("| zipf | one-hit requests | {} |", POLICIES.map(|(name, _)| name).join(" | "));
    println!("|---|---|{}", "---|".repeat(POLICIES.len()));
    for exponent in [0.8, 1.0] {
        for one_hit in [0.0, 0.2] {
            let ratios = POLICIES.map(|(_, make)| {
                let ratio = hit_ratio(&mut *make(capacity()), exponent, one_hit);
                format!("{:.1} %", ratio * 100.0)
            });
            println!("| {exponent} | {:.0} % | {} |", one_hit * 100.0, ratios.join(" | "));
        }
    }
}

trait Keeper {
    /// Returns whether the page is there, and notes the use if `is_reported`.
    fn find(&mut self, page: u64, is_reported: bool) -> bool;
    fn put(&mut self, page: u64, bytes: u32);
    fn pass_a_second(&mut self) {}
}

type Make = fn(u64) -> Box<dyn Keeper>;

const POLICIES: [(&str, Make); 8] = [
    ("LRU", |capacity| Box::new(Single(lru(capacity).build()))),
    ("TinyLFU (moka)", |capacity| Box::new(Single(tiny_lfu(capacity).build()))),
    ("window 1/20", |capacity| Box::new(Windowed::new(capacity, 20))),
    ("window 1/10", |capacity| Box::new(Windowed::new(capacity, 10))),
    ("window 1/5", |capacity| Box::new(Windowed::new(capacity, 5))),
    ("window 1/3", |capacity| Box::new(Windowed::new(capacity, 3))),
    ("window 1/5, then LRU of what was used twice", |capacity| Box::new(Twice::new(capacity, 5))),
    ("the store", |capacity| Box::new(Real::new(capacity))),
];

fn hit_ratio(keeper: &mut dyn Keeper, exponent: f64, one_hit: f64) -> f64 {
    let (zipf, mut random) = (Zipf::new(PAGES, exponent), Random::new(1));
    let mut reported: HashMap<u64, u64> = HashMap::new();
    let (mut hits, mut asked) = (0_u32, 0_u32);
    for request in 0..REQUESTS {
        let is_one_hit = random.share() < one_hit;
        let page = if is_one_hit {
            u64::from(PAGES) + request
        } else {
            zipf.choose(&mut random).wrapping_mul(0x9e37_79b9) % (1 << 40)
        };
        let second = request / REQUESTS_PER_SECOND;
        if request % REQUESTS_PER_SECOND == 0 {
            keeper.pass_a_second();
        }
        let is_reported = reported.insert(page, second) != Some(second);
        let is_hit = keeper.find(page, is_reported);
        if !is_hit {
            keeper.put(page, bytes_of(page));
        }
        if request >= REQUESTS / 2 && !is_one_hit {
            asked += 1;
            hits += u32::from(is_hit);
        }
    }
    f64::from(hits) / f64::from(asked)
}

fn bytes_of(page: u64) -> u32 {
    u32::try_from(Random::new(page).page_bytes()).unwrap_or(u32::MAX)
}

fn capacity() -> u64 {
    let page =
        |number: u32| u64::from(bytes_of(u64::from(number).wrapping_mul(0x9e37_79b9) % (1 << 40)));
    (0..PAGES).map(page).sum::<u64>() / 10
}

type Builder = moka::sync::CacheBuilder<u64, u32, Cache<u64, u32>>;

fn builder(capacity: u64) -> Builder {
    Cache::builder().max_capacity(capacity).weigher(|_, bytes| *bytes)
}

fn lru(capacity: u64) -> Builder {
    builder(capacity).eviction_policy(EvictionPolicy::lru())
}

fn tiny_lfu(capacity: u64) -> Builder {
    builder(capacity).eviction_policy(EvictionPolicy::tiny_lfu())
}

struct Single(Cache<u64, u32>);

impl Keeper for Single {
    fn find(&mut self, page: u64, is_reported: bool) -> bool {
        if is_reported { self.0.get(&page).is_some() } else { self.0.contains_key(&page) }
    }

    fn put(&mut self, page: u64, bytes: u32) {
        self.0.insert(page, bytes);
    }
}

struct Windowed {
    window: Cache<u64, u32>,
    main: Cache<u64, u32>,
}

impl Windowed {
    fn new(capacity: u64, share: u64) -> Self {
        let main = tiny_lfu(capacity - capacity / share).build();
        let to = main.clone();
        let promote = move |page: Arc<u64>, bytes, cause| {
            if cause == RemovalCause::Size {
                to.insert(*page, bytes);
            }
        };
        Self { window: lru(capacity / share).eviction_listener(promote).build(), main }
    }
}

impl Keeper for Windowed {
    fn find(&mut self, page: u64, is_reported: bool) -> bool {
        if is_reported {
            let in_window = self.window.get(&page).is_some();
            self.main.get(&page).is_some() || in_window
        } else {
            self.window.contains_key(&page) || self.main.contains_key(&page)
        }
    }

    fn put(&mut self, page: u64, bytes: u32) {
        self.window.insert(page, bytes);
    }
}

/// A window, and behind it what was used again while it was there; both LRU.
struct Twice {
    window: Cache<u64, u32>,
    main: Cache<u64, u32>,
    used: Arc<Mutex<HashSet<u64>>>,
}

impl Twice {
    fn new(capacity: u64, share: u64) -> Self {
        let main = lru(capacity - capacity / share).build();
        let used: Arc<Mutex<HashSet<u64>>> = Arc::default();
        let (to, was_used) = (main.clone(), Arc::clone(&used));
        let promote = move |page: Arc<u64>, bytes, cause| {
            let is_used = was_used.lock().is_ok_and(|mut used| used.remove(&*page));
            let is_full = to.weighted_size() > to.policy().max_capacity().unwrap_or(0) * 99 / 100;
            if cause == RemovalCause::Size && (is_used || !is_full) {
                to.insert(*page, bytes);
            }
        };
        Self { window: lru(capacity / share).eviction_listener(promote).build(), main, used }
    }
}

impl Keeper for Twice {
    fn find(&mut self, page: u64, is_reported: bool) -> bool {
        if !is_reported {
            return self.window.contains_key(&page) || self.main.contains_key(&page);
        }
        let in_window = self.window.get(&page).is_some();
        if in_window && let Ok(mut used) = self.used.lock() {
            used.insert(page);
        }
        in_window || self.main.get(&page).is_some()
    }

    fn put(&mut self, page: u64, bytes: u32) {
        self.window.insert(page, bytes);
    }
}

/// The store itself. It counts heads and index, too, and keeps a reserve: with this much it holds
/// as much content as the others.
struct Real {
    shop: Shop,
    content: Vec<u8>,
}

impl Real {
    fn new(capacity: u64) -> Self {
        Self { shop: Shop::new(capacity * 7 / 5), content: vec![b'x'; 1_000_000] }
    }
}

impl Keeper for Real {
    fn find(&mut self, page: u64, _is_reported: bool) -> bool {
        let found = self.shop.store.lookup(&benches::key(page), &|_| true);
        found.inspect(|stored| self.shop.store.touch(stored)).is_some()
    }

    fn pass_a_second(&mut self) {
        self.shop.clock.advance(Duration::from_secs(1));
    }

    fn put(&mut self, page: u64, bytes: u32) {
        let content = self.content.get(..bytes as usize).unwrap_or_default();
        drop(self.shop.put(page, Vec::new(), content));
    }
}
