//! Deploys: the mark of a change, what it concerns, and the end of its grace.

use std::sync::Arc;
use std::time::Duration;

use purge_protocol::{Deployment, PurgeMode};
use serde::Serialize;

use super::PurgeExecutor;
use crate::invalidation::{DeployMark, Deployments, Gone, Mark, PurgeMark, PurgeTimes, TagTable};
use crate::store::Removal;
use crate::store::journal::JournalEntry;
use process::clock::Clock;
use process::timestamp::Timestamp;

/// The time at which changes of deployment arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeployTime {
    now: Timestamp,
    /// Not before any that is known, even if the clock was set back since.
    latest: Timestamp,
    /// Milliseconds by which the wall clock is ahead of `now`.
    correction: i64,
}

/// The present deployments, and those that stored responses name.
#[derive(Debug, Serialize)]
pub struct DeployReport {
    present: Vec<PresentDeploy>,
    stored: Vec<StoredDeployment>,
}

#[derive(Debug, Serialize)]
struct PresentDeploy {
    id: String,
    /// Absent: of every host that has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Milliseconds since 1970.
    at_ms: u64,
    /// Seconds until responses of others are not used any more.
    grace_left: u64,
}

#[derive(Debug, Serialize)]
struct StoredDeployment {
    id: String,
    responses: u64,
}

impl DeployTime {
    pub(super) fn new(clock: &Clock, deployments: &Deployments) -> Self {
        let now = clock.now();
        Self { now, latest: now.max(deployments.latest()), correction: clock.correction() }
    }

    pub(super) fn mark(self, deployment: &Deployment, ids: &TagTable) -> DeployMark {
        let name = deployment.id.as_str();
        let host = |host: &String| (ids.host(host.as_bytes()), Arc::from(&**host));
        // A clock that is ahead must not keep later changes out.
        let at = deployment.at_ms.map_or(self.latest, |at| {
            Timestamp::from_millis(at).moved(-self.correction).min(self.now)
        });
        let until = at.plus(deployment.grace);
        DeployMark {
            host: deployment.host.as_ref().map(host),
            deployment: ids.deployment(name.as_bytes()),
            name: name.into(),
            at,
            stale_since: at,
            until,
            is_over: until <= self.now,
            gone: Gone::default(),
        }
    }
}

impl DeployReport {
    /// Reads it from a proxy's state.
    pub fn of(executor: &PurgeExecutor) -> Self {
        let deployments = executor.invalidation.deployments();
        let (now, correction) = (executor.clock.now(), executor.clock.correction());
        let present = |it: DeployMark| PresentDeploy {
            id: it.name.to_string(),
            host: it.host.map(|(_, host)| host.to_string()),
            at_ms: it.at.moved(correction).as_millis(),
            grace_left: if it.is_over { 0 } else { it.until.since(now).as_secs() },
        };
        let stored = |(id, tag): (Arc<str>, _)| StoredDeployment {
            id: id.to_string(),
            responses: executor.live(&[tag]),
        };
        let known = deployments.known(|id| executor.live(&[id]) > 0);
        Self {
            present: deployments.current().into_iter().map(present).collect(),
            stored: known.into_iter().map(stored).collect(),
        }
    }
}

/// Returns how many responses in memory name another deployment. Those that stay in the file from
/// an earlier process are not known by name.
pub(super) fn of_others(executor: &PurgeExecutor, deploy: &DeployMark) -> u64 {
    let known = executor.invalidation.deployments().known(|id| executor.live(&[id]) > 0);
    let others = known.iter().filter(|(_, id)| *id != deploy.deployment);
    let count = |id| match &deploy.host {
        None => executor.live(&[id]),
        Some((host, _)) => {
            let holders = executor.search().holders(id);
            holders.iter().filter(|stored| stored.provenance.carries(*host)).count() as u64
        }
    };
    others.map(|(_, id)| count(*id)).sum()
}

/// Returns the present deployment that a change has not replaced, because it is the later one.
pub(super) fn superseding(executor: &PurgeExecutor, deploy: &DeployMark) -> Option<Arc<str>> {
    let current = executor.invalidation.deployments().current();
    let is_later = |it: &&DeployMark| {
        (it.host == deploy.host || it.host.is_none()) && it.deployment != deploy.deployment
    };
    current.iter().filter(is_later).find(|it| it.at > deploy.at).map(|it| Arc::clone(&it.name))
}

/// Ends the grace of deploys whose time has come: what other deployments made is not used any more,
/// and leaves memory in the background.
pub fn end_graces(executor: &Arc<PurgeExecutor>) {
    let now = executor.clock.now();
    for deploy in executor.invalidation.deployments().due(now) {
        let mark = Mark::Deploy(&deploy);
        let marks = std::slice::from_ref(&mark);
        let sequence = executor.invalidation.mark(marks, PurgeMode::Hard, now);
        let past = PurgeTimes::of(PurgeMode::Hard, sequence, now);
        let marks = vec![PurgeMark::of(&mark)];
        executor.journal.append(JournalEntry::Purge { marks, past });
        tracing::info!(
            deployment = &*deploy.name,
            "the grace is over: responses of other deployments are not used any more"
        );
        let executor = Arc::clone(executor);
        drop(tokio::task::spawn_blocking(move || empty(&executor, &deploy)));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "runs on a blocking thread, and is to leave the cores to requests"
)]
fn empty(executor: &PurgeExecutor, deploy: &DeployMark) {
    let known = executor.invalidation.deployments().known(|id| executor.live(&[id]) > 0);
    for (_, id) in known.into_iter().filter(|(_, id)| *id != deploy.deployment) {
        for (number, stored) in executor.search().holders(id).iter().enumerate() {
            if !executor.invalidation.may_keep(&stored.provenance, &stored.key) {
                executor.store.remove(stored, Removal::Purged);
            }
            if number.is_multiple_of(BATCH) {
                std::thread::sleep(BATCH_PAUSE);
            }
        }
    }
}

/// Responses that are removed between two pauses.
const BATCH: usize = 500;
const BATCH_PAUSE: Duration = Duration::from_millis(1);
