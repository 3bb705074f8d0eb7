//! Counters of fetches.

use super::folds::FoldMetrics;
use super::other_deployments::OtherDeployments;
use crate::freshness::Uncacheable;
use crate::metrics::family::{Family, Sample};
use process::metrics::Counter;

#[derive(Debug, Default)]
pub struct FetchMetrics {
    pub collapsed: Counter,
    /// Requests that waited for another's fetch in vain: its response was for the leader only.
    pub collapsed_uncacheable: Counter,
    pub collapsed_late: Counter,
    /// Requests that got a stale response at once, because the last fetch of their URL timed out.
    pub stale_at_once: Counter,
    pub background: Counter,
    pub validated: Counter,
    /// Fetches that were cancelled because no request waited and the response was not stored.
    pub cancelled: Counter,
    pub failed: Counter,
    /// Requests that were refused, or served stale, because too many were at the origin.
    pub overloaded: Counter,
    /// Requests that no origin claims.
    pub unclaimed: Counter,
    /// Redirects over https to the URL that was asked for, behind a peer that is not trusted.
    pub untrusted_redirects: Counter,
    pub folds: FoldMetrics,
    pub other_deployments: OtherDeployments,
    uncacheable: [Counter; Uncacheable::ALL.len()],
}

impl FetchMetrics {
    /// Counts a response that was not stored.
    pub fn uncacheable(&self, reason: Uncacheable) {
        if let Some(counter) = self.uncacheable.get(reason.index()) {
            counter.add(1);
        }
    }

    /// Responses that were not stored, by reason.
    pub fn not_stored(&self) -> impl Iterator<Item = (Uncacheable, u64)> {
        Uncacheable::ALL.into_iter().zip(self.uncacheable.iter().map(Counter::value))
    }

    /// Returns the families of fetches, with the requests, flights and bytes in flight.
    pub(crate) fn families(&self, in_flight: (usize, usize, u64)) -> Vec<Family> {
        let (misses, flights, inflight_bytes) = in_flight;
        let not_stored = self
            .not_stored()
            .map(|(reason, count)| Sample::counter([("reason", reason.code().to_owned())], count));
        let collapsed = [
            ("served", self.collapsed.value()),
            ("uncacheable", self.collapsed_uncacheable.value()),
            ("timeout", self.collapsed_late.value()),
        ];
        let collapsed = collapsed
            .into_iter()
            .map(|(outcome, count)| Sample::counter([("outcome", outcome.to_owned())], count));
        let counter = |name, help, value: &Counter| Family::counter(name, help, value.value());
        vec![
            Family::labelled(
                "shellac_cache_uncacheable",
                "Responses that were not stored, by reason",
                not_stored,
            ),
            Family::labelled(
                "shellac_cache_collapsed",
                "Requests that waited for another's fetch",
                collapsed,
            ),
            counter(
                "shellac_cache_revalidations",
                "Stored responses that the origin confirmed",
                &self.validated,
            ),
            counter(
                "shellac_cache_refreshes",
                "Fetches in the background for stale responses",
                &self.background,
            ),
            counter(
                "shellac_cache_fetch_failures",
                "Fetches that brought no whole response",
                &self.failed,
            ),
            counter(
                "shellac_cache_overloads",
                "Requests that found too many at the origin, or in a fetch",
                &self.overloaded,
            ),
            counter(
                "shellac_requests_unclaimed",
                "Requests that no origin claims: answered 404",
                &self.unclaimed,
            ),
            counter(
                "shellac_cache_untrusted_https_redirects",
                "Redirects to https of what a peer that is not trusted says was asked over https",
                &self.untrusted_redirects,
            ),
            Family::gauge("shellac_cache_misses_in_flight", "Requests at the origin", misses),
            Family::gauge("shellac_cache_flights", "Fetches that may be joined", flights),
            Family::gauge(
                "shellac_cache_inflight_bytes",
                "Bytes of bodies that are being fetched",
                inflight_bytes,
            ),
        ]
    }

    /// Returns the families of fetches that failed, and of those that ended early.
    pub(crate) fn failure_families(&self) -> Vec<Family> {
        vec![
            Family::counter(
                "shellac_cache_stale_at_once",
                "Requests that got a stale response at once because the last fetch of their URL timed out",
                self.stale_at_once.value(),
            ),
            Family::counter(
                "shellac_cache_fetches_cancelled",
                "Fetches that were cancelled because no request waited and the response is not stored",
                self.cancelled.value(),
            ),
            Family::counter(
                "shellac_cache_tags_folded",
                "Responses with more or longer tags than the limits, of which some share an identity",
                self.folds.responses.value(),
            ),
            Family::counter(
                "shellac_responses_of_other_deployments",
                "Responses of the origin that name another deployment than the present one",
                self.other_deployments.responses.value(),
            ),
        ]
    }
}
