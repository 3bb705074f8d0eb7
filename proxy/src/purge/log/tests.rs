//! Recovered responses wait for the purges that they missed, up to a deadline.

use purge_protocol::log::Start;

use super::*;
use crate::invalidation::Verdict;
use crate::key::KeySeed;
use crate::store::Stored;
use crate::store::contract::{Bench, Engine, EngineLimits, Page, SMALL};
use crate::store::journal::{JournalBackend, Recovered, Settled};
use crate::store::memory::{MemoryLimits, MemoryStore};

/// A store that was recovered with positions in two partitions, and the purge log of its proxy.
struct RecoveredLog {
    bench: Bench,
    clock: Clock,
    log: Arc<PurgeLog>,
    journal: Journal,
    old: Arc<Stored>,
}

impl RecoveredLog {
    fn new() -> Self {
        Self::with(Journal::default())
    }

    fn with(journal: Journal) -> Self {
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
        let old = bench.put(Page { tags: &["t"], ..Page::at("/old") }, b"content");
        let invalidation = Arc::clone(&bench.invalidation);
        let executor = PurgeExecutor::new(
            store,
            Arc::clone(&invalidation),
            Journal::default(),
            KeySeed(1),
            clock.clone(),
        );
        let position =
            |partition| Position { log: of(partition), next: 10, last: None, clean_ms: None };
        let recovered = (journal.clone(), vec![position(0), position(1)]);
        let log = PurgeLog::new(
            executor,
            invalidation,
            recovered,
            clock.clone(),
            LiveSettings::with_defaults(),
        );
        Self { bench, clock, log, journal, old }
    }

    async fn deliver(&self, batch: Batch) {
        let checked = CheckedBatch { batch, purges: Vec::new() };
        self.log.apply(checked, self.clock.now()).await.unwrap();
    }

    fn verdict(&self, stored: &Stored) -> Verdict {
        self.bench.invalidation.verdict(&stored.provenance, &stored.key)
    }

    fn put(&self, path: &str) -> Arc<Stored> {
        self.bench.put(Page::at(path), b"content")
    }
}

fn of(partition: i32) -> LogId {
    LogId { cluster: "c".into(), topic: "t".into(), partition }
}

fn batch(partition: i32, to: i64, clean_ms: Option<u64>) -> Batch {
    Batch {
        log: of(partition),
        partitions: 2,
        from: 10,
        to,
        last: None,
        clean_ms,
        start: None,
        instance: None,
        clean_at: None,
        end: None,
        purger: "p".into(),
        purges: Vec::new(),
    }
}

#[tokio::test]
async fn recovered_responses_are_unproven_until_every_partition_has_caught_up() {
    let recovered = RecoveredLog::new();
    let log = &recovered.log;
    let new = recovered.put("/new");
    assert_eq!(recovered.verdict(&recovered.old), Verdict::Unproven);
    assert_eq!(recovered.verdict(&new), Verdict::Valid, "it was fetched after the start");
    assert_eq!(log.log_status().state, LogState::CatchingUp);
    assert!(log.unready().unwrap().starts_with("catching up"));

    recovered.clock.advance(Duration::from_secs(3));
    recovered.deliver(batch(0, 20, Some(0))).await;
    recovered.deliver(batch(1, 15, None)).await;
    assert_eq!(recovered.verdict(&recovered.old), Verdict::Unproven);
    assert!(log.figures().is_catching_up);
    recovered.deliver(batch(1, 20, Some(1000))).await;

    assert_eq!(recovered.verdict(&recovered.old), Verdict::Valid);
    assert_eq!(log.log_status().state, LogState::Current);
    assert!(log.unready().is_none() && !log.figures().is_catching_up);
}

#[tokio::test]
async fn after_a_hand_over_it_neither_ends_a_catch_up_nor_abandons_it() {
    let recovered = RecoveredLog::new();
    recovered.journal.hand_over();
    for partition in 0..2 {
        let checked = CheckedBatch { batch: batch(partition, 20, Some(0)), purges: Vec::new() };
        let applied = recovered.log.apply(checked, recovered.clock.now()).await;
        assert!(applied.is_err(), "the one that serves now is to get it");
    }
    recovered.log.tick();
    assert!(recovered.bench.invalidation.is_catching_up());
    recovered.clock.advance(Duration::from_mins(10));
    recovered.log.tick();
    assert!(recovered.bench.invalidation.is_catching_up());
}

