//! The pilot's side of a flight: sends the request, judges the head, carries the content to readers and store.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::errand::Errand;
use super::flight::{Head, Landing, Pilot, Pushed};
use super::flights::Route;
use super::{Fetcher, tags};
use crate::freshness::stored_fields::{freshen, stored_fields};
use crate::freshness::validation::{Conditions, conditions, selects};
use crate::freshness::{Exchange, Freshness, Uncacheable, judge};
use crate::invalidation::{TagId, Verdict};
use crate::key::vary::Variant;
use crate::origin::{OriginBody, OriginError};
use crate::store::Response as StoredResponse;
use crate::store::{Body, Content, Draft, EntryWriter, Fields, Removal, Show, Stored};

/// What is stored and shared, decided by the head.
struct Accepted {
    fields: HeaderMap,
    freshness: Freshness,
    variant: Option<Variant>,
    tags: Vec<TagId>,
}

impl Fetcher {
    /// Flies: from the request to the end of the content. Detached from every client.
    pub(super) async fn fly(
        self: Arc<Self>,
        pilot: Pilot,
        errand: Arc<Errand>,
        route: Option<Route>,
        alone: oneshot::Sender<Response<OriginBody>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let grounded = Grounded { fetcher: &self, route, flight: Arc::clone(pilot.flight()) };
        let stale = errand.stale.as_ref().filter(|stale| self.is_validatable(stale, &errand));
        match self.exchange(&errand, stale).await {
            Err(error) => {
                self.metrics.failed.add(1);
                self.note_origin(false);
                tracing::debug!(key = %errand.head.key, %error, "fetch failed");
                drop(grounded);
                pilot.fail(error);
            }
            Ok((response, exchange)) => {
                self.land(pilot, &errand, response, exchange, alone, grounded).await
            }
        }
    }

    /// Sends the request; one that was answered by a 304 for another response is repeated without conditions.
    async fn exchange(
        &self,
        errand: &Errand,
        stale: Option<&Arc<Stored>>,
    ) -> Result<(Response<OriginBody>, Exchange), OriginError> {
        let stored = stale
            .and_then(|stale| stale.response())
            .map(|response| response.fields.to_map(Show::All, 0));
        if let Some(stored) = stored {
            let (response, exchange) = self.send(errand, conditions(&stored)).await?;
            let is_not_modified = response.status() == StatusCode::NOT_MODIFIED;
            if !is_not_modified || selects(&stored, response.headers()) {
                return Ok((response, exchange));
            }
        }
        self.send(errand, Conditions::default()).await
    }

    async fn send(
        &self,
        errand: &Errand,
        conditions: Conditions,
    ) -> Result<(Response<OriginBody>, Exchange), OriginError> {
        let request_time = self.clock.now();
        let response = self.origin.send(errand.request(conditions, &self.rules.via)).await?;
        Ok((response, Exchange { request_time, response_time: self.clock.now() }))
    }

    async fn land(
        &self,
        pilot: Pilot,
        errand: &Errand,
        response: Response<OriginBody>,
        exchange: Exchange,
        alone: oneshot::Sender<Response<OriginBody>>,
        grounded: Grounded<'_>,
    ) {
        let status = response.status();
        self.note_origin(!is_failure(status));
        if let Some(stale) = errand.stale.as_ref() {
            if status == StatusCode::NOT_MODIFIED {
                let landing = self.validated(&pilot, errand, stale, response.headers(), exchange);
                drop(grounded);
                return self.end(pilot, landing);
            }
            if is_failure(status) && self.may_stand_in(stale, errand) {
                drop(grounded);
                return self.end(pilot, Landing::StandIn(Arc::clone(stale)));
            }
        }
        match self.accept(errand, &response, exchange) {
            Ok(accepted) => self.carry(pilot, errand, response, accepted, grounded).await,
            Err(reason) => {
                self.metrics.uncacheable(reason);
                if is_shareable_failure(status, reason) {
                    return self.carry_uncached(pilot, response, exchange, reason, grounded).await;
                }
                self.remember_uncacheable(&pilot, errand, &response, reason);
                drop(grounded);
                pilot.land(Landing::Alone(reason));
                if alone.send(response).is_err() {
                    tracing::debug!(key = %errand.head.key, "nobody waits for an uncacheable response");
                }
                pilot.complete(None);
            }
        }
    }

    fn end(&self, pilot: Pilot, landing: Landing) {
        pilot.land(landing);
        pilot.complete(None);
    }

    /// Decides whether the response is stored (RFC 9111 §3), and what belongs to it.
    fn accept(
        &self,
        errand: &Errand,
        response: &Response<OriginBody>,
        exchange: Exchange,
    ) -> Result<Accepted, Uncacheable> {
        let freshness = judge(
            &self.rules.policy,
            &errand.facts,
            response.status(),
            response.headers(),
            exchange,
        )?;
        let fields = stored_fields(response.headers(), exchange.response_time);
        let accepted = self.belongings(errand, fields, freshness)?;
        match response.body().length() {
            Some(length) if length > self.rules.object_bytes_max => Err(Uncacheable::TooLarge),
            _ => Ok(accepted),
        }
    }

