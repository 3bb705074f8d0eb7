//! `[cache]`: freshness where the origin is silent, staleness, and how requests for one response
//! are collapsed.

use std::time::Duration;

use crate::table::Table;
use crate::value::{
    Fault, LIFETIME, StatusRange, TIMEOUT, boolean, duration, percent, size, status_range, whole,
};

/// The cache's choices where the RFCs leave one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct CacheSettings {
    /// Freshness lifetime of responses that say nothing about it, 0s to 3650d; 0s leaves them
    /// unstored.
    pub default_ttl: Duration,
    /// Freshness lifetime by the time since `Last-Modified` (RFC 9111 §4.2.2) of responses that say
    /// nothing about it, where `default_ttl` is 0s; `None` assigns none.
    pub heuristic: Option<HeuristicSettings>,
    /// Freshness lifetimes by status code of responses that say nothing about it, each 0s to 3650d;
    /// the first that matches goes before `default_ttl`. At most 32.
    pub ttl_by_status: Vec<(StatusRange, Duration)>,
    /// Time for which a stale response is served while it is validated, unless the origin sets one
    /// (RFC 5861 §3); 0s to 3650d.
    pub stale_while_revalidate: Duration,
    /// The longest such time that an origin can set, 0s to 3650d.
    pub max_stale_while_revalidate: Duration,
    /// Time for which a stale response may replace an error, unless the origin sets one (RFC 5861
    /// §4); 0s to 3650d.
    pub stale_if_error: Duration,
    /// Time for which a stale response with a validator is kept for validation; 0s to 3650d. Costs
    /// storage.
    pub keep: Duration,
    /// Time for which an uncacheable key is remembered, so that its requests are not collapsed; 0s
    /// to 3650d.
    pub uncacheable_for: Duration,
    /// Ignores `no-cache` in requests, so that a browser's reload does not reach the origin.
    pub ignore_client_no_cache: bool,
    /// Does not store HTML or JSON under the name of a static file (`/account/x.css`), which may be
    /// one user's.
    pub deception_armor: bool,
    /// Stored responses per URL, 1 to 10000; the least recently used one is replaced. A lookup may
    /// compare each of them.
    pub vary_max_variants: usize,
    /// Lets a request use a variant of the same languages and weights in another order, if that is
    /// in the language which this request names first. Wrong where pages depend on the rest of
    /// `Accept-Language`.
    pub share_languages: bool,
    /// Collapses concurrent requests for one key into one fetch.
    pub collapse: bool,
    /// Time after which a fetch without a response head takes no more followers, and those it has
    /// start another fetch; 1ms to 1d. A URL whose origin hangs costs one request per such
    /// interval.
    pub collapse_patience: Duration,
    /// Sends a HEAD that misses as GET, so that the response is stored. Costs the transfer of the
    /// content. A HEAD for an uncacheable key stays HEAD.
    pub convert_head: bool,
    /// Takes `CDN-Cache-Control` from what clients get. Without this it passes, for a CDN before
    /// this cache (RFC 9213 §3.1).
    pub strip_cdn_cache_control: bool,
    /// Files with a hash in their names: for this long after it became stale, a stored one answers
    /// although the origin has deleted it; errors are not stored, and no deployment takes one away.
    /// Rules set it; 0s to 3650d, 0s elsewhere.
    pub asset_grace: Duration,
    /// Asks one other server where the first answers 404, 410 or with a server error. Rules set it.
    pub retry_missing: bool,
    /// Requests that wait for one fetch, 1 to 1000000. Further ones get a stale response or 503.
    /// Each costs a connection and a head.
    pub max_followers: usize,
    /// Bytes of bodies that are being fetched, at least 1MiB. Beyond it bodies are streamed and not
    /// stored. Adds to `storage.memory.capacity`.
    pub max_inflight_bytes: u64,
    /// Bytes of stored bodies that were evicted, replaced or purged while clients still read them,
    /// at least 1MiB. Beyond it the slowest clients are cut off. Adds to `storage.memory.capacity`.
    pub max_pinned_bytes: u64,
}

/// A lifetime that grows with the time since the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeuristicSettings {
    /// Hundredths of the time since `Last-Modified`, 1% to 100%.
    pub share: u32,
    /// The longest lifetime that is assigned so, 1s to 3650d.
    pub max: Duration,
}

impl Default for HeuristicSettings {
    fn default() -> Self {
        Self { share: 10, max: Duration::from_hours(24) }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            default_ttl: Duration::ZERO,
            heuristic: Some(HeuristicSettings::default()),
            ttl_by_status: Vec::new(),
            stale_while_revalidate: Duration::ZERO,
            max_stale_while_revalidate: Duration::from_hours(24),
            stale_if_error: Duration::from_hours(1),
            keep: Duration::from_hours(1),
            uncacheable_for: Duration::from_mins(2),
            ignore_client_no_cache: true,
            deception_armor: true,
            vary_max_variants: 64,
            share_languages: false,
            collapse: true,
            collapse_patience: Duration::from_secs(5),
            convert_head: true,
            strip_cdn_cache_control: false,
            asset_grace: Duration::ZERO,
            retry_missing: false,
            max_followers: 20_000,
            max_inflight_bytes: 256 << 20,
            max_pinned_bytes: 256 << 20,
        }
    }
}

