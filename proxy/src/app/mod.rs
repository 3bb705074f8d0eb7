//! The composition root: makes every part, wires them, and hands over to another process.

pub mod reload;
mod pages;
mod storage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use purge_protocol::log::Position;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::pages::{PageExchange, PageNotes, Pages};

use self::pages::IncomingPages;
use self::reload::Reloads;
use self::storage::Storage;
use crate::cache::rewarm::{RewarmRules, Rewarmer};
use crate::cache::{Cache, Passer};
use crate::client::peer::ListenerId;
use crate::fetch::{FetchLimits, Fetcher};
use crate::front::{Front, ListenerRequests};
use crate::invalidation::lease::OnExpiry;
use crate::invalidation::{Invalidation, Verdict};
use crate::key::KeySeed;
use crate::limit::Limit;
use crate::listener::drain::Drain;
use crate::listener::{ListenerMetrics, Listeners};
use crate::live::Live;
use crate::log::Logs;
use crate::origins::Origins;
use crate::policy::LiveSettings;
use crate::purge::PurgeExecutor;
use crate::purge::endpoint::PurgeEndpoint;
use crate::purge::hint::Hints;
use crate::purge::log::PurgeLog;
#[cfg(feature = "otlp")]
use crate::spans::Spans;
use crate::store::file::{FileUsage, OpenError, TieredStore};
use crate::store::journal::Journal;
use crate::store::memory::MemoryStore;
use crate::store::{Removal, Store};
use process::clock::Clock;
use process::descriptors::affordable_connections;
use process::timestamp::Timestamp;
use settings::{Config, ListenSettings, StorageKind};

#[derive(Debug)]
pub struct App {
    /// The settings of the start. Those that can change since are in `settings`.
    pub config: Config,
    /// Those of the last reload.
    latest: Mutex<Config>,
    pub store: Arc<dyn Store>,
    memory: MemoryStore,
    /// The same store, where it has a file.
    file: Option<Arc<TieredStore>>,
    pub invalidation: Arc<Invalidation>,
    /// The settings that can change while it runs.
    pub settings: Arc<LiveSettings>,
    pub front: Arc<Front>,
    pub purge_log: Arc<PurgeLog>,
    pub listeners: Arc<Listeners<Front>>,
    pub journal: Journal,
    pub reloads: Reloads,
    pub executor: Arc<PurgeExecutor>,
    pub live: Arc<Live>,
    pub logs: Logs,
    #[cfg(feature = "otlp")]
    pub spans: Spans,
    seed: KeySeed,
    pub pages: PageExchange,
    clock: Clock,
    started: Timestamp,
    is_leaving: AtomicBool,
    is_announced: AtomicBool,
    /// An operator keeps load balancers away, though it serves.
    is_withdrawn: AtomicBool,
    handed_over: CancellationToken,
    /// Cancelled when the process before tells nothing any more; `None`: there was none.
    predecessor: Mutex<Option<CancellationToken>>,
}

/// The state that a process, or a start, takes from another one besides the store.
#[derive(Debug)]
enum Inheritance {
    Nothing,
    /// Stored responses may miss purges from these positions on.
    Positions(Vec<Position>),
    Pages(Pages),
}

impl Inheritance {
    /// Returns the positions in the purge log, and the pages on their way.
    fn divided(
        self,
        journal: &Journal,
        invalidation: &Arc<Invalidation>,
        clock: &Clock,
    ) -> (Vec<Position>, Option<IncomingPages>) {
        match self {
            Self::Nothing => (journal.positions(), None),
            Self::Positions(positions) => (positions, None),
            Self::Pages(pages) => {
                // Before the purge log: what it may have missed, the pages have missed.
                let positions = pages.notes.positions.clone();
                (positions, Some(IncomingPages::new(pages, invalidation, clock)))
            }
        }
    }
}

impl App {
    /// Makes every part. The clock is the system's, or one that a test moves.
    pub fn new(config: Config, clock: Clock) -> Result<Arc<Self>, OpenError> {
        Self::with_pages(config, clock, None)
    }

