//! `Fleet`: all proxies, and a delivery for each of them and each assigned partition.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use purge_protocol::log::LogId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Delivery;
use super::context::DeliveryContext;
use super::discovery::Discovered;
use super::target::{Target, TargetOptions};
use crate::kafka::assignment::Assignment;
use crate::memory::Memory;
use crate::partition::Partition;
use crate::partition::commit_tracker::TargetId;

#[derive(Debug)]
pub struct Fleet {
    context: Arc<DeliveryContext>,
    assignment: Arc<Assignment>,
    targets: Mutex<Vec<Arc<Target>>>,
    deliveries: TaskTracker,
}

impl Fleet {
    /// Makes a fleet without proxies.
    pub fn new(context: Arc<DeliveryContext>, assignment: Arc<Assignment>) -> Arc<Self> {
        let targets = Mutex::default();
        Arc::new(Self { context, assignment, targets, deliveries: TaskTracker::new() })
    }

    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.targets.lock().clone()
    }

    /// Returns how long a proxy has not answered; `None`: it answers, or is not known.
    pub fn silence(&self, url: &str) -> Option<Duration> {
        self.targets.lock().iter().find(|target| target.url == url)?.failing_for()
    }

    pub const fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    pub const fn context(&self) -> &Arc<DeliveryContext> {
        &self.context
    }

    /// Starts a delivery for each proxy and partition as they appear; ends with all deliveries when
    /// `stop` is cancelled.
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
            self.start_deliveries(&mut running);
            tokio::select! {
                () = stop.cancelled() => break,
                changed = found.changed() => if changed.is_err() { stop.cancelled().await },
                changed = partitions.changed() => if changed.is_err() { break },
            }
        }
        self.targets().iter().for_each(|target| target.gone.cancel());
        self.deliveries.close();
        self.deliveries.wait().await;
    }

    async fn reconcile(&self, proxies: &[Discovered], ids: &mut TargetId) {
        let rules = &self.context.rules;
        let options = TargetOptions {
            http: rules.targets.http,
            token: rules.targets.token.clone(),
            timeout: rules.timeout,
        };
        let mut targets = self.targets();
        targets.retain(|target| {
            let stays = proxies.iter().any(|proxy| proxy.url == target.url);
            if !stays {
                tracing::info!(proxy = target.url, "a proxy has left the fleet");
                target.gone.cancel();
            }
            stays
        });
        for Discovered { url, is_present } in proxies {
            let known = targets.iter().find(|target| target.url == *url).map(Arc::clone);
            let target = known.unwrap_or_else(|| {
                *ids += 1;
                tracing::info!(proxy = url, "a proxy has joined the fleet");
                let target = Arc::new(Target::new(*ids, url.clone(), &options));
                targets.push(Arc::clone(&target));
                target
            });
            target.set_present(*is_present);
        }
        let names = targets.iter().map(|target| (target.id, target.url.clone())).collect();
        *self.targets.lock() = targets;
        if let Some(receipts) = &self.context.receipts {
            receipts.know(names).await;
        }
    }

    fn start_deliveries(&self, running: &mut HashMap<(TargetId, LogId), Arc<Partition>>) {
        let (targets, partitions) = (self.targets(), self.assignment.partitions());
        let memory = Memory::new(self.context.rules.memory);
        for partition in &partitions {
            partition.set_batch(memory.of_batch(targets.len()));
        }
        for target in &targets {
            target.set_room(memory.of_target(targets.len()));
        }
        running.retain(|(id, _), partition| {
            !partition.closing.is_cancelled() && targets.iter().any(|target| target.id == *id)
        });
        let mut deliveries = Vec::new();
        for target in &targets {
            for partition in &partitions {
                let key = (target.id, partition.log.clone());
                let is_running =
                    running.get(&key).is_some_and(|running| Arc::ptr_eq(running, partition));
                if !is_running {
                    running.insert(key, Arc::clone(partition));
                    partition.expect(target.id);
                    deliveries.push(Delivery::new(
                        Arc::clone(&self.context),
                        Arc::clone(target),
                        Arc::clone(partition),
                    ));
                }
            }
        }
        // Only once all are expected: no commit may happen before the last proxy has reported its
        // position.
        for delivery in deliveries {
            drop(self.deliveries.spawn(delivery.run()));
        }
    }
}
