//! `[purge.log]`: purges that a purger delivers from Kafka, and the loss of its heartbeat.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::table::Table;
use crate::value::{PAUSE, boolean, choice, duration, size, whole};

/// The proxy's side of the purge log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeLogSettings {
    /// Keeps the proxy not ready and degraded until a purger has delivered to it.
    pub required: bool,
    /// Time for which a purger's heartbeat proves that all purges have arrived, 1s to 1d. At least
    /// twice the purger's heartbeat.
    pub lease: Duration,
    /// Use of stored responses after that, once a purger has delivered.
    pub on_expiry: OnExpiry,
    /// Age for `cap`, since the response was obtained or validated, 0s to 1d.
    pub cap: Duration,
    /// Time for recovered responses to receive the purges that they missed, 1s to 1d. After it they
    /// are always validated.
    pub catch_up_deadline: Duration,
    /// Bytes of a batch, 1KiB to 256MiB; held in memory while it is read.
    pub max_body: u64,
    /// Purges in a batch, 1 to 1000000.
    pub max_purges: usize,
    /// Tags, URLs, hosts and prefixes of all purges in a batch, 1 to 10000000.
    pub max_selectors: usize,
    /// Tags and hosts whose lowest revision is remembered, 1 to 10000000; the oldest is replaced.
    /// About 100 bytes each.
    pub max_revisions: usize,
    /// Concurrent fetches after purges, 1 to 1000.
    pub rewarm_concurrency: usize,
    /// Queued fetches after purges, 0 to 1000000. Further ones are dropped.
    pub rewarm_queue: usize,
    /// Upper limit of the random delay before a fetch after a purge, 0s to 1d. Spreads the load of
    /// many proxies.
    pub rewarm_jitter: Duration,
}

/// Use of stored responses while the lease has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpiry {
    /// They are served as usual.
    Serve,
    /// Those obtained or validated more than `cap` ago are validated before use.
    Cap,
    /// All of them are validated before use.
    Validate,
    /// None is used, and none is stored.
    Bypass,
}

impl Default for PurgeLogSettings {
    fn default() -> Self {
        Self {
            required: false,
            lease: Duration::from_secs(15),
            on_expiry: OnExpiry::Cap,
            cap: Duration::from_mins(1),
            catch_up_deadline: Duration::from_mins(10),
            max_body: 4 << 20,
            max_purges: 20_000,
            max_selectors: 100_000,
            max_revisions: 100_000,
            rewarm_concurrency: 8,
            rewarm_queue: 10_000,
            rewarm_jitter: Duration::from_secs(1),
        }
    }
}

impl PurgeLogSettings {
    /// Reads `[purge.log]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("required", boolean, &mut self.required);
        table.read("lease", duration(SECONDS), &mut self.lease);
        table.read("on_expiry", choice(&ON_EXPIRY), &mut self.on_expiry);
        table.read("cap", duration(PAUSE), &mut self.cap);
        table.read("catch_up_deadline", duration(SECONDS), &mut self.catch_up_deadline);
        table.read("max_body", size(1 << 10..=256 << 20), &mut self.max_body);
        table.read("max_purges", whole(1..=1_000_000), &mut self.max_purges);
        table.read("max_selectors", whole(1..=10_000_000), &mut self.max_selectors);
        table.read("max_revisions", whole(1..=10_000_000), &mut self.max_revisions);
        table.read("rewarm_concurrency", whole(1..=1000), &mut self.rewarm_concurrency);
        table.read("rewarm_queue", whole(0..=1_000_000), &mut self.rewarm_queue);
        table.read("rewarm_jitter", duration(PAUSE), &mut self.rewarm_jitter);
    }
}

const SECONDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const ON_EXPIRY: [(&str, OnExpiry); 4] = [
    ("serve", OnExpiry::Serve),
    ("cap", OnExpiry::Cap),
    ("validate", OnExpiry::Validate),
    ("bypass", OnExpiry::Bypass),
];