#[tokio::test]
async fn after_the_deadline_responses_stay_unproven_and_the_proxy_is_ready() {
    let recovered = RecoveredLog::new();
    let new = recovered.put("/new");
    recovered.clock.advance(Duration::from_mins(10));
    recovered.log.tick();

    assert!(recovered.log.unready().is_none());
    assert_eq!(recovered.log.log_status().state, LogState::Degraded);
    for partition in 0..2 {
        recovered.deliver(batch(partition, 20, Some(0))).await;
    }
    assert_eq!(recovered.log.log_status().state, LogState::Current);
    assert_eq!(recovered.verdict(&recovered.old), Verdict::Unproven);
    assert_eq!(recovered.verdict(&new), Verdict::Valid, "it was fetched after the start");
}

#[tokio::test]
async fn a_gap_while_catching_up_outlasts_the_catch_up() {
    let recovered = RecoveredLog::new();
    recovered.deliver(batch(0, 20, Some(0))).await;
    let gap = Batch { start: Some(Start::Expired), from: 90, ..batch(1, 90, Some(0)) };
    recovered.deliver(gap).await;

    assert_eq!(recovered.log.log_status().state, LogState::Current);
    assert!(!recovered.log.figures().is_catching_up);
    assert_eq!(recovered.verdict(&recovered.old), Verdict::Unproven);
    assert_eq!(recovered.verdict(&recovered.put("/new")), Verdict::Valid);
}

/// A journal whose device has failed.
#[derive(Debug)]
struct Broken;

impl JournalBackend for Broken {
    fn append(&self, _entry: JournalEntry) {}

    fn settled(&self) -> Settled<'_> {
        Box::pin(async { Err(JournalError::Device("input/output error".to_owned())) })
    }

    fn positions(&self) -> Vec<Position> {
        Vec::new()
    }

    fn recovered(&self) -> Option<Recovered> {
        None
    }
}

/// Else a purger would send this batch for ever, and never come to those behind it.
#[tokio::test]
async fn batches_are_acknowledged_without_a_device_and_not_to_another_process() {
    let recovered = RecoveredLog::with(Journal::kept_by(Arc::new(Broken)));
    for to in [11, 12] {
        recovered.deliver(batch(0, to, None)).await;
    }
    recovered.journal.hand_over();
    let checked = CheckedBatch { batch: batch(0, 13, None), purges: Vec::new() };
    let refused = recovered.log.apply(checked, recovered.clock.now()).await;
    assert!(matches!(refused, Err(Rejected::Journal(JournalError::HandedOver))));
}

/// A topic that was renamed while the proxy ran keeps it degraded: its lease is not renewed.
#[tokio::test]
async fn a_topic_is_forgotten_by_order_once_no_purger_speaks_of_it() {
    let recovered = RecoveredLog::new();
    let log = &recovered.log;
    for partition in 0..2 {
        recovered.deliver(batch(partition, 20, Some(0))).await;
    }
    let topic = batch(0, 20, None).log.topic;
    assert!(matches!(log.forget_topic(&topic).await, Err(NotForgotten::Attended(_))));
    assert_eq!(log.forget_topic("another").await.unwrap(), 0);

    recovered.clock.advance(Duration::from_mins(10));
    let renamed = LogId { topic: "renamed".into(), ..batch(0, 20, None).log };
    let other = Batch { log: renamed.clone(), partitions: 1, ..batch(0, 20, Some(0)) };
    recovered.deliver(Batch { start: Some(Start::Adopt), from: 20, ..other }).await;
    assert_eq!(log.log_status().state, LogState::Degraded, "the old topic is not attended");

    assert_eq!(log.forget_topic(&topic).await.unwrap(), 2);
    assert_eq!(log.log_status().state, LogState::Current);
    let kept: Vec<LogId> = log.log_status().positions.into_iter().map(|it| it.log).collect();
    assert_eq!(kept, [renamed]);
}
