//! `FetchTask`: one fetch in progress, detached from every client, and the ways in which it ends.

use std::sync::Arc;

use super::flight::{FlightWriter, HeadOutcome};
use super::in_flight::{FlightKey, InFlightGuard};
use super::request::FetchRequest;
use super::{Fetcher, HeldResponse};
use crate::invalidation::{Provenance, RunningFetch, TagId, Verdict};
use crate::limit::Permit;
use crate::origins::OriginError;
use crate::origins::failures::FetchFailure;

#[derive(Debug)]
pub(super) struct FetchTask {
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) request: Arc<FetchRequest>,
    /// Dropped before `writer`: a request that learns of the end finds the place free.
    guard: InFlightGuard,
    pub(super) writer: FlightWriter,
    pub(super) on_disconnect: OnDisconnect,
    _permit: Permit,
}

/// The fate of a fetch whose client leaves before there is a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Other requests may share its response, now or from the store.
    Continue,
    /// Its response is known to be for this client only.
    Cancel,
}

impl FetchTask {
    /// `key` is that of a flight that requests may join.
    pub(super) fn new(
        fetcher: &Arc<Fetcher>,
        request: Arc<FetchRequest>,
        writer: FlightWriter,
        key: Option<FlightKey>,
        permit: Permit,
    ) -> Self {
        let in_flight = Arc::clone(&fetcher.in_flight);
        let guard = InFlightGuard::new(in_flight, key, Arc::clone(writer.flight()));
        let (fetcher, on_disconnect) = (Arc::clone(fetcher), OnDisconnect::Continue);
        Self { fetcher, request, guard, writer, on_disconnect, _permit: permit }
    }

    pub(super) fn birth(&self) -> &RunningFetch {
        self.writer.birth()
    }

    pub(super) fn provenance(&self, tags: impl IntoIterator<Item = TagId>) -> Provenance {
        self.birth().provenance(tags)
    }

    /// Returns the stale response, unless it was hard-purged: then it is neither validated nor
    /// confirmed.
    pub(super) fn usable_stale(&self) -> Option<&Arc<HeldResponse>> {
        let held = self.request.stale.as_ref();
        held.filter(|held| held.verdict(&self.fetcher.invalidation) != Verdict::Purged)
    }

    /// Lets no further request join.
    pub(super) fn leave(&mut self) {
        self.guard.leave();
    }

    /// Ends a fetch that has no content to share.
    pub(super) fn end(self, outcome: HeadOutcome) {
        let Self { guard, writer, .. } = self;
        drop(guard);
        writer.publish_head(outcome);
        writer.complete(None);
    }

    pub(super) fn complete(self, trailers: Option<http::HeaderMap>) {
        let Self { guard, writer, .. } = self;
        drop(guard);
        writer.complete(trailers);
    }

    /// Ends a fetch whose content is neither read nor stored. The origin has not failed.
    pub(super) fn abandon(self) {
        let Self { fetcher, guard, writer, .. } = self;
        fetcher.metrics.cancelled.add(1);
        drop(guard);
        writer.fail(OriginError::Abandoned);
    }

    /// Ends a fetch without a response, or within one: readers see the error.
    pub(super) fn fail(self, error: OriginError) {
        self.note_failure(FetchFailure::of(&error));
        let Self { fetcher, request, guard, writer, .. } = self;
        fetcher.metrics.failed.add(1);
        tracing::debug!(key = %request.head.key, %error, "fetch failed");
        drop(guard);
        writer.fail(error);
    }

    /// Notes that this fetch has failed, unless a newer one has taken its place, whose end counts.
    pub(super) fn note_failure(&self, failure: FetchFailure) {
        if !self.guard.is_superseded() {
            let fetcher = &self.fetcher;
            let failures = &self.request.head.policy.origin().failures;
            failures.note(self.request.head.key.hash(), failure, fetcher.clock.now());
        }
    }
}