impl CacheSettings {
    /// Reads `[cache]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("default_ttl", duration(LIFETIME), &mut self.default_ttl);
        self.read_heuristic(table);
        self.read_ttl_by_status(table);
        table.read("stale_while_revalidate", duration(LIFETIME), &mut self.stale_while_revalidate);
        let longest = &mut self.max_stale_while_revalidate;
        table.read("max_stale_while_revalidate", duration(LIFETIME), longest);
        table.read("stale_if_error", duration(LIFETIME), &mut self.stale_if_error);
        table.read("keep", duration(LIFETIME), &mut self.keep);
        table.read("uncacheable_for", duration(LIFETIME), &mut self.uncacheable_for);
        table.read("ignore_client_no_cache", boolean, &mut self.ignore_client_no_cache);
        table.read("deception_armor", boolean, &mut self.deception_armor);
        table.read("vary_max_variants", whole(1..=10_000), &mut self.vary_max_variants);
        table.read("share_languages", boolean, &mut self.share_languages);
        table.read("collapse", boolean, &mut self.collapse);
        table.read("collapse_patience", duration(TIMEOUT), &mut self.collapse_patience);
        table.read("convert_head", boolean, &mut self.convert_head);
        table.read("strip_cdn_cache_control", boolean, &mut self.strip_cdn_cache_control);
        table.read("max_followers", whole(1..=1_000_000), &mut self.max_followers);
        table.read("max_inflight_bytes", size(1 << 20..=u64::MAX), &mut self.max_inflight_bytes);
        table.read("max_pinned_bytes", size(1 << 20..=u64::MAX), &mut self.max_pinned_bytes);
    }

    /// Reads the settings that a `[[rule]]` may set, over what is here.
    pub(super) fn read_overlay(&mut self, table: &mut Table<'_>) {
        table.read("collapse", boolean, &mut self.collapse);
        table.read("share_languages", boolean, &mut self.share_languages);
        table.read("ignore_client_no_cache", boolean, &mut self.ignore_client_no_cache);
        table.read("deception_armor", boolean, &mut self.deception_armor);
        table.read("uncacheable_for", duration(LIFETIME), &mut self.uncacheable_for);
        table.read("keep", duration(LIFETIME), &mut self.keep);
        table.read("convert_head", boolean, &mut self.convert_head);
        let longest = &mut self.max_stale_while_revalidate;
        table.read("max_stale_while_revalidate", duration(LIFETIME), longest);
        table.read("asset_grace", duration(LIFETIME), &mut self.asset_grace);
        table.read("retry_missing", boolean, &mut self.retry_missing);
        self.read_heuristic(table);
        self.read_ttl_by_status(table);
    }

    fn read_heuristic(&mut self, table: &mut Table<'_>) {
        if table.says("heuristic", "off") {
            self.heuristic = None;
            return;
        }
        let mut heuristic = self.heuristic.unwrap_or_default();
        table.table("heuristic", |table| {
            table.read("share", percent(1..=100), &mut heuristic.share);
            let lifetimes = Duration::from_secs(1)..=*LIFETIME.end();
            table.read("max", duration(lifetimes), &mut heuristic.max);
        });
        if table.has("heuristic") {
            self.heuristic = Some(heuristic);
        }
    }

    fn read_ttl_by_status(&mut self, table: &mut Table<'_>) {
        let mut lifetimes = Vec::new();
        table.read_map("ttl_by_status", duration(LIFETIME), &mut lifetimes);
        if lifetimes.len() > LIFETIMES_MAX {
            let wants = format!("must hold at most {LIFETIMES_MAX} lifetimes");
            table.fault_of("ttl_by_status", Fault::new(wants, "too many"));
        }
        if table.has("ttl_by_status") {
            self.ttl_by_status.clear();
        }
        for (status, lifetime) in lifetimes {
            match status_or_class(&status) {
                Ok(range) => self.ttl_by_status.push((range, lifetime)),
                Err(fault) => table.fault_of("ttl_by_status", fault),
            }
        }
    }
}

/// Reads `"404"`, `"500-504"` or `"5xx"`.
fn status_or_class(text: &str) -> Result<StatusRange, Fault> {
    match text.strip_suffix("xx").filter(|class| class.len() == 1) {
        Some(class) => status_range(&format!("{class}00-{class}99")),
        None => status_range(text),
    }
}

const LIFETIMES_MAX: usize = 32;