    /// Makes every part, for pages that another process has handed over.
    pub fn with_pages(
        config: Config,
        clock: Clock,
        pages: Option<Pages>,
    ) -> Result<Arc<Self>, OpenError> {
        let pages = pages.filter(|_| config.storage.kind == StorageKind::Memory);
        let storage = Storage::open(&config, &clock, pages.as_ref().map(Pages::tag_seed))?;
        let reloads = Reloads::new(clock.wall());
        let inheritance = pages.map_or(Inheritance::Nothing, Inheritance::Pages);
        Ok(Self::over(storage, config, clock, (reloads, inheritance)))
    }

    /// Finds what would keep the store from being opened, while another process has it.
    pub fn check_store(config: &Config) -> Result<(), OpenError> {
        Storage::check(config)
    }

    /// Makes every part again, for these listeners, after a process that was to take over has
    /// failed: the store is opened again, or is the same where it is in memory.
    pub fn resumed(&self, listen: Vec<ListenSettings>) -> Result<Arc<Self>, OpenError> {
        let mut config = self.latest.lock().clone();
        config.listen = listen;
        (config.workers, config.storage) = (self.config.workers, self.config.storage.clone());
        config.storage.file.wait = config.storage.file.wait.max(RESUME_WAIT);
        let reloads = self.reloads.resumed(self.clock.wall());
        if self.file.is_some() {
            let clock = Clock::system();
            let storage = Storage::open(&config, &clock, None)?;
            let app = Self::over(storage, config, clock, (reloads, Inheritance::Nothing));
            app.withdraw(self.is_withdrawn());
            return Ok(app);
        }
        let storage = Storage {
            store: Arc::clone(&self.store),
            memory: self.memory.clone(),
            file: None,
            invalidation: Arc::clone(&self.invalidation),
            seed: self.seed,
            journal: Journal::default(),
        };
        self.invalidation.lease().resume();
        let positions = Inheritance::Positions(self.purge_log.log_status().positions);
        let app = Self::over(storage, config, self.clock.clone(), (reloads, positions));
        app.withdraw(self.is_withdrawn());
        Ok(app)
    }

    fn over(
        storage: Storage,
        config: Config,
        clock: Clock,
        (reloads, inheritance): (Reloads, Inheritance),
    ) -> Arc<Self> {
        let Storage { store, memory, file, invalidation, seed, journal } = storage;
        let (positions, incoming) = inheritance.divided(&journal, &invalidation, &clock);
        govern(&invalidation, &config);
        let settings = LiveSettings::new(&config);
        let executor = PurgeExecutor::new(
            Arc::clone(&store),
            Arc::clone(&invalidation),
            journal.clone(),
            seed,
            clock.clone(),
        );
        let live = Arc::new(Live::new(&clock));
        executor.follow(&settings, &live);
        let purge_log = PurgeLog::new(
            Arc::clone(&executor),
            Arc::clone(&invalidation),
            (journal.clone(), positions),
            clock.clone(),
            Arc::clone(&settings),
        );
        let drain = Drain::default();
        let front = front(
            &config,
            (&executor, &settings),
            (&store, &invalidation, &journal, seed),
            (&clock, &live),
            &drain,
        );
        let listeners = listeners(&config, &clock, &front, drain);
        let pages = PageExchange {
            store: Arc::clone(&store),
            invalidation: Arc::clone(&invalidation),
            purge_log: Arc::clone(&purge_log),
            clock: clock.clone(),
            seed,
            bytes_max: file.is_none().then(|| config.storage.memory.hand_over.unwrap_or(0)),
            incoming: Mutex::new(incoming),
        };
        let logs = Logs::new(&config, &settings, &clock, &front.records);
        logs.configure(&config);
        #[cfg(feature = "otlp")]
        let spans = Spans::begin(&config, &settings, &clock, &front.records);
        Arc::new(Self {
            latest: Mutex::new(config.clone()),
            config,
            store,
            memory,
            file,
            invalidation,
            settings,
            purge_log,
            listeners,
            started: clock.now(),
            clock,
            journal,
            executor,
            live,
            logs,
            #[cfg(feature = "otlp")]
            spans,
            seed,
            pages,
            front,
            reloads,
            is_leaving: AtomicBool::new(false),
            is_announced: AtomicBool::new(false),
            is_withdrawn: AtomicBool::new(false),
            handed_over: CancellationToken::new(),
            predecessor: Mutex::default(),
        })
    }

