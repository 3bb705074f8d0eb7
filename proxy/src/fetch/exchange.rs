//! From a request to the head of its response, and what becomes of it: one fetch in progress, detached from every client.

use std::sync::Arc;

use http::header::{CONTENT_RANGE, HeaderMap};
use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::flight::{Flight, FlightWriter, HeadOutcome};
use super::freshening::Newer;
use super::in_flight::FlightKey;
use super::parts::{Arrived, Completion};
use super::request::{AskedRange, FetchRequest};
use super::revision::MIN_REVISION;
use super::{Fetcher, Held, tags};
use crate::freshness::deception::is_deceptive;
use crate::freshness::stored_fields::{freshen, stored_fields};
use crate::freshness::validation::{Conditions, conditions, selects};
use crate::freshness::{Exchange, Freshness, Uncacheable, judge};
use crate::invalidation::{Provenance, TagId, Verdict};
use crate::key::vary::Variant;
use crate::origins::failures::Failure;
use crate::origins::{OriginBody, OriginError};
use crate::store::{Content, NewEntry, Show, Stored};

/// One fetch in progress.
pub(super) struct Fetch {
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) request: Arc<FetchRequest>,
    /// Dropped before `writer`: whoever learns of the end finds the key free.
    pub(super) guard: InFlightGuard,
    pub(super) writer: FlightWriter,
    pub(super) when_left: WhenLeft,
    /// One of the requests that may be at the origin at once.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// What becomes of a fetch whose client leaves before there is a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLeft {
    /// It goes on: others may share its response, now or from the store.
    GoOn,
    /// It is cancelled: its response is known to be for this client alone.
    Cancel,
}

/// The answer of the origin.
pub(super) struct Answer {
    response: Response<OriginBody>,
    exchange: Exchange,
    /// The stored response that it confirms: it is a 304.
    confirmed: Option<Arc<Held>>,
    /// The stored part that it was asked to complete.
    completion: Option<Completion>,
}

/// What is stored and shared, decided by the head.
pub(super) struct Storable {
    pub(super) fields: HeaderMap,
    pub(super) freshness: Freshness,
    pub(super) variant: Option<Variant>,
    pub(super) tags: Vec<TagId>,
    /// What arrives, where it is a part.
    pub(super) arrived: Option<Arrived>,
}

/// Keeps a flight on its key, where others can join it, until dropped.
pub(super) struct InFlightGuard {
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) key: Option<FlightKey>,
    pub(super) flight: Arc<Flight>,
}

