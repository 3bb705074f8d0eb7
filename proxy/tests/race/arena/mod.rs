//! `Arena`: an origin, a proxy before it, and those who race.

pub(crate) mod page;
pub(crate) mod purges;
mod truth;
mod random;
mod origin;
mod proxy;
mod connection;
mod racers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use shellac::server::Drained;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use self::origin::Origin;
use self::page::{Flavor, Page};
use self::proxy::Proxy;
use self::purges::Kind;
use self::racers::{Mutator, Reader};
use self::random::Random;
use self::truth::Truth;

/// The settings of one race.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    /// The kind of selector.
    pub(crate) kinds: &'static [Kind],
    /// The freshness of pages.
    pub(crate) flavors: &'static [Flavor],
    /// Pages, spread over hosts, sections, sites and groups.
    pub(crate) pages: usize,
    /// Bytes that a page has beside what it says.
    pub(crate) padding: usize,
    /// The memory engine's capacity, as it is written in a configuration.
    pub(crate) capacity: &'static str,
    /// The engine: `memory`, `file` or `tiered`.
    pub(crate) storage: &'static str,
    /// `on` or `off`.
    pub(crate) compression: &'static str,
    /// Set where the origin answers one request in three with an error: then all purges are hard,
    /// because a soft-purged response may be served on error.
    pub(crate) is_failing: bool,
    /// Purges, each with a request that it may overtake and one that comes after it.
    pub(crate) races: usize,
}

/// The numbers of one race.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Stored responses that hard purges matched, as they were answered.
    pub(crate) reported: u64,
    /// Fetches whose response was not stored because a purge overtook them.
    pub(crate) overtaken: u64,
    /// Requests that were answered by another's fetch.
    pub(crate) followed: u64,
    /// Responses that were removed because memory was short.
    pub(crate) evicted: u64,
    /// Responses that came back from the file.
    pub(crate) recalled: u64,
    /// Validations in the background.
    pub(crate) refreshed: u64,
    /// Validations that ended with 304.
    pub(crate) validated: u64,
    /// Responses that were compressed with br.
    pub(crate) compressed: u64,
}

/// The state that all racers share.
#[derive(Debug)]
struct Arena {
    pages: Vec<Page>,
    truth: Truth,
    proxy: Proxy,
    is_failing: bool,
    /// Mutators that still race: readers stop with the last one, however it ended.
    racing: AtomicUsize,
}

impl Default for Contest {
    fn default() -> Self {
        Self {
            kinds: &Kind::ALL,
            flavors: &Flavor::ALL,
            pages: 20,
            padding: 0,
            capacity: "64MiB",
            storage: "memory",
            compression: "off",
            is_failing: false,
            races: 1000,
        }
    }
}

impl Contest {
    /// Races, then settles the accounts.
    ///
    /// # Panics
    /// A racer is shown a version from before a purge that was answered, or the counts do not add
    /// up.
    pub(crate) fn run(&self) -> Outcome {
        let seed = Random::seed();
        println!("SHELLAC_RACE_SEED={seed}");
        let mut random = Random::new(seed);
        let pages: Vec<_> = (0..self.pages).map(|number| Page::new(number, self.flavors)).collect();
        let truth = Truth::new(self.pages);
        let origin = Origin::start(&pages, &truth, (self.padding, self.is_failing), random.fork());
        let arena = Arc::new(Arena {
            pages,
            truth,
            proxy: Proxy::start(origin.address(), self.capacity, self.storage, self.compression),
            is_failing: self.is_failing,
            racing: AtomicUsize::new(MUTATORS),
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (contest, arena, random) = (self.clone(), Arc::clone(&arena), random.fork());
                thread::spawn(move || contest.race(&arena, random))
            })
            .collect();
        for thread in threads {
            thread.join().expect("no racer failed");
        }
        let outcome = runtime().block_on(arena.proxy.settle_accounts());
        println!("{} races: {outcome:?}", self.races);
        let arena = Arc::into_inner(arena).expect("all threads have ended");
        assert_eq!(arena.proxy.stop(), Drained::Completely);
        outcome
    }

    /// Runs one thread's share of the racers.
    fn race(&self, arena: &Arc<Arena>, mut random: Random) {
        runtime().block_on(async {
            let mut racers = JoinSet::new();
            for _ in 0..MUTATORS / THREADS {
                let (arena, random) = (Arc::clone(arena), random.fork());
                let mutator = Mutator::enter(arena, random, self.kinds).await;
                racers.spawn(mutator.race(self.races / MUTATORS));
            }
            for _ in 0..READERS / THREADS {
                let reader = Reader::enter(Arc::clone(arena), random.fork()).await;
                racers.spawn(reader.read_until_the_end());
            }
            racers.join_all().await;
        });
    }
}

impl Arena {
    fn is_over(&self) -> bool {
        self.racing.load(Ordering::Acquire) == 0
    }
}

/// One thread, as the proxy's workers have it.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

const THREADS: usize = 2;
const MUTATORS: usize = 4;
const READERS: usize = 8;
