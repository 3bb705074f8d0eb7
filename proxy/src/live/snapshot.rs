//! `LiveSnapshot`: everything that the live views draw, as of one moment. Its JSON is an interface:
//! fields are added, and none is renamed.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveSnapshot {
    pub version: String,
    pub uptime_seconds: f64,
    /// RFC 3339, as are all times.
    pub now: String,
    /// The second that is the newest of the series, counted from the start.
    pub number: u64,
    pub ready: bool,
    pub unready_because: Option<String>,
    pub config: ConfigState,
    pub hit_ratio: HitRatios,
    pub rates: Rates,
    pub outcomes: OutcomeRates,
    pub latency_seconds: Latencies,
    pub series: SeriesOfSeconds,
    pub histogram: LatencyCounts,
    pub not_cached: Vec<NotCached>,
    pub top: Top,
    pub tags: Vec<TagUse>,
    pub origins: Vec<OriginFigures>,
    pub storage: Vec<Tier>,
    pub purges: Vec<RecentPurge>,
    pub kafka: Option<KafkaState>,
    pub connections: ConnectionCounts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigState {
    pub hash: String,
    pub loaded_at: String,
    /// `ok` or `failed`.
    pub last_reload: String,
    pub problem: Option<String>,
}

/// By window; `None` where there was no request that could have been a hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HitRatios {
    #[serde(rename = "1s")]
    pub second: Option<f64>,
    #[serde(rename = "10s")]
    pub ten_seconds: Option<f64>,
    #[serde(rename = "1m")]
    pub minute: Option<f64>,
    #[serde(rename = "15m")]
    pub quarter: Option<f64>,
}

/// A second, over the last ten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub requests: f64,
    pub origin_requests: f64,
    pub bytes_in: f64,
    pub bytes_out: f64,
}

/// Requests a second by how they were answered, over the last ten; each is in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRates {
    pub hit: f64,
    pub stale: f64,
    pub revalidated: f64,
    pub miss: f64,
    pub bypass: f64,
    pub uncacheable: f64,
    pub error: f64,
    pub synthetic: f64,
    pub purge: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    pub hit: Quantiles,
    pub miss: Quantiles,
}

/// Seconds, over the last ten; `None` without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// Counts of each of the last seconds, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesOfSeconds {
    pub step_seconds: u64,
    pub until: String,
    pub requests: Vec<u64>,
    pub hits: Vec<u64>,
    pub stale: Vec<u64>,
    /// Whatever the origin was waited for and the cache was asked: revalidated and uncacheable
    /// responses, too.
    pub misses: Vec<u64>,
    pub bypasses: Vec<u64>,
    /// Responses with 5xx that the proxy made itself.
    pub errors: Vec<u64>,
    pub purges: Vec<u64>,
    pub origin_requests: Vec<u64>,
    pub bytes_out: Vec<u64>,
}

/// Latencies of the last minute. There is one count more than bounds: of what exceeds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyCounts {
    pub bounds_seconds: Vec<f64>,
    /// The sample of hits that was timed, taken for all of them.
    pub hits: Vec<u64>,
    pub misses: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotCached {
    pub reason: String,
    pub per_second: f64,
    pub total: u64,
    pub example: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Top {
    pub window_seconds: u64,
    pub urls: Vec<UrlUse>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UrlUse {
    pub url: String,
    pub requests: u64,
    pub misses: u64,
    pub bytes: u64,
    pub origin_seconds: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TagUse {
    pub tag: String,
    pub pages: u64,
    pub purges_per_hour: f64,
    pub renders: u64,
    pub bytes: u64,
    pub stale_served: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OriginFigures {
    pub name: String,
    pub is_usable: bool,
    pub queue: u64,
    pub requests: u64,
    pub errors: u64,
    pub servers: Vec<ServerFigures>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerFigures {
    pub address: String,
    /// `up`, `down`, `draining` or `probing`.
    pub state: String,
    /// The state in the words of `shellac origins`, and its reason.
    pub detail: String,
    pub reason: Option<String>,
    pub in_flight: u64,
    /// Requests that wait for any server of the origin.
    pub queue: u64,
    pub requests: u64,
    pub errors: u64,
    pub p95_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    #[serde(rename = "tier")]
    pub name: String,
    pub objects: u64,
    pub bytes: u64,
    pub capacity_bytes: u64,
    /// `None` where it is not counted: a file makes room by whole segments.
    pub evictions_per_second: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentPurge {
    pub id: u64,
    pub at: String,
    pub source: String,
    /// The address that a purge over HTTP came from.
    pub client: Option<String>,
    pub selector: String,
    pub mode: String,
    pub objects: u64,
    pub seconds: f64,
    pub event: Option<String>,
    pub position: Option<String>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KafkaState {
    pub topic: String,
    pub state: String,
    pub partitions: Vec<PartitionFigures>,
    /// `None` where there is no lease.
    pub lease_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionFigures {
    pub partition: u32,
    pub position: i64,
    /// Records that are known to wait; `None` where the purger does not tell.
    pub lag: Option<u64>,
    /// Time since the moment as of which all of the partition is known to be applied.
    pub clean_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCounts {
    pub open: u64,
    pub tls: u64,
    pub http2: u64,
}