    /// Lets another process, which listens at the same addresses, have the store and everyone who
    /// comes. In this order: nobody new comes; what is being changed at the origin is purged, and
    /// nothing else is changed through this process; nothing stored is used any more, and no purge
    /// is acknowledged, as purges go to the other one; the store is let go. Blocks; is called where
    /// a runtime is at hand.
    pub fn hand_over(&self) {
        self.listeners.drain.hand_over();
        let changes = self.front.cache.changes().end(CHANGES_PATIENCE);
        let left = tokio::runtime::Handle::current().block_on(changes);
        if left > 0 {
            tracing::warn!(
                requests = left,
                "unsafe requests still wait for the origin: what they change is purged in the process that takes over"
            );
        }
        self.handed_over.cancel();
        self.invalidation.lease().end_for_good();
        self.journal.hand_over();
        self.close_store();
    }

    /// Returns the numbers of the store's file, where it has one.
    pub fn file_usage(&self) -> Option<FileUsage> {
        self.file.as_ref().map(|file| file.file_usage())
    }

    /// Returns the bytes of bodies that left the store and are in memory while a client reads them.
    pub fn pinned_bytes(&self) -> u64 {
        self.memory.pinned_bytes()
    }

    /// Returns whether everything that was stored is where it belongs.
    pub fn is_store_settled(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.is_settled())
    }

    /// Makes everything that is stored durable. Nothing is stored any more.
    pub fn close_store(&self) {
        if let Some(file) = &self.file {
            file.close();
        }
    }

    /// Waits until `hand_over` has completed.
    pub async fn is_handed_over(&self) {
        self.handed_over.cancelled().await;
    }

    pub fn has_handed_over(&self) -> bool {
        self.handed_over.is_cancelled()
    }

    /// The process before is heard until the result is dropped.
    pub fn hear_predecessor(&self) -> DropGuard {
        let left = CancellationToken::new();
        *self.predecessor.lock() = Some(left.clone());
        left.drop_guard()
    }

    /// Waits until the process before, if there was one, tells nothing any more.
    pub async fn predecessor_left(&self) {
        let left = self.predecessor.lock().clone();
        if let Some(left) = left {
            left.cancelled().await;
        }
    }

    pub(crate) fn announce_start(&self) {
        self.is_announced.store(true, Ordering::Release);
    }

    /// Returns whether the service manager was told that the proxy serves.
    pub(crate) fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Acquire)
    }

    /// Returns whether the end is announced: readiness says so, requests are still served.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Says by readiness whether load balancers are to send anything here. Requests are served all
    /// the same.
    pub fn withdraw(&self, is_withdrawn: bool) {
        self.is_withdrawn.store(is_withdrawn, Ordering::Release);
    }

    pub fn is_withdrawn(&self) -> bool {
        self.is_withdrawn.load(Ordering::Acquire)
    }

    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn uptime(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    /// Replaces the settings that can change while the proxy runs. All others stay as they were at
    /// the start, and so do the listeners.
    pub fn reconfigure(&self, config: &Config) {
        self.settings.replace(config);
        self.govern(config);
    }

    /// Replaces the settings and the listeners, which are in the order of their ids.
    pub(crate) fn reconfigure_with(&self, config: &Config, listen: Vec<ListenSettings>) {
        self.settings.replace_with(config, listen);
        self.govern(config);
    }

    /// Hands settings on to what is not asked about requests.
    fn govern(&self, config: &Config) {
        self.latest.lock().clone_from(config);
        govern(&self.invalidation, config);
        self.logs.configure(config);
        #[cfg(feature = "otlp")]
        self.spans.configure(config);
        self.listeners.permits.resize(affordable_connections(config.limits.max_connections));
        self.front.cache.resize_tunnels(config.limits.max_connections);
        self.front.cache.fetcher().resize(fetch_limits(config));
    }

    pub fn origins(&self) -> Origins {
        self.settings.current().origins.clone()
    }

    pub(crate) fn announce_end(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// Makes the worker that fetches again what purges have removed.
    pub(crate) fn rewarmer(&self) -> Arc<Rewarmer> {
        let log = &self.config.purge.log;
        let rules = RewarmRules {
            concurrency: log.rewarm_concurrency,
            queue: log.rewarm_queue,
            jitter: log.rewarm_jitter,
        };
        let metrics = Arc::clone(self.purge_log.rewarming());
        let settings = Arc::clone(&self.settings);
        Rewarmer::new(
            Arc::clone(&self.store),
            Arc::clone(&self.invalidation),
            self.clock.clone(),
            Arc::clone(self.front.cache.fetcher()),
            settings,
            metrics,
            (self.seed, rules),
        )
    }

    /// Removes every response that is purged or of no more use.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now();
        self.store.visit(&mut |stored| {
            if self.invalidation.verdict(&stored.provenance, &stored.key) == Verdict::Purged {
                self.store.remove(stored, Removal::Purged);
            } else if stored.useless_after() <= now {
                self.store.remove(stored, Removal::Expired);
            }
        });
        if let Some(cold) = self.store.cold() {
            cold.sweep_useless();
        }
    }
}

