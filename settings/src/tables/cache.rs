//! `[cache]`: freshness where the origin is silent, staleness, and how requests for one response are collapsed.

use std::time::Duration;

use crate::table::Table;
use crate::value::{LIFETIME, TIMEOUT, boolean, duration, size, whole};

/// What the cache does where the RFCs leave it a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Cache {
    /// Freshness lifetime of responses that say nothing about it, 0s to 3650d; 0s leaves them unstored.
    pub default_ttl: Duration,
    /// How long a stale response is served while it is validated, when the origin does not say (RFC 5861 §3); 0s to 3650d.
    pub stale_while_revalidate: Duration,
    /// How long a stale response may stand in for a failure, when the origin does not say (RFC 5861 §4); 0s to 3650d.
    pub stale_if_error: Duration,
    /// How much longer a stale response with a validator is kept, to be validated; 0s to 3650d. Costs storage.
    pub keep: Duration,
    /// How long "this is not cacheable" is remembered, so that nobody queues behind it; 0s to 3650d.
    pub uncacheable_for: Duration,
    /// Whether a request's `no-cache` is ignored: a browser's reload is no purge.
    pub ignore_client_no_cache: bool,
    /// Whether a page or JSON under the name of a static file (`/account/x.css`) is left unstored: it may be one user's.
    pub deception_armor: bool,
    /// Stored responses per URL, 1 to 10000; what was not used for the longest makes room. A lookup may compare each of them.
    pub vary_max_variants: usize,
    /// Whether one fetch serves everyone who asks for the same key meanwhile.
    pub collapse: bool,
    /// A fetch that has no head after so long is joined by nobody, and who waits for it starts another one beside it; 1ms to
    /// 1d. A URL whose origin hangs costs one request to it for each such span.
    pub collapse_patience: Duration,
    /// Whether a HEAD for what is not stored, or stale, is sent as GET, so that its response is stored. Costs the transfer of
    /// the content. What is known to be uncacheable is asked for by HEAD.
    pub convert_head: bool,
    /// Requests that wait for one fetch, 1 to 1000000; past it: stale, or 503. Costs a connection and a head each.
    pub max_followers: usize,
    /// Bytes of bodies that are being fetched, at least 1MiB; past it they are streamed, not stored. Comes on top of
    /// `storage.memory.capacity`.
    pub max_inflight_bytes: u64,
    /// Bytes of stored bodies that were evicted, replaced or purged while clients still read them, at least 1MiB; past it the
    /// slowest clients are cut off. Comes on top of `storage.memory.capacity`.
    pub max_pinned_bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            default_ttl: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_hours(1),
            keep: Duration::from_hours(1),
            uncacheable_for: Duration::from_mins(2),
            ignore_client_no_cache: true,
            deception_armor: true,
            vary_max_variants: 64,
            collapse: true,
            collapse_patience: Duration::from_secs(5),
            convert_head: true,
            max_followers: 20_000,
            max_inflight_bytes: 256 << 20,
            max_pinned_bytes: 256 << 20,
        }
    }
}

impl Cache {
    /// Reads `[cache]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("default_ttl", duration(LIFETIME), &mut self.default_ttl);
        table.read("stale_while_revalidate", duration(LIFETIME), &mut self.stale_while_revalidate);
        table.read("stale_if_error", duration(LIFETIME), &mut self.stale_if_error);
        table.read("keep", duration(LIFETIME), &mut self.keep);
        table.read("uncacheable_for", duration(LIFETIME), &mut self.uncacheable_for);
        table.read("ignore_client_no_cache", boolean, &mut self.ignore_client_no_cache);
        table.read("deception_armor", boolean, &mut self.deception_armor);
        table.read("vary_max_variants", whole(1..=10_000), &mut self.vary_max_variants);
        table.read("collapse", boolean, &mut self.collapse);
        table.read("collapse_patience", duration(TIMEOUT), &mut self.collapse_patience);
        table.read("convert_head", boolean, &mut self.convert_head);
        table.read("max_followers", whole(1..=1_000_000), &mut self.max_followers);
        table.read("max_inflight_bytes", size(1 << 20..=u64::MAX), &mut self.max_inflight_bytes);
        table.read("max_pinned_bytes", size(1 << 20..=u64::MAX), &mut self.max_pinned_bytes);
    }
}
