//! `[limits]`: how much one client, and all of them together, may ask for.

use std::time::Duration;

use crate::table::Table;
use crate::value::{PAUSE, TIMEOUT, duration, size, whole, whole_or_off};

/// Bounds on requests, connections and waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Bytes of a request's head, 8KiB to 1MiB. Worst-case memory: `max_connections` × this.
    pub max_header_bytes: usize,
    /// Fields in a head, 1 to 10000.
    pub max_headers: usize,
    /// Bytes of a request target, 64B to 1MiB.
    pub max_url: usize,
    /// Bytes of a request body; bodies are streamed, so they cost no memory.
    pub max_body: u64,
    /// Time for a request's head to arrive; 1ms to 1d.
    pub header_timeout: Duration,
    /// Time for which an idle connection stays open, 1ms to 1d. Must exceed the idle time-out of a
    /// load balancer in front.
    pub keepalive_timeout: Duration,
    /// Time between two pieces of a request body; 1ms to 1d.
    pub body_timeout: Duration,
    /// Time after which a client that reads nothing is cut off; 1ms to 1d.
    pub send_timeout: Duration,
    /// Time after which an idle WebSocket is closed; 1ms to 1d.
    pub tunnel_timeout: Duration,
    /// Concurrent client connections, 1 to 1000000. Further ones wait in the backlog. Each costs a
    /// file descriptor.
    pub max_connections: usize,
    /// Concurrent connections of one client address, 1 to 1000000; an IPv6 /64 counts as one.
    /// Further ones are closed. `None`: no limit. Unix sockets and peers in `trusted_proxies` have
    /// none.
    pub max_connections_per_peer: Option<usize>,
    /// Concurrent requests to the origin, 1 to 1000000. Further ones get a stale response or 503.
    pub max_inflight_misses: usize,
    /// Time from SIGTERM (readiness answers 503) to the close of the listeners; 0s to 1d.
    pub drain_delay: Duration,
    /// Time for requests in flight to complete after that; 0s to 1d.
    pub drain_timeout: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_header_bytes: 32 << 10,
            max_headers: 100,
            max_url: 8 << 10,
            max_body: 16 << 20,
            header_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_mins(1),
            send_timeout: Duration::from_mins(1),
            tunnel_timeout: Duration::from_mins(10),
            max_connections: 20_000,
            max_connections_per_peer: None,
            max_inflight_misses: 4000,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl LimitSettings {
    /// Reads `[limits]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("max_header_bytes", size(8 << 10..=1 << 20), &mut self.max_header_bytes);
        table.read("max_headers", whole(1..=10_000), &mut self.max_headers);
        table.read("max_url", size(64..=1 << 20), &mut self.max_url);
        table.read("max_body", size(0..=u64::MAX), &mut self.max_body);
        table.read("header_timeout", duration(TIMEOUT), &mut self.header_timeout);
        table.read("keepalive_timeout", duration(TIMEOUT), &mut self.keepalive_timeout);
        table.read("body_timeout", duration(TIMEOUT), &mut self.body_timeout);
        table.read("send_timeout", duration(TIMEOUT), &mut self.send_timeout);
        table.read("tunnel_timeout", duration(TIMEOUT), &mut self.tunnel_timeout);
        table.read("max_connections", whole(1..=1_000_000), &mut self.max_connections);
        let per_peer = whole_or_off(1..=1_000_000);
        table.read("max_connections_per_peer", per_peer, &mut self.max_connections_per_peer);
        table.read("max_inflight_misses", whole(1..=1_000_000), &mut self.max_inflight_misses);
        table.read("drain_delay", duration(PAUSE), &mut self.drain_delay);
        table.read("drain_timeout", duration(PAUSE), &mut self.drain_timeout);
    }
}
