//! From the head of a response to the end of its content: to readers at their own pace, and into the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::flight::{Head, Landing, Pushed};
use super::landing::{Accepted, Fetch};
use super::tags::CACHE_GROUP_INVALIDATION;
use super::{FetchRules, Fetcher};
use crate::freshness::stored_fields::stored_fields;
use crate::freshness::{Exchange, Uncacheable};
use crate::origin::{OriginBody, OriginError};
use crate::store::{Draft, EntryWriter, Removal, Stored};

/// What is on its way into the store.
struct Cargo {
    writer: Box<dyn EntryWriter>,
    draft: Draft,
}

impl Fetch {
    /// Carries content to readers and into the store.
    pub(super) async fn carry(self, response: Response<OriginBody>, accepted: Accepted) {
        let (parts, body) = response.into_parts();
        let freshness = accepted.freshness;
        let head = Head {
            status: parts.status,
            fields: self.fetcher.rules.public(&accepted.fields),
            variant: accepted.variant.clone(),
            provenance: self.pilot.birth().provenance(accepted.tags.iter().copied()),
            length: body.length(),
            not_stored: None,
            freshness: Some(freshness),
        };
        self.pilot.land(Landing::Shared(Arc::new(head)));
        let draft = self.draft(parts.status, accepted);
        let cargo = Cargo { writer: self.fetcher.store.begin(), draft };
        self.stream(body, Some(cargo)).await;
    }

    /// Carries an error page to everyone who waits for it, and nowhere else: those who come later ask again.
    pub(super) async fn carry_uncached(
        mut self,
        response: Response<OriginBody>,
        exchange: Exchange,
        reason: Uncacheable,
    ) {
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let head = Head {
            status: parts.status,
            fields: self
                .fetcher
                .rules
                .public(&stored_fields(&parts.headers, exchange.response_time)),
            variant: None,
            provenance: self.pilot.birth().provenance([]),
            length: body.length(),
            not_stored: Some(reason),
            freshness: None,
        };
        self.on_air.leave();
        self.pilot.pass();
        self.pilot.land(Landing::Shared(Arc::new(head)));
        self.stream(body, None).await;
    }

    /// Carries the content. What is complete is stored before its last byte is shown: who has seen the end will hit.
    async fn stream(self, mut body: OriginBody, mut cargo: Option<Cargo>) {
        let length = body.length();
        let mut received = 0;
        let mut trailers = None;
        if length == Some(0) {
            self.unload(cargo.take());
        }
        while let Some(frame) = body.frame().await {
            let data = match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => Bytes::copy_from_slice(&data), // not a slice of the connection's buffer
                Ok(Err(frame)) => {
                    trailers = frame.into_trailers().ok();
                    continue;
                }
                Err(error) => return self.fail(error),
            };
            received += data.len() as u64;
            cargo = self.load(cargo, &data);
            if length == Some(received) {
                self.unload(cargo.take());
            }
            if self.pilot.push(data) == Pushed::Passing {
                cargo = None;
                if let Err(error) = self.room().await {
                    return self.fail(error);
                }
            }
        }
        self.unload(cargo.take());
        let Self { on_air, pilot, .. } = self;
        drop(on_air);
        pilot.complete(trailers);
    }

    /// Adds a piece to what will be stored. What grows too large is let go, and no longer retained for late readers.
    fn load(&self, cargo: Option<Cargo>, data: &Bytes) -> Option<Cargo> {
        let mut cargo = cargo?;
        if cargo.writer.append(data.clone()).is_ok() {
            return Some(cargo);
        }
        self.fetcher.metrics.uncacheable(Uncacheable::TooLarge);
        self.pilot.pass();
        None
    }

    fn unload(&self, cargo: Option<Cargo>) {
        let Some(Cargo { writer, draft }) = cargo else { return };
        // What a purge has overtaken must not displace what was fetched since.
        let may_store = self.fetcher.invalidation.may_store(&draft.provenance, &draft.key);
        if !may_store || self.is_outdated(&draft) {
            self.fetcher.metrics.uncacheable(Uncacheable::PurgedInFlight);
            return;
        }
        match writer.commit(draft) {
            Ok(stored) => {
                self.fetcher.withdraw_if_purged(&stored);
            }
            Err(error) => {
                self.fetcher.metrics.uncacheable(Uncacheable::StorageFull);
                tracing::debug!(%error, "response not stored");
            }
        }
    }

    /// Returns whether a response of a later purge sequence is stored in its place: this one took long, or was soft-purged.
    fn is_outdated(&self, draft: &Draft) -> bool {
        let is_same_variant = |stored: &Stored| stored.variant.as_deref() == draft.variant.as_ref();
        let stored = self.fetcher.store.lookup(&draft.key, &is_same_variant);
        stored.is_some_and(|stored| stored.provenance.born() > draft.provenance.born())
    }

    /// Waits for the slowest reader; one that takes nothing for too long is cut off, as often as it happens.
    async fn room(&self) -> Result<(), OriginError> {
        loop {
            let position = self.pilot.position();
            let patience = self.fetcher.rules.send_timeout;
            let patience = if self.pilot.has_company() { patience.min(LAGGARD) } else { patience };
            match timeout(patience, self.pilot.room()).await {
                Ok(result) => return result,
                Err(_elapsed) if self.pilot.position() > position => {} // slow, but not stuck
                Err(_elapsed) => {
                    self.pilot.cut_slowest();
                    self.fetcher.metrics.cut_readers.add(1);
                }
            }
        }
    }
}

/// How long one reader of a response that is not stored may hold up the others.
const LAGGARD: Duration = Duration::from_secs(2);

impl Fetcher {
    /// A purge that arrived while this was fetched wins. Until then its verdict kept it from being used.
    pub(super) fn withdraw_if_purged(&self, stored: &Arc<Stored>) {
        if !self.invalidation.may_keep(&stored.provenance, &stored.key) {
            self.store.remove(stored, Removal::Purged);
            self.metrics.uncacheable(Uncacheable::PurgedInFlight);
        }
    }
}

impl FetchRules {
    /// The fields of a response as clients see them.
    pub fn public(&self, fields: &HeaderMap) -> HeaderMap {
        let mut public = fields.clone();
        for name in fields.keys().filter(|name| self.is_hidden(name)) {
            public.remove(name);
        }
        public
    }

    /// Returns whether a field is meant for us.
    pub(super) fn is_hidden(&self, name: &HeaderName) -> bool {
        let is_ours = matches!(
            name.as_str(),
            "surrogate-control" | "cdn-cache-control" | CACHE_GROUP_INVALIDATION
        );
        self.tags.strip && (is_ours || self.tags.read.contains(name))
    }
}
