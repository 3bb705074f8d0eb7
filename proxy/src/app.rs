//! The composition root: makes every part, wires them, owns the order of the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::cache::Cache;
use crate::cache::rewarm::{RewarmRules, Rewarmer};
use crate::fetch::{FetchLimits, Fetcher};
use crate::front::Front;
use crate::invalidation::lease::OnExpiry;
use crate::invalidation::{Invalidation, Verdict};
use crate::key::KeySeed;
use crate::listener::drain::Drain;
use crate::listener::{ListenerMetrics, Listeners, socket};
use crate::origins::Origins;
use crate::policy::LiveSettings;
use crate::purge::Purger;
use crate::purge::door::Door;
use crate::purge::hint::Hints;
use crate::purge::log::PurgeLog;
use crate::store::file::{FileLimits, OpenError, OpenedStore, TieredStore, Tiering};
use crate::store::journal::Journal;
use crate::store::memory::{MemoryLimits, MemoryStore};
use crate::store::{Removal, Store};
use process::clock::Clock;
use process::timestamp::Timestamp;
use settings::{Config, StorageKind};

/// All parts of a running proxy.
#[derive(Debug)]
pub struct App {
    /// The settings of the start. Those that can change since are in `settings`.
    pub config: Config,
    /// Where responses are.
    pub store: Arc<dyn Store>,
    /// What may still be used.
    pub invalidation: Arc<Invalidation>,
    /// The settings that can change while it runs.
    pub settings: Arc<LiveSettings>,
    /// What answers.
    pub front: Arc<Front>,
    /// What a purger delivers.
    pub purge_log: Arc<PurgeLog>,
    /// Who is connected.
    pub listeners: Arc<Listeners<Front>>,
    /// What is kept durable beside stored responses.
    pub journal: Journal,
    clock: Clock,
    started: Timestamp,
    is_leaving: AtomicBool,
    handed_over: CancellationToken,
    /// Why the store that was asked for cannot be opened: then nothing is bound.
    store_fault: Mutex<Option<OpenError>>,
}

/// Sockets that are bound, and what serves them once it is run.
#[derive(Debug)]
pub struct Bound {
    app: Arc<App>,
    sockets: Sockets,
}

/// Sockets that are bound: who connects waits.
#[derive(Debug)]
pub struct Sockets {
    /// For each listener, a socket for each worker.
    traffic: Vec<Vec<TcpListener>>,
    admin: Vec<TcpListener>,
}

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound. The operator frees it or chooses another.
    #[error("cannot listen on {address}: {source}; free it, or choose another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be opened. The operator does what the message says.
    #[error(transparent)]
    Store(OpenError),
    /// The other process does not hand over. The operator names one that does.
    #[error(
        "cannot take over from process {pid}: {reason}; name a running shellac, or start without --take-over"
    )]
    TakeOver {
        /// The process.
        pid: i32,
        /// Why not.
        reason: String,
    },
    /// A thread or its event loop cannot be made: out of some system resource.
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
    /// Signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
}

/// How the end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everyone was served.
    Completely,
    /// The deadline came first; so many connections were cut.
    Cut(usize),
}

impl App {
    /// Makes every part. The clock is the system's, or one that a test moves.
    pub fn new(config: Config, clock: Clock) -> Arc<Self> {
        let (Storage { store, invalidation, seed, journal }, store_fault) =
            match Storage::open(&config, &clock) {
                Ok(storage) => (storage, None),
                Err(fault) => (Storage::in_memory(&config, &clock), Some(fault)),
            };
        govern(&invalidation, &config);
        let settings = LiveSettings::new(&config);
        let fetcher = Fetcher::new(
            Arc::clone(&store),
            Arc::clone(&invalidation),
            clock.clone(),
            fetch_limits(&config),
        );
        let purger = Purger::new(
            Arc::clone(&store),
            Arc::clone(&invalidation),
            journal.clone(),
            seed,
            clock.clone(),
        );
        let door = Door::new(Arc::clone(&purger), Arc::clone(&settings), Hints::new(&config));
        let recovered = journal.positions();
        let purge_log = PurgeLog::new(
            Arc::clone(&purger),
            Arc::clone(&invalidation),
            (journal.clone(), recovered),
            clock.clone(),
            Arc::clone(&settings),
        );
        let drain = Drain::default();
        let cache = Cache::new(
            fetcher,
            purger,
            seed,
            (config.listen.len(), config.limits.max_connections),
            drain.clone(),
        );
        let front = Arc::new(Front { cache, door, settings: Arc::clone(&settings) });
        let listeners = Arc::new(Listeners {
            clock: clock.clone(),
            permits: Arc::new(Semaphore::new(config.limits.max_connections)),
            metrics: ListenerMetrics::default(),
            handler: Arc::clone(&front),
            drain,
            stalls: Arc::default(),
        });
        let started = clock.now();
        let is_leaving = AtomicBool::new(false);
        Arc::new(Self {
            config,
            store,
            invalidation,
            settings,
            front,
            purge_log,
            listeners,
            clock,
            journal,
            started,
            is_leaving,
            handed_over: CancellationToken::new(),
            store_fault: Mutex::new(store_fault),
        })
    }