fn front(
    config: &Config,
    (executor, settings): (&Arc<PurgeExecutor>, &Arc<LiveSettings>),
    (store, invalidation, journal, seed): (&Arc<dyn Store>, &Arc<Invalidation>, &Journal, KeySeed),
    (clock, live): (&Clock, &Arc<Live>),
    drain: &Drain,
) -> Arc<Front> {
    let fetcher = Fetcher::new(
        Arc::clone(store),
        (Arc::clone(invalidation), journal.clone()),
        clock.clone(),
        fetch_limits(config),
    );
    let passer = Passer::new(
        Arc::clone(invalidation),
        clock.clone(),
        Arc::clone(&fetcher),
        Arc::clone(executor),
        config.limits.max_connections,
        drain.clone(),
    );
    let cache = Cache::new(
        Arc::clone(store),
        Arc::clone(invalidation),
        clock.clone(),
        fetcher,
        seed,
        passer,
    );
    let requests = ListenerRequests::new(ListenerId::MAX);
    for place in 0..config.listen.len() {
        requests.begin(ListenerId::at(place), None);
    }
    let purges = PurgeEndpoint::new(Arc::clone(executor), Arc::clone(settings), Hints::new(config));
    Arc::new(Front::new(cache, purges, Arc::clone(settings), requests, Arc::clone(live)))
}

fn listeners(
    config: &Config,
    clock: &Clock,
    front: &Arc<Front>,
    drain: Drain,
) -> Arc<Listeners<Front>> {
    Arc::new(Listeners {
        clock: clock.clone(),
        permits: Limit::new(affordable_connections(config.limits.max_connections)),
        limit: "limits.max_connections, or three quarters of the open files (LimitNOFILE)",
        metrics: ListenerMetrics::default(),
        handler: Arc::clone(front),
        drain,
        open: Arc::default(),
        stalls: Arc::default(),
        peers: Arc::default(),
    })
}

/// Hands the settings of the purge log on to what is not asked about requests.
fn govern(invalidation: &Invalidation, config: &Config) {
    invalidation.configure(on_expiry(&config.purge.log), config.purge.log.max_revisions);
}

fn on_expiry(rules: &settings::PurgeLogSettings) -> OnExpiry {
    match rules.on_expiry {
        settings::OnExpiry::Serve => OnExpiry::Serve,
        settings::OnExpiry::Cap => OnExpiry::Cap(rules.cap),
        settings::OnExpiry::Validate => OnExpiry::Validate,
        settings::OnExpiry::Bypass => OnExpiry::Bypass,
    }
}

fn fetch_limits(config: &Config) -> FetchLimits {
    FetchLimits {
        object_bytes_max: config.storage.object_bytes_max(),
        inflight_bytes_max: config.cache.max_inflight_bytes,
        misses_max: config.limits.max_inflight_misses,
    }
}

/// For a process that has failed to let go of the store.
const RESUME_WAIT: Duration = Duration::from_secs(10);
/// The longest wait at a take-over for unsafe requests that are at the origin. Everyone who comes
/// is queued meanwhile, and what later ones change is purged in the other process.
const CHANGES_PATIENCE: Duration = Duration::from_secs(1);
