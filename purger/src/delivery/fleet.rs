//! `Fleet`: all proxies, and a route for each of them and each assigned partition.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use process::clock::Clock;
use purge_protocol::log::LogId;
use rdkafka::message::{Message as _, OwnedMessage};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::discovery::Discovered;
use super::route::Route;
use super::target::{Manner, Target};
use crate::backoff::Backoff;
use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::intake::Intake;
use crate::kafka::assignment::Assignment;
use crate::kafka::client::PATIENCE;
use crate::kafka::context::GroupConsumer;
use crate::kafka::cursor::{CursorError, Cursors, Found};
use crate::memory::Memory;
use crate::metrics::PurgerMetrics;
use crate::partition::Partition;
use crate::partition::ledger::TargetId;
use crate::partition::owed::{Kind, Work};
use crate::receipt::Receipts;

/// What all routes share.
#[derive(Debug)]
pub struct Common {
    /// This purger's name, for proxies' logs.
    pub name: String,
    /// The operator's rules.
    pub rules: settings::Purger,
    /// For proxies that catch up.
    pub cursors: Arc<Cursors>,
    /// Cursors open at once.
    pub cursor_permits: Arc<Semaphore>,
    /// Where logs begin and end.
    pub brokers: GroupConsumer,
    /// Reads records.
    pub intake: Intake,
    /// For purges that a proxy refuses.
    pub dead_letters: DeadLetters,
    /// Records that proxies refuse, and whose dead letters are being written.
    pub refusals: Arc<Semaphore>,
    /// Those of them that are being read.
    pub refused_readers: Arc<Semaphore>,
    /// Receipts, if they are written.
    pub receipts: Option<Receipts>,
    /// What happened.
    pub metrics: Arc<PurgerMetrics>,
    /// Wall time, for ages of events.
    pub clock: Clock,
}

/// All proxies.
#[derive(Debug)]
pub struct Fleet {
    common: Arc<Common>,
    assignment: Arc<Assignment>,
    targets: Mutex<Vec<Arc<Target>>>,
    routes: TaskTracker,
}

impl Common {
    /// Wall time.
    pub fn wall_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.wall().as_millis())
    }

    /// Has the record at this offset written to the dead letters, because a proxy refuses it; its offset is not committed
    /// before. While [`REFUSALS_MAX`] such records are being written, others are in the log only: delivery does not wait.
    pub fn give_up(&self, partition: &Arc<Partition>, offset: i64, proxy: &str, why: &str) {
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else {
            tracing::error!(
                proxy,
                offset,
                why,
                "too many refused purges wait for their dead letters"
            );
            return;
        };
        partition.hold(offset, Work { kind: Kind::DeadLetter, count: 1, bytes: 0 });
        let (cursors, letters) = (Arc::clone(&self.cursors), self.dead_letters.clone());
        let (readers, now) = (Arc::clone(&self.refused_readers), self.clock.wall());
        let backoff_max = self.rules.backoff_max;
        let (proxy, detail) = (proxy.to_owned(), format!("{proxy} refuses it: {why}"));
        let partition = Arc::clone(partition);
        drop(tokio::spawn(async move {
            let Ok(reader) = readers.acquire_owned().await else { return };
            let log = partition.log.clone();
            let mut backoff = Backoff::new(backoff_max);
            let record = loop {
                let (cursors, log) = (Arc::clone(&cursors), log.clone());
                let read =
                    tokio::task::spawn_blocking(move || read_refused(&cursors, &log, offset));
                match read.await {
                    Ok(Ok(record)) => break record,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, offset, "cannot read a record again yet");
                    }
                    Err(error) => tracing::error!(%error, offset, "cannot read a record again"),
                }
                tokio::select! {
                    () = partition.revoked.cancelled() => return, // another purger owes it
                    () = tokio::time::sleep(backoff.wait()) => {}
                }
            };
            drop(reader);
            if let Some(record) = record {
                let letter = DeadLetter::of(&*record, "refused", &detail, now);
                letters.write(&letter).await;
            } else {
                tracing::error!(
                    proxy,
                    offset,
                    detail,
                    "a purge is refused, and its record is gone"
                );
            }
            partition.fulfil(offset, Kind::DeadLetter);
            drop(permit);
        }));
    }
}