    /// Binds every address, so that all that can fail has failed before anything is served.
    pub fn bind(self: Arc<Self>) -> Result<Bound, StartError> {
        self.check_store()?;
        let sockets = Sockets::bind(&self.config, socket::is_taken)?;
        Ok(Bound { app: self, sockets })
    }

    /// The same with sockets that are bound already.
    pub fn bound_to(self: Arc<Self>, sockets: Sockets) -> Result<Bound, StartError> {
        self.check_store()?;
        Ok(Bound { app: self, sockets })
    }

    fn check_store(&self) -> Result<(), StartError> {
        let fault = self.store_fault.lock().take();
        fault.map_or(Ok(()), |fault| Err(StartError::Store(fault)))
    }

    /// Lets another process, which listens at the same addresses, have the store and everyone who comes. In this order: nobody
    /// new comes; what is being changed at the origin is purged, and nothing else is changed through this process; nothing
    /// stored is used any more, and no purge is acknowledged, as purges go to the other one; the store is let go.
    /// Blocks; is called where a runtime is at hand.
    pub fn hand_over(&self) {
        self.listeners.drain.begin();
        let changes = self.front.cache.changes.end(CHANGES_PATIENCE);
        let left = tokio::runtime::Handle::current().block_on(changes);
        if left > 0 {
            tracing::error!(
                requests = left,
                "unsafe requests still wait for the origin: purge what they change in the process that takes over"
            );
        }
        self.handed_over.cancel();
        self.invalidation.lease().end_for_good();
        self.journal.hand_over();
        self.store.close();
    }

    /// Waits until that is so.
    pub async fn is_handed_over(&self) {
        self.handed_over.cancelled().await;
    }

    /// Returns whether the end is announced: readiness says so, requests are still served.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// The time.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    /// Replaces the settings that can change while the proxy runs. All others stay as they were at the start.
    pub fn reconfigure(&self, config: &Config) {
        self.settings.replace(config);
        govern(&self.invalidation, config);
    }

    /// The origins of the settings that hold now.
    pub fn origins(&self) -> Origins {
        self.settings.current().origins.clone()
    }

    /// Drops what is of no more use, closes idle connections: forever.
    async fn keep_house(self: Arc<Self>) {
        let mut pause = HOUSEKEEPING;
        loop {
            sleep(pause).await;
            self.origins().sweep();
            let app = Arc::clone(&self);
            let started = Instant::now();
            if let Err(error) = tokio::task::spawn_blocking(move || app.sweep()).await {
                tracing::error!(%error, "sweeping the store failed");
            }
            pause = HOUSEKEEPING.max(started.elapsed() * SWEEP_SHARE);
        }
    }

    fn sweep(&self) {
        let now = self.clock.now();
        self.store.visit(&mut |stored| {
            if self.invalidation.verdict(&stored.provenance, &stored.key) == Verdict::Purged {
                self.store.remove(stored, Removal::Purged);
            } else if stored.useless_after() <= now {
                self.store.remove(stored, Removal::Expired);
            }
        });
        self.store.sweep_dormant();
    }
}

impl Sockets {
    /// Binds the addresses of a configuration, though another process listens there as well.
    pub fn beside_another(config: &Config) -> Result<Self, StartError> {
        Self::bind(config, |_| false)
    }

