//! `Proxy`: the whole proxy, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use process::clock::Clock;
use purge_protocol::{PurgeMode, PurgeReport, PurgeRequest, Selector, SelectorReport};
use settings::{Coding, Config, Sources};
use shellac::app::App;
use shellac::server::{Bound, Drained};
use shellac::testing::freshness::Uncacheable;
use shellac::testing::purge::metrics::Source;
use shellac::testing::store::Removal;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Outcome;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    app: Arc<App>,
    traffic: SocketAddr,
    admin: SocketAddr,
    /// Stored responses that hard purges matched, as they were answered.
    reported: AtomicU64,
    leave: oneshot::Sender<()>,
    thread: JoinHandle<Drained>,
    _folder: TempDir,
}

impl Proxy {
    pub(crate) fn start(
        origin: SocketAddr,
        capacity: &str,
        storage: &str,
        compression: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().display();
        let file = format!(
            "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
             [origin.versions]\nservers = [\"{origin}\"]\n\
             [key]\ndeployment = {{ header = \"X-Deployment-Id\" }}\n[storage]\nkind = \"{storage}\"\n\
             [storage.memory]\ncapacity = \"{capacity}\"\nmax_object = \"64KiB\"\n\
             [compression]\nmode = \"{compression}\"\nmin_bytes = \"1B\"\n\
             [storage.file]\npath = \"{path}\"\ncapacity = \"64MiB\"\nmax_object = \"64KiB\"\n"
        );
        let sources = Sources { file: Some(("race.toml".to_owned(), file)), ..Sources::default() };
        let config = Config::load(&sources).expect("the configuration is sound");
        let bound = Bound::bind(App::new(config, Clock::system()).expect("a store"))
            .expect("there are free ports");
        let app = Arc::clone(bound.app());
        let (traffic, admin) = (bound.sockets().tcp()[0], bound.sockets().tcp_admin()[0]);
        let (leave, left) = oneshot::channel::<()>();
        let run = move || {
            let leaving = async { drop(left.await) };
            bound.run(leaving).expect("it serves")
        };
        let (reported, thread) = (AtomicU64::new(0), thread::spawn(run));
        Self { app, traffic, admin, reported, leave, thread, _folder: folder }
    }

    /// The address of its listener.
    pub(crate) const fn traffic(&self) -> SocketAddr {
        self.traffic
    }

    /// The address of its admin listener.
    pub(crate) const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Purges without a connection in between.
    pub(crate) async fn purge(&self, request: &PurgeRequest) -> PurgeReport {
        let selectors = request.selectors(1).expect("the selector is sound");
        let mode = request.mode.unwrap_or_default();
        let report = self
            .app
            .front
            .purge_endpoint
            .executor()
            .apply(None, selectors, mode, Source::Admin)
            .await;
        let report = report.expect("it is durable");
        self.note(&report);
        report
    }

    /// Adds a purge to the accounts. Softly purged responses stay and may be counted again: only
    /// hard purges must add up.
    pub(crate) fn note(&self, report: &PurgeReport) {
        // What a deploy concerns is counted, and stays until it is asked for.
        let is_deploy = |it: &SelectorReport| matches!(it.selector, Selector::Deploy(_));
        if report.mode == PurgeMode::Hard && !report.selectors.iter().any(is_deploy) {
            self.reported.fetch_add(report.matched.objects, Ordering::Relaxed);
        }
    }

    /// Waits until nothing is in flight. Then the counts must add up, and a second purge finds
    /// nothing.
    pub(crate) async fn settle_accounts(&self) -> Outcome {
        let fetcher = self.app.front.cache.fetcher();
        let idle = async {
            while fetcher.in_flight() != (0, 0, 0) || fetcher.encodings().running() > 0 {
                yield_now().await;
            }
        };
        timeout(PATIENCE, idle).await.expect("every fetch ends");

        let everything = PurgeRequest { all: true, ..PurgeRequest::default() };
        let stored = self.app.store.usage().objects;
        assert_eq!(self.purge(&everything).await.matched.objects, stored);
        assert_eq!(self.purge(&everything).await.matched.objects, 0, "nothing is purged twice");

        let (usage, removals) = (self.app.store.usage(), self.app.store.usage().removals);
        assert_eq!(usage.objects, 0);
        assert_eq!(usage.inserts, removals.iter().sum::<u64>(), "what came has left, once");
        let (reported, purged) =
            (self.reported.load(Ordering::Relaxed), removals[Removal::Purged as usize]);
        // What a purge has hit may be evicted or replaced in the moment before the purge itself
        // takes it out.
        let taken = [Removal::Size, Removal::Replaced].map(|reason| removals[reason as usize]);
        let gone = purged + taken.iter().sum::<u64>();
        assert!(reported <= gone, "{reported} reported, {purged} purged, {taken:?} taken");
        let mut not_stored = fetcher.metrics().not_stored();
        let overtaken = not_stored.find(|(reason, _)| *reason == Uncacheable::PurgedInFlight);
        Outcome {
            reported,
            overtaken: overtaken.map_or(0, |(_, count)| count),
            followed: fetcher.metrics().collapsed.value(),
            recalled: self.app.file_usage().map_or(0, |usage| usage.loads[0]),
            evicted: removals[Removal::Size as usize],
            refreshed: fetcher.metrics().background.value(),
            validated: fetcher.metrics().validated.value(),
            compressed: fetcher.encodings().metrics.of(Coding::Br).responses.value(),
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Drained {
        drop(self.leave);
        self.thread.join().expect("it ended in order")
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