/// Reads a record once more. Blocks up to [`PATIENCE`]. `None`: the record is gone.
fn read_refused(
    cursors: &Cursors,
    log: &LogId,
    offset: i64,
) -> Result<Option<Box<OwnedMessage>>, CursorError> {
    match cursors.open(log, offset).and_then(|cursor| cursor.next(PATIENCE)) {
        Ok(Found::Record(record)) => Ok(Some(record).filter(|record| record.offset() == offset)),
        Ok(Found::End) | Err(CursorError::OutOfRange(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Fleet {
    /// Makes a fleet without proxies.
    pub fn new(common: Arc<Common>, assignment: Arc<Assignment>) -> Arc<Self> {
        let targets = Mutex::default();
        Arc::new(Self { common, assignment, targets, routes: TaskTracker::new() })
    }

    /// All proxies.
    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.targets.lock().clone()
    }

    /// The partitions it carries.
    pub const fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// What its routes share.
    pub const fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// Starts a route for each proxy and partition, as they come; ends when it is told to, with all routes.
    pub async fn run(
        self: Arc<Self>,
        mut found: watch::Receiver<Vec<Discovered>>,
        stop: CancellationToken,
    ) {
        let mut partitions = self.assignment.changes();
        let mut running: HashMap<(TargetId, LogId), Arc<Partition>> = HashMap::new();
        let mut ids = 0;
        loop {
            let proxies = found.borrow_and_update().clone();
            self.reconcile(&proxies, &mut ids).await;
            self.start_routes(&mut running);
            tokio::select! {
                () = stop.cancelled() => break,
                changed = found.changed() => if changed.is_err() { stop.cancelled().await },
                changed = partitions.changed() => if changed.is_err() { break },
            }
        }
        self.targets().iter().for_each(|target| target.gone.cancel());
        self.routes.close();
        self.routes.wait().await;
    }

    /// Makes new proxies, forgets those that are gone.
    async fn reconcile(&self, proxies: &[Discovered], ids: &mut TargetId) {
        let rules = &self.common.rules;
        let manner = Manner {
            http: rules.targets.http,
            token: rules.targets.token.clone(),
            timeout: rules.timeout,
        };
        let mut targets = self.targets();
        targets.retain(|target| {
            let stays = proxies.iter().any(|proxy| proxy.url == target.url);
            if !stays {
                tracing::info!(proxy = target.url, "a proxy is gone");
                target.gone.cancel();
            }
            stays
        });
        for Discovered { url, is_present } in proxies {
            let known = targets.iter().find(|target| target.url == *url).map(Arc::clone);
            let target = known.unwrap_or_else(|| {
                *ids += 1;
                tracing::info!(proxy = url, "a proxy");
                let target = Arc::new(Target::new(*ids, url.clone(), &manner));
                targets.push(Arc::clone(&target));
                target
            });
            target.set_present(*is_present);
        }
        let names = targets.iter().map(|target| (target.id, target.url.clone())).collect();
        *self.targets.lock() = targets;
        if let Some(receipts) = &self.common.receipts {
            receipts.know(names).await;
        }
    }

    fn start_routes(&self, running: &mut HashMap<(TargetId, LogId), Arc<Partition>>) {
        let (targets, partitions) = (self.targets(), self.assignment.partitions());
        let batch = Memory::new(self.common.rules.memory).of_batch(targets.len());
        for partition in &partitions {
            partition.set_batch(batch);
        }
        running.retain(|(id, _), partition| {
            !partition.closing.is_cancelled() && targets.iter().any(|target| target.id == *id)
        });
        let mut routes = Vec::new();
        for target in &targets {
            for partition in &partitions {
                let key = (target.id, partition.log.clone());
                let is_running =
                    running.get(&key).is_some_and(|running| Arc::ptr_eq(running, partition));
                if !is_running {
                    running.insert(key, Arc::clone(partition));
                    partition.expect(target.id);
                    routes.push(Route::new(
                        Arc::clone(&self.common),
                        Arc::clone(target),
                        Arc::clone(partition),
                    ));
                }
            }
        }
        // Not before all are expected: what the first one confirms must not be committed before the last has said where it is.
        for route in routes {
            drop(self.routes.spawn(route.run()));
        }
    }
}

/// Records that proxies refuse and whose dead letters are not written yet: beyond it the refusing proxy's deliveries wait.
pub const REFUSALS_MAX: usize = 100;
/// Those that are read from Kafka at once.
pub const REFUSED_READERS_MAX: usize = 2;