    fn bind(config: &Config, is_taken: impl Fn(SocketAddr) -> bool) -> Result<Self, StartError> {
        let bind = |address: SocketAddr, backlog, workers| {
            if is_taken(address) {
                return Err(StartError::Bind { address, source: io::ErrorKind::AddrInUse.into() });
            }
            socket::bind(address, backlog, workers)
                .map_err(|source| StartError::Bind { address, source })
        };
        let traffic = config
            .listen
            .iter()
            .map(|listen| bind(listen.address, listen.backlog, config.workers))
            .collect::<Result<_, _>>()?;
        let one = |address: &SocketAddr| Ok(bind(*address, ADMIN_BACKLOG, 1)?.swap_remove(0));
        let admin = config.admin.listen.iter().map(one).collect::<Result<_, StartError>>()?;
        Ok(Self { traffic, admin })
    }
}

impl Bound {
    /// The parts.
    pub const fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The addresses of the traffic listeners.
    pub fn traffic_addresses(&self) -> Vec<SocketAddr> {
        let first = |sockets: &Vec<TcpListener>| {
            sockets.first().and_then(|socket| socket.local_addr().ok())
        };
        self.sockets.traffic.iter().filter_map(first).collect()
    }

    /// The addresses of the admin listener.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.sockets.admin.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves until `leave` ends, then drains. Blocks; the workers are threads of their own.
    pub fn run(self, leave: impl Future<Output = ()>) -> Result<Drained, StartError> {
        let Self { app, sockets: Sockets { traffic, admin } } = self;
        let mut workers = Vec::new();
        for number in 0..app.config.workers {
            let mut sockets = Vec::new();
            for (index, listener) in traffic.iter().enumerate() {
                if let Some(socket) = listener.get(number) {
                    sockets.push((index, socket.try_clone()?));
                }
            }
            workers.push(start_worker(Arc::clone(&app), number, sockets)?);
        }
        drop(traffic);
        let control = runtime()?;
        let drained = control.block_on(async {
            for socket in admin {
                let listener = tokio::net::TcpListener::from_std(socket)?;
                tokio::spawn(admin::accept(Arc::clone(&app), listener));
            }
            tokio::spawn(Arc::clone(&app).keep_house());
            tokio::spawn(keep_bounds(Arc::clone(&app)));
            tokio::spawn(keep_time(Arc::clone(&app.purge_log)));
            if let Some(orders) = app.purge_log.take_orders() {
                tokio::spawn(rewarmer(&app).run(orders));
            }
            leave.await;
            Ok::<_, StartError>(drain(&app).await)
        })?;
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        control.shutdown_background();
        app.store.close();
        Ok(drained)
    }
}

/// Cuts the slowest clients while too much that left the store is held for them: forever.
async fn keep_bounds(app: Arc<App>) {
    loop {
        sleep(PINNED_TICK).await;
        let most = app.settings.current().pinned_bytes_max;
        let pinned = app.store.pinned_bytes();
        if pinned > most {
            let cut = app.listeners.stalls.cut_slowest((pinned - most, pinned), app.clock.now());
            app.listeners.metrics.cut_slowest.add(cut as u64);
            if cut > 0 {
                tracing::warn!(
                    pinned,
                    most,
                    cut,
                    "too much is held for slow clients: the slowest are cut"
                );
            }
        }
    }
}

/// Notices what time brings to the purge log: forever.
async fn keep_time(log: Arc<PurgeLog>) {
    loop {
        sleep(PURGE_LOG_TICK).await;
        log.tick();
    }
}

fn rewarmer(app: &App) -> Arc<Rewarmer> {
    let log = &app.config.purge.log;
    let rules = RewarmRules {
        concurrency: log.rewarm_concurrency,
        queue: log.rewarm_queue,
        jitter: log.rewarm_jitter,
    };
    let metrics = Arc::clone(app.purge_log.rewarming());
    let settings = Arc::clone(&app.settings);
    Rewarmer::new(Arc::clone(app.front.cache.fetcher()), settings, metrics, rules)
}

/// Hands the settings of the purge log on to what is not asked about requests.
fn govern(invalidation: &Invalidation, config: &Config) {
    invalidation.govern(on_expiry(&config.purge.log), config.purge.log.max_revisions);
}

fn on_expiry(rules: &settings::PurgeLog) -> OnExpiry {
    match rules.on_expiry {
        settings::OnExpiry::Serve => OnExpiry::Serve,
        settings::OnExpiry::Cap => OnExpiry::Cap(rules.cap),
        settings::OnExpiry::Validate => OnExpiry::Validate,
        settings::OnExpiry::Bypass => OnExpiry::Bypass,
    }
}