    fn belongings(
        &self,
        errand: &Errand,
        fields: HeaderMap,
        freshness: Freshness,
    ) -> Result<Accepted, Uncacheable> {
        let tags = tags::of(&fields, errand.head.key.host(), &self.rules.tags, &self.invalidation)?;
        let variant = Variant::of(&fields, &errand.head.fields, self.rules.selecting)
            .map_err(|_nothing_matches| Uncacheable::VaryStar)?;
        Ok(Accepted { fields, freshness, variant, tags })
    }

    /// Freshens the stored response by a 304 (RFC 9111 §4.3.4), unless it was purged since the request was sent.
    fn validated(
        &self,
        pilot: &Pilot,
        errand: &Errand,
        stale: &Arc<Stored>,
        not_modified: &HeaderMap,
        exchange: Exchange,
    ) -> Landing {
        self.metrics.validated.add(1);
        let Some(old) = stale.response() else { return Landing::Failed(OriginError::Abandoned) };
        let fields =
            freshen(&old.fields.to_map(Show::All, 0), not_modified, exchange.response_time);
        let accepted = judge(&self.rules.policy, &errand.facts, old.status, &fields, exchange)
            .and_then(|freshness| self.belongings(errand, fields, freshness));
        match accepted {
            Ok(accepted) => {
                let draft = self.draft(pilot, errand, old.status, accepted);
                match self.store.freshen(stale, draft) {
                    Ok(stored) => {
                        self.withdraw_if_purged(&stored);
                        Landing::Validated(stored)
                    }
                    Err(_not_stored) => Landing::Validated(Arc::clone(stale)),
                }
            }
            Err(reason) => {
                self.metrics.uncacheable(reason);
                self.store.remove(stale, Removal::Replaced);
                Landing::Validated(Arc::clone(stale))
            }
        }
    }

    /// Carries content to readers and into the store.
    async fn carry(
        &self,
        pilot: Pilot,
        errand: &Errand,
        response: Response<OriginBody>,
        accepted: Accepted,
        grounded: Grounded<'_>,
    ) {
        let (parts, body) = response.into_parts();
        let length = body.length();
        let head = Head {
            status: parts.status,
            fields: self.public(&accepted.fields),
            variant: accepted.variant.clone(),
            provenance: pilot.birth().provenance(accepted.tags.iter().copied()),
            length,
            not_stored: None,
            age: accepted.freshness.age(accepted.freshness.received()).as_secs(),
        };
        pilot.land(Landing::Shared(Arc::new(head)));
        let cargo = Cargo {
            writer: self.store.begin(),
            draft: self.draft(&pilot, errand, parts.status, accepted),
        };
        self.stream(pilot, body, length, Some(cargo), grounded).await;
    }

    /// Carries an error page to everyone who waits for it, and nowhere else.
    async fn carry_uncached(
        &self,
        pilot: Pilot,
        response: Response<OriginBody>,
        exchange: Exchange,
        reason: Uncacheable,
        grounded: Grounded<'_>,
    ) {
        let (parts, body) = response.into_parts();
        let length = body.length();
        let head = Head {
            status: parts.status,
            fields: self.public(&stored_fields(&parts.headers, exchange.response_time)),
            variant: None,
            provenance: pilot.birth().provenance([]),
            length,
            not_stored: Some(reason),
            age: 0,
        };
        drop(grounded); // those who come now ask again
        pilot.pass();
        pilot.land(Landing::Shared(Arc::new(head)));
        let nowhere = Grounded { fetcher: self, route: None, flight: Arc::clone(pilot.flight()) };
        self.stream(pilot, body, length, None, nowhere).await;
    }