impl InFlightGuard {
    /// Takes the flight off its key.
    pub(super) fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            self.fetcher.flights.remove(&key, &self.flight);
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Fetch {
    /// Fetches: from the request to the end of the content. `alone` gets a response that is for its leader only.
    pub(super) async fn run(self, mut alone: oneshot::Sender<Response<OriginBody>>) {
        let answer = tokio::select! {
            biased;
            answer = self.exchange() => answer,
            () = alone.closed(), if self.when_left == WhenLeft::Cancel => {
                self.fetcher.metrics.cancelled.add(1);
                return; // with it goes the connection to the origin
            }
        };
        match answer {
            Ok(answer) => self.publish_head(answer, alone).await,
            Err(error) => {
                let origin = self.request.head.policy.origin();
                origin.reachability.note_error(&error, self.fetcher.clock.now());
                self.fail(error);
            }
        }
    }

    /// Sends the request. One that was answered by a 304 for another response, or for one that was hard-purged meanwhile, is
    /// repeated without conditions.
    async fn exchange(&self) -> Result<Answer, OriginError> {
        if let Some(held) = self.usable_stale()
            && let Some(stored) = held.stored().response()
        {
            let stored = stored.fields.to_map(Show::All, 0);
            let answer = self.send(conditions(&stored), None).await?;
            if answer.response.status() != StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            if selects(&stored, answer.response.headers()) && self.usable_stale().is_some() {
                return Ok(Answer { confirmed: Some(Arc::clone(held)), ..answer });
            }
        }
        if let Some(completion) = self.completion() {
            let answer = self.send(Conditions::default(), Some(completion.asked())).await?;
            if completion.is_answered_by(&answer.response) && self.may_join(&answer, &completion) {
                return Ok(Answer { completion: Some(completion), ..answer });
            }
        }
        let range = self.request.range.map(|spec| AskedRange { spec, condition: None });
        self.send(Conditions::default(), range).await
    }

    /// Returns whether a missing part may be put together with the stored one. What may not be stored (`private`, `Set-Cookie`)
    /// would else be sent as it is, a part to who asked for the whole; and the stored one may have been purged meanwhile.
    fn may_join(&self, answer: &Answer, completion: &Completion) -> bool {
        let is_part = answer.response.status() == StatusCode::PARTIAL_CONTENT;
        let accepted =
            || self.accept(&answer.response, answer.exchange, Some(completion.clone())).is_ok();
        !is_part || self.may_confirm(completion.base()) && accepted()
    }

    async fn send(
        &self,
        conditions: Conditions,
        range: Option<AskedRange>,
    ) -> Result<Answer, OriginError> {
        let fetcher = &self.fetcher;
        let request_time = fetcher.clock.now();
        let mut request = self.request.message(
            conditions,
            range,
            &self.request.head.policy.settings().own_fields.name,
        );
        if let Some(lowest) = fetcher.lowest_revision_for(&self.request) {
            request.headers_mut().insert(MIN_REVISION, lowest);
        }
        let response = self.request.head.policy.origin().send(request).await?;
        fetcher.look_for_redirect_loop(&self.request.head, response.status(), response.headers());
        let exchange = fetcher.exchange_since(request_time);
        Ok(Answer { response, exchange, confirmed: None, completion: None })
    }

    /// The stale response, unless it was hard-purged: then it is not asked about, and nothing confirms it.
    fn usable_stale(&self) -> Option<&Arc<Held>> {
        let held = self.request.stale.as_ref();
        held.filter(|held| self.fetcher.verdict_of(held) != Verdict::Purged)
    }

    async fn publish_head(self, answer: Answer, alone: oneshot::Sender<Response<OriginBody>>) {
        let Answer { response, exchange, confirmed, completion } = answer;
        let status = response.status();
        let origin = self.request.head.policy.origin();
        origin.reachability.note_answer();
        if is_failure(status) {
            self.note_failure(Failure::of_status(status));
        } else {
            origin.failures.clear(self.request.head.key.hash());
        }
        if let Some(held) = confirmed {
            let landing = self.validated(held.stored(), response.headers(), exchange);
            return self.end(landing);
        }
        if let Some(held) = &self.request.stale
            && is_failure(status)
            && self.fetcher.may_serve_on_error(held)
        {
            let landing = HeadOutcome::StaleIfError(Arc::clone(held));
            return self.end(landing);
        }
        match self.accept(&response, exchange, completion) {
            Ok(accepted) => {
                let tags = accepted.tags.iter().copied();
                let is_lagging =
                    self.fetcher.is_lagging(&self.request.head, response.headers(), tags);
                let not_stored = is_lagging.then_some(Uncacheable::OriginLagging);
                self.carry(response, accepted, not_stored).await;
            }
            Err(reason) if is_shareable_failure(status, reason) => {
                self.fetcher.metrics.uncacheable(reason);
                self.carry_uncached(response, exchange, reason).await;
            }
            Err(reason) => {
                self.fetcher.metrics.uncacheable(reason);
                self.remember_uncacheable(&response, reason);
                if alone.send(response).is_err() {
                    tracing::debug!(key = %self.request.head.key, "nobody waits for an uncacheable response");
                }
                self.end(HeadOutcome::Unshared(reason));
            }
        }
    }

    /// Ends a fetch that carries no content to share.
    fn end(self, landing: HeadOutcome) {
        let Self { guard, writer, .. } = self;
        drop(guard);
        writer.publish_head(landing);
        writer.complete(None);
    }

    /// Notes that this fetch has failed, unless a newer one has taken its place: that one's end counts.
    fn note_failure(&self, failure: Failure) {
        let InFlightGuard { fetcher, key, flight } = &self.guard;
        if key.as_ref().is_none_or(|key| fetcher.flights.holds(key, flight)) {
            let failures = &self.request.head.policy.origin().failures;
            failures.note(self.request.head.key.hash(), failure, fetcher.clock.now());
        }
    }

    /// Ends a fetch whose content nobody reads and nothing stores. The origin has not failed.
    pub(super) fn abandon(self) {
        let Self { fetcher, guard, writer, .. } = self;
        fetcher.metrics.cancelled.add(1);
        drop(guard);
        writer.fail(OriginError::Abandoned);
    }

    /// Ends it without a response, or within one: readers see the error.
    pub(super) fn fail(self, error: OriginError) {
        self.note_failure(Failure::of(&error));
        let Self { fetcher, request, guard, writer, .. } = self;
        fetcher.metrics.failed.add(1);
        tracing::debug!(key = %request.head.key, %error, "fetch failed");
        drop(guard);
        writer.fail(error);
    }

    /// Decides whether the response is stored (RFC 9111 §3), and what belongs to it.
    pub(super) fn accept(
        &self,
        response: &Response<OriginBody>,
        exchange: Exchange,
        completion: Option<Completion>,
    ) -> Result<Storable, Uncacheable> {
        let policy = &self.request.head.policy;
        let facts = &self.request.facts;
        let arrived = self.arrived(response, completion)?;
        let received = exchange.wall_time;
        let joined = arrived.as_ref().and_then(|arrived| arrived.joined.as_ref());
        let joined = joined
            .and_then(|(base, _)| base.response())
            .map(|base| freshen(&base.fields.to_map(Show::All, 0), response.headers(), received));
        let head = joined.as_ref().unwrap_or_else(|| response.headers());
        // A part is stored under the terms of the whole (RFC 9111 §3.3).
        let status = if arrived.is_some() { StatusCode::OK } else { response.status() };
        let freshness = judge(&policy.freshness, facts, status, head, exchange)?;
        let path = self.request.head.key.path();
        if policy.cache.deception_armor && is_deceptive(path, status, head) {
            return Err(Uncacheable::ContentType);
        }
        let mut fields = joined.unwrap_or_else(|| stored_fields(response.headers(), received));
        if arrived.is_some() {
            fields.remove(CONTENT_RANGE); // said anew of each part that is sent
        }
        let accepted = self.fetcher.belongings(&self.request.head, fields, freshness)?;
        let accepted = Storable { arrived, ..accepted };
        match response.body().length() {
            Some(length) if length > self.fetcher.limits.object_bytes_max => {
                Err(Uncacheable::TooLarge)
            }
            _ => Ok(accepted),
        }
    }

    /// Freshens the stored response by a 304 (RFC 9111 §4.3.4), unless it was purged since the request was sent.
    fn validated(
        &self,
        stale: &Arc<Stored>,
        not_modified: &HeaderMap,
        exchange: Exchange,
    ) -> HeadOutcome {
        let fetcher = &self.fetcher;
        fetcher.metrics.validated.add(1);
        let Some(old) = stale.response() else {
            return HeadOutcome::Failed(OriginError::Abandoned);
        };
        if fetcher.is_lagging(&self.request.head, not_modified, stale.provenance.ids()) {
            fetcher.metrics.uncacheable(Uncacheable::OriginLagging);
            return HeadOutcome::Validated(Arc::clone(stale)); // confirmed by who has not seen the change
        }
        if !fetcher.is_stored(stale) || !self.may_confirm(stale) {
            return HeadOutcome::Validated(Arc::clone(stale)); // for who asked before; it stays as it was
        }
        let newer = Newer { head: not_modified, birth: self.writer.birth(), exchange };
        let freshened =
            fetcher.freshen((&self.request.head, &self.request.facts), stale, old, &newer);
        HeadOutcome::Validated(freshened.unwrap_or_else(|| Arc::clone(stale)))
    }

    fn may_confirm(&self, stale: &Stored) -> bool {
        self.fetcher.may_confirm(stale, self.writer.birth())
    }

    /// What is stored once its content is complete.
    pub(super) fn draft(&self, status: StatusCode, accepted: Storable) -> NewEntry {
        self.fetcher.draft(&self.request.head, self.writer.birth(), status, accepted)
    }

    /// Remembers that nobody needs to wait for a response of this URL, for a while.
    fn remember_uncacheable(&self, response: &Response<OriginBody>, reason: Uncacheable) {
        let fetcher = &self.fetcher;
        if is_failure(response.status()) {
            return;
        }
        let key = &self.request.head.key;
        let tags = tags::of(
            response.headers(),
            key,
            &self.request.head.policy.tags,
            &fetcher.invalidation,
        )
        .unwrap_or_else(|_too_many| vec![fetcher.invalidation.ids().host(key.host())]);
        self.remember(reason, self.writer.birth().provenance(tags));
    }

    /// The same with its place in the order of purges.
    pub(super) fn remember(&self, reason: Uncacheable, provenance: Provenance) {
        let fetcher = &self.fetcher;
        let lasts = self.request.head.policy.cache.uncacheable_for;
        let is_one_clients_own = self.request.facts.has_authorization;
        let is_of_a_part = self.request.range.is_some();
        if is_one_clients_own || is_of_a_part || lasts.is_zero() {
            return;
        }
        let draft = NewEntry {
            key: self.request.head.key.clone(),
            variant: None,
            provenance,
            content: Content::Uncacheable { reason, until: fetcher.clock.now().plus(lasts) },
        };
        match fetcher.store.begin().commit(draft) {
            Ok(marker) => fetcher.remove_if_purged(&marker),
            Err(error) => tracing::debug!(%error, "marker not stored"),
        }
    }
}

/// The failures that a stale response may stand in for (RFC 5861 §4).
const fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// An error page that is nobody's own goes to all who wait: a failing origin is not asked once for each of them.
fn is_shareable_failure(status: StatusCode, reason: Uncacheable) -> bool {
    is_failure(status) && matches!(reason, Uncacheable::Status | Uncacheable::NoFreshness)
}