/// Announces the end, closes the listeners, waits for those in flight, up to the deadline.
async fn drain(app: &App) -> Drained {
    app.is_leaving.store(true, Ordering::Release);
    let settings = app.settings.current();
    let limits = &settings.limits;
    tracing::info!(delay = ?limits.drain_delay, "leaving");
    sleep(limits.drain_delay).await;
    let drain = &app.listeners.drain;
    drain.begin();
    match timeout(limits.drain_timeout, drain.finished()).await {
        Ok(()) => Drained::Completely,
        Err(_elapsed) => match drain.give_up() {
            0 => Drained::Completely,
            remaining => Drained::Cut(remaining),
        },
    }
}

fn start_worker(
    app: Arc<App>,
    number: usize,
    sockets: Vec<(usize, TcpListener)>,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime()?;
    let serve = move || {
        runtime.block_on(async {
            for (index, socket) in sockets {
                match tokio::net::TcpListener::from_std(socket) {
                    Ok(listener) => {
                        drop(tokio::spawn(Arc::clone(&app.listeners).accept(listener, index)));
                    }
                    Err(error) => tracing::error!(%error, "a worker cannot use its socket"),
                }
            }
            app.listeners.drain.begun().await;
            app.listeners.drain.ended().await;
        });
        runtime.shutdown_background();
    };
    Ok(thread::Builder::new().name(format!("worker-{number}")).spawn(serve)?)
}

/// One thread, timers and sockets; blocking work gets threads of its own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()
}

fn fetch_limits(config: &Config) -> FetchLimits {
    FetchLimits {
        object_bytes_max: config.storage.object_bytes_max(),
        inflight_bytes_max: config.cache.max_inflight_bytes,
        misses_max: config.limits.max_inflight_misses,
    }
}

/// The store that is configured, and what belongs to it.
struct Storage {
    store: Arc<dyn Store>,
    invalidation: Arc<Invalidation>,
    seed: KeySeed,
    journal: Journal,
}

impl Storage {
    fn open(config: &Config, clock: &Clock) -> Result<Self, OpenError> {
        let tiering = match config.storage.kind {
            StorageKind::Memory => return Ok(Self::in_memory(config, clock)),
            StorageKind::File => Tiering::File,
            StorageKind::Tiered => Tiering::Tiered,
        };
        let file = &config.storage.file;
        let (entries_max, capacity) = tiering.share(config.storage.memory.capacity, file.capacity);
        let limits = FileLimits {
            path: file.path.clone(),
            capacity: file.capacity,
            object_bytes_max: file.max_object,
            persists: file.persist,
            sync: file.sync,
            wait: file.wait,
            entries_max,
        };
        let memory = MemoryLimits { capacity, ..memory_limits(config) };
        let opened = TieredStore::open(&limits, memory, tiering, clock)?;
        let OpenedStore { store, invalidation, seed, journal } = opened;
        Ok(Self { store, invalidation, seed, journal })
    }

    fn in_memory(config: &Config, clock: &Clock) -> Self {
        Self {
            store: Arc::new(MemoryStore::new(memory_limits(config), clock.clone())),
            invalidation: Arc::new(Invalidation::new(random())),
            seed: KeySeed(random()),
            journal: Journal::default(),
        }
    }
}

const fn memory_limits(config: &Config) -> MemoryLimits {
    MemoryLimits {
        capacity: config.storage.memory.capacity,
        object_bytes_max: config.storage.memory.max_object,
        variants_max: config.cache.vary_max_variants,
    }
}

/// Returns a number that nobody can guess: the standard library's hash keys come from the system.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}

const ADMIN_BACKLOG: u32 = 128;
/// What slow clients hold is looked at this often: it may exceed its bound for so long.
const PINNED_TICK: Duration = Duration::from_millis(100);
/// State changes are noticed, and logged, this much late; how responses are used changes at once.
const PURGE_LOG_TICK: Duration = Duration::from_millis(250);
/// How long the process that takes over waits for unsafe requests that this one has at the origin.
const CHANGES_PATIENCE: Duration = Duration::from_secs(10);
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// A sweep over all that is stored takes at most this part of one core.
const SWEEP_SHARE: u32 = 50;
/// Blocking work is sweeping and large purges: each worker needs a few threads at most.
const BLOCKING_THREADS_MAX: usize = 8;