    /// Carries the content. What is complete is stored before its last byte is shown: who has seen the end will hit.
    async fn stream(
        &self,
        pilot: Pilot,
        mut body: OriginBody,
        length: Option<u64>,
        mut cargo: Option<Cargo>,
        grounded: Grounded<'_>,
    ) {
        let mut received = 0;
        let mut trailers = None;
        if length == Some(0) {
            self.unload(&pilot, cargo.take());
        }
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.metrics.failed.add(1);
                    drop(grounded);
                    return pilot.fail(error);
                }
            };
            let data = match frame.into_data() {
                Ok(data) => Bytes::copy_from_slice(&data), // not a slice of the connection's buffer
                Err(frame) => {
                    trailers = frame.into_trailers().ok();
                    continue;
                }
            };
            received += data.len() as u64;
            cargo = self.load(&pilot, cargo, &data);
            if length == Some(received) {
                self.unload(&pilot, cargo.take());
            }
            if pilot.push(data) == Pushed::Passing {
                cargo = None;
                if let Err(error) = self.room(&pilot).await {
                    drop(grounded);
                    return pilot.fail(error);
                }
            }
        }
        self.unload(&pilot, cargo.take());
        drop(grounded);
        pilot.complete(trailers);
    }

    /// Adds a piece to what will be stored. What grows too large is let go, and no longer retained for late readers.
    fn load(&self, pilot: &Pilot, cargo: Option<Cargo>, data: &Bytes) -> Option<Cargo> {
        let mut cargo = cargo?;
        if cargo.writer.append(data.clone()).is_ok() {
            return Some(cargo);
        }
        self.metrics.uncacheable(Uncacheable::TooLarge);
        pilot.pass();
        None
    }

    fn unload(&self, pilot: &Pilot, cargo: Option<Cargo>) {
        let Some(Cargo { writer, draft }) = cargo else { return };
        match writer.commit(draft) {
            Ok(stored) => {
                pilot.discharge();
                self.withdraw_if_purged(&stored);
            }
            Err(error) => {
                self.metrics.uncacheable(Uncacheable::StorageFull);
                tracing::debug!(%error, "response not stored");
            }
        }
    }

    /// A purge that arrived while this was fetched wins. Until then its verdict kept it from being used.
    fn withdraw_if_purged(&self, stored: &Arc<Stored>) {
        if !self.invalidation.may_keep(&stored.provenance, &stored.key) {
            self.store.remove(stored, Removal::Purged);
            self.metrics.uncacheable(Uncacheable::PurgedInFlight);
        }
    }

    async fn room(&self, pilot: &Pilot) -> Result<(), OriginError> {
        match timeout(self.rules.send_timeout, pilot.room()).await {
            Ok(result) => result,
            Err(_elapsed) => {
                pilot.cut_slowest();
                self.metrics.cut_readers.add(1);
                pilot.room().await
            }
        }
    }

    fn draft(
        &self,
        pilot: &Pilot,
        errand: &Errand,
        status: StatusCode,
        accepted: Accepted,
    ) -> Draft {
        Draft {
            key: errand.head.key.clone(),
            variant: accepted.variant,
            provenance: pilot.birth().provenance(accepted.tags),
            content: Content::Response(StoredResponse {
                status,
                fields: Fields::copy_of(&accepted.fields, &|name| self.is_hidden(name)),
                freshness: accepted.freshness,
                body: Body::Empty,
            }),
        }
    }

    /// Remembers that nobody needs to wait for a response of this URL, for a while.
    fn remember_uncacheable(
        &self,
        pilot: &Pilot,
        errand: &Errand,
        response: &Response<OriginBody>,
        reason: Uncacheable,
    ) {
        let lasts = self.rules.cache.uncacheable_for;
        if is_failure(response.status()) || reason == Uncacheable::Authorization || lasts.is_zero()
        {
            return;
        }
        let host = errand.head.key.host();
        let tags = tags::of(response.headers(), host, &self.rules.tags, &self.invalidation)
            .unwrap_or_else(|_too_many| vec![self.invalidation.ids().host(host)]);
        let draft = Draft {
            key: errand.head.key.clone(),
            variant: None,
            provenance: pilot.birth().provenance(tags),
            content: Content::Uncacheable { reason, until: self.clock.now().plus(lasts) },
        };
        match self.store.begin().commit(draft) {
            Ok(marker) => self.withdraw_if_purged(&marker),
            Err(error) => tracing::debug!(%error, "marker not stored"),
        }
    }

    /// The fields as clients see them.
    pub fn public(&self, fields: &HeaderMap) -> HeaderMap {
        let mut public = fields.clone();
        if self.rules.tags.strip {
            let hidden: Vec<_> =
                fields.keys().filter(|name| self.is_hidden(name)).cloned().collect();
            hidden.iter().for_each(|name| drop(public.remove(name)));
        }
        public
    }

    /// Fields that are meant for us.
    fn is_hidden(&self, name: &HeaderName) -> bool {
        self.rules.tags.strip
            && (self.rules.tags.read.contains(name)
                || matches!(
                    name.as_str(),
                    "surrogate-control" | "cdn-cache-control" | tags::CACHE_GROUP_INVALIDATION
                ))
    }

    /// Returns whether a stale response may be asked about: it was not hard-purged meanwhile.
    fn is_validatable(&self, stale: &Stored, errand: &Errand) -> bool {
        self.invalidation.verdict(&stale.provenance, &errand.head.key) != Verdict::Purged
    }
}

/// What is on its way into the store.
struct Cargo {
    writer: Box<dyn EntryWriter>,
    draft: Draft,
}

/// Takes the flight out of the air when dropped: before its readers see the end, and on every way out.
struct Grounded<'a> {
    fetcher: &'a Fetcher,
    route: Option<Route>,
    flight: Arc<super::flight::Flight>,
}

impl Drop for Grounded<'_> {
    fn drop(&mut self) {
        if let Some(route) = &self.route {
            self.fetcher.flights.remove(route, &self.flight);
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
