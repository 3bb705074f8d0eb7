//! Counters of the clients' sockets.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::client_cut::{ClientCut, LIMITS};
use super::proxy_protocol::HeaderCounts;
use crate::client::untrusted_claims::UntrustedClaims;
use crate::metrics::family::{Family, Sample};
use process::metrics::{Counter, Gauge};
use process::recurring::Recurring;

#[derive(Debug, Default)]
pub struct ListenerMetrics {
    pub accepted: Counter,
    pub accept_failures: Counter,
    /// Connections that were cut because they held us up.
    pub cut: Counter,
    /// HTTP/2 streams that were reset because the client took nothing of them.
    pub reset_streams: Counter,
    /// Responses that were cut because too much was held for clients that take little: connections
    /// and streams.
    pub cut_slowest: Counter,
    pub broken: Counter,
    /// Connections with TLS, and with HTTP/2.
    pub tls: Gauge,
    pub http2: Gauge,
    /// Connections and streams that were cut, by the limits in the order of [`LIMITS`].
    by_limit: [Counter; LIMITS.len()],
    /// Connections that were closed because their peer had as many as it may have.
    pub(super) over_peer_limit: Counter,
    /// Connections that waited until another one ended.
    waited: Counter,
    /// Idle connections that closed for others.
    pub(super) made_room: Counter,
    pub(super) headers: HeaderCounts,
    pub(super) claims: Arc<UntrustedClaims>,
    last_exhausted: Mutex<Option<Instant>>,
    /// The lines about connections that waited.
    wait_log: Mutex<Recurring>,
    /// What was said of cuts, by limit.
    cut_log: Mutex<[Recurring; LIMITS.len()]>,
}

impl ListenerMetrics {
    pub(super) fn count_cut(&self, cut: ClientCut, count: u64) {
        let place = LIMITS.iter().position(|limit| *limit == cut.limit());
        if let Some(counter) = place.and_then(|place| self.by_limit.get(place)) {
            counter.add(count);
        }
        let now = Instant::now();
        let mut logs = self.cut_log.lock();
        let due = place.and_then(|place| logs.get_mut(place)?.fail(now));
        drop(logs);
        if let Some(count) = due {
            let (reason, limit) = (cut.reason(), cut.limit());
            tracing::warn!(
                reason,
                limit,
                count,
                "clients are cut: they hold connections up; raise the limit if they are to be waited for"
            );
        }
    }

    /// Returns the limits, with the number of connections and streams that each has ended.
    pub fn cuts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LIMITS.into_iter().zip(self.by_limit.iter().map(Counter::value))
    }

    /// Counts a failure to accept for want of descriptors or buffers. It is logged once in a while.
    pub(super) fn exhausted(&self, error: &io::Error) {
        self.accept_failures.add(1);
        let now = Instant::now();
        let mut last = self.last_exhausted.lock();
        if last.is_none_or(|last| now.duration_since(last) >= LOG_PAUSE) {
            *last = Some(now);
            let failures = self.accept_failures.value();
            tracing::error!(
                %error,
                failures,
                "cannot accept connections: clients wait; raise the limit of open files \
                (LimitNOFILE), or lower limits.max_connections"
            );
        }
    }

    /// Counts a connection that waits for another one to end, because as many are open as `limit`
    /// allows. It is logged once in a while.
    pub(super) fn count_wait(&self, limit: &str) {
        self.waited.add(1);
        let due = self.wait_log.lock().fail(Instant::now());
        if let Some(count) = due {
            tracing::warn!(
                limit,
                count,
                "as many connections as may be are open: idle ones are closed, and clients wait until \
                one ends; raise the limit where it can be set"
            );
        }
    }

    pub(crate) fn families(&self, connections: usize) -> Vec<Family> {
        let [headers, refused] = self.headers.families();
        vec![
            headers,
            refused,
            Family::counter(
                "shellac_http_peer_limit_reached",
                "Connections closed because of limits.max_connections_per_peer",
                self.over_peer_limit.value(),
            ),
            Family::counter(
                "shellac_http_untrusted_schemes",
                "Requests whose peer sent X-Forwarded-Proto and is not in trusted_proxies",
                self.claims.schemes(),
            ),
            Family::gauge(
                "shellac_http_connections",
                "Client connections that are open",
                connections,
            ),
            Family::gauge(
                "shellac_http_connections_tls",
                "Client connections with TLS that are open",
                self.tls.value(),
            ),
            Family::gauge(
                "shellac_http_connections_http2",
                "Client connections with HTTP/2 that are open",
                self.http2.value(),
            ),
            Family::counter(
                "shellac_http_connections_accepted",
                "Client connections",
                self.accepted.value(),
            ),
            Family::counter(
                "shellac_http_connections_waited",
                "Client connections that waited for another to end, because of limits.max_connections",
                self.waited.value(),
            ),
            Family::counter(
                "shellac_http_connections_made_room",
                "Idle client connections that were closed because others waited",
                self.made_room.value(),
            ),
            Family::labelled(
                "shellac_http_cuts",
                "Client connections, and HTTP/2 streams, that were cut by a limit",
                self.cuts()
                    .map(|(limit, count)| Sample::counter([("limit", limit.to_owned())], count)),
            ),
            Family::labelled(
                "shellac_http_errors",
                "Client connections, and HTTP/2 streams, that ended badly",
                [
                    ("accept", self.accept_failures.value()),
                    ("timeout", self.cut.value()),
                    ("stream_timeout", self.reset_streams.value()),
                    ("slow_reader", self.cut_slowest.value()),
                    ("broken", self.broken.value()),
                ]
                .into_iter()
                .map(|(reason, count)| Sample::counter([("reason", reason.to_owned())], count)),
            ),
        ]
    }
}

/// Between two lines about the same want.
const LOG_PAUSE: Duration = Duration::from_secs(10);
