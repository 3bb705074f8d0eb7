//! PROXY protocol headers, counted.

use std::sync::atomic::{AtomicBool, Ordering};

use super::RefusedHeader;
use crate::client::end_address::EndAddress;
use crate::metrics::family::{Family, Sample};
use process::metrics::Counter;

#[derive(Debug, Default)]
pub(in crate::listener) struct HeaderCounts {
    /// Headers that named a client.
    pub(in crate::listener) clients: Counter,
    /// Headers of peers that speak for themselves.
    pub(in crate::listener) local: Counter,
    /// Headers of peers that speak for a client without saying which one.
    pub(in crate::listener) unknown: Counter,
    untrusted: Counter,
    missing: Counter,
    malformed: Counter,
    late: Counter,
    left: Counter,
    has_warned: AtomicBool,
}

impl HeaderCounts {
    /// Counts a connection that is closed, and warns of the first one.
    pub(in crate::listener) fn refuse(&self, why: &RefusedHeader, peer: EndAddress) {
        let counter = match why {
            RefusedHeader::Untrusted => &self.untrusted,
            RefusedHeader::Missing => &self.missing,
            RefusedHeader::Malformed(_) => &self.malformed,
            RefusedHeader::Late => &self.late,
            RefusedHeader::Left(_) => &self.left,
        };
        counter.add(1);
        let is_mistake = matches!(
            why,
            RefusedHeader::Untrusted | RefusedHeader::Missing | RefusedHeader::Malformed(_)
        );
        if is_mistake && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                reason = %why,
                "a connection was refused: listen.proxy_protocol and listen.trusted_proxies say \
                who sends a PROXY protocol header; further refusals are only counted"
            );
        } else {
            tracing::debug!(%peer, reason = %why, "a connection was refused");
        }
    }

    pub(in crate::listener) fn families(&self) -> [Family; 2] {
        let sample = |label, name: &str, counter: &Counter| {
            Sample::counter([(label, name.to_owned())], counter.value())
        };
        let headers =
            [("client", &self.clients), ("local", &self.local), ("unknown", &self.unknown)];
        let refused = [
            ("untrusted", &self.untrusted),
            ("missing", &self.missing),
            ("malformed", &self.malformed),
            ("timeout", &self.late),
            ("closed", &self.left),
        ];
        [
            Family::labelled(
                "shellac_proxy_protocol_headers",
                "Connections that began with a PROXY protocol header, by what it named",
                headers.into_iter().map(|(name, counter)| sample("names", name, counter)),
            ),
            Family::labelled(
                "shellac_proxy_protocol_refused",
                "Connections that were closed because of their PROXY protocol header, or for want of one",
                refused.into_iter().map(|(name, counter)| sample("reason", name, counter)),
            ),
        ]
    }
}
