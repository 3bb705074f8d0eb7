//! Counters of the clients' sockets.

use crate::metrics::family::{Family, Sample};
use process::metrics::Counter;

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
}

impl ListenerMetrics {
    pub(crate) fn families(&self, connections: usize) -> Vec<Family> {
        vec![
            Family::gauge(
                "shellac_http_connections",
                "Client connections that are open",
                connections,
            ),
            Family::counter(
                "shellac_http_connections_accepted",
                "Client connections",
                self.accepted.value(),
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
