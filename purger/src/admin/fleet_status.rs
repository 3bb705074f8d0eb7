//! `/api/v1/fleet`: the purger's status, and what each proxy says of itself.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::live_summary::LiveSummary;
use super::{PartitionStatus, Status, TargetStatus, status};
use crate::delivery::fleet::Fleet;

/// The answer to `GET /api/v1/fleet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetStatus {
    pub version: String,
    pub uptime_seconds: f64,
    pub purger: String,
    pub kafka_connected: bool,
    /// The reason why the brokers do not answer.
    pub kafka_problem: Option<String>,
    pub partitions: Vec<PartitionStatus>,
    pub proxies: Vec<ProxyStatus>,
    pub dead_letters: u64,
}

/// A proxy: how delivery to it goes, and its traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyStatus {
    #[serde(flatten)]
    pub target: TargetStatus,
    pub live: Option<LiveSummary>,
    /// The reason why there is no `live`.
    pub live_problem: Option<String>,
}

/// Asks all proxies, once a second at most however many people look, and not at all while nobody
/// does.
#[derive(Debug)]
pub(super) struct FleetView {
    fleet: Arc<Fleet>,
    started: Instant,
    seen: Mutex<Option<(Instant, Arc<FleetStatus>)>>,
}

impl FleetView {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, started: Instant::now(), seen: Mutex::default() }
    }

    pub(super) async fn status(&self) -> Arc<FleetStatus> {
        let mut seen = self.seen.lock().await;
        if let Some((at, status)) = &*seen
            && at.elapsed() < FRESH
        {
            return Arc::clone(status);
        }
        let status = Arc::new(self.ask().await);
        *seen = Some((Instant::now(), Arc::clone(&status)));
        status
    }

    async fn ask(&self) -> FleetStatus {
        let permits = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        let targets = self.fleet.targets();
        let asked: Vec<_> = targets
            .iter()
            .map(|target| {
                let (target, permits) = (Arc::clone(target), Arc::clone(&permits));
                tokio::spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    (target.url.clone(), LiveSummary::ask(&target).await)
                })
            })
            .collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.extend(answer.await);
        }
        let Status { purger, kafka_connected, partitions, targets, dead_letters } =
            status(&self.fleet);
        let proxy = |target: TargetStatus| {
            let answer = answers.iter().find(|(url, _)| *url == target.url).map(|(_, live)| live);
            let live = answer.and_then(|live| live.clone().ok());
            let live_problem = answer.and_then(|live| live.clone().err());
            ProxyStatus { target, live, live_problem }
        };
        FleetStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            purger,
            kafka_connected,
            kafka_problem: self.fleet.assignment().connection.causes.all().pop(),
            partitions,
            proxies: targets.into_iter().map(proxy).collect(),
            dead_letters,
        }
    }
}

/// For so long an answer serves everybody who looks.
const FRESH: Duration = Duration::from_millis(900);
const ASKED_AT_ONCE: usize = 32;
