//! From the head of a response to the end of its content: to readers at their own pace, and into the store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::Fetcher;
use super::exchange::{Fetch, Storable};
use super::flight::{Head, HeadOutcome, Pushed};
use super::parts::{Arrived, Margins};
use crate::field::hop_by_hop;
use crate::freshness::stored_fields::stored_fields;
use crate::freshness::{Exchange, ResponseDirectives, Uncacheable};
use crate::invalidation::Verdict;
use crate::origins::{OriginBody, OriginError};
use crate::store::{Content, EntryWriter, NewEntry, Removal, Stored};

/// What is on its way into the store.
struct PendingEntry {
    writer: Box<dyn EntryWriter>,
    draft: NewEntry,
    /// The stored part whose bytes are in it, too.
    base: Option<Arc<Stored>>,
}

/// Stored bytes around those that arrive: for the store, and for readers who want the whole.
#[derive(Default)]
struct Spliced {
    margins: Margins,
    is_shown: bool,
}

impl Spliced {
    /// The part of all content that readers are shown, where so much has arrived.
    fn shown(&self, received: u64) -> Range<u64> {
        let length = |pieces: &[Bytes]| pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let before = length(&self.margins.before);
        if self.is_shown {
            0..before + received + length(&self.margins.behind)
        } else {
            before..before + received
        }
    }
}

impl Fetch {
    /// Carries content to readers and into the store; into the store not, where there is a reason: those who come later ask
    /// again.
    pub(super) async fn carry(
        mut self,
        response: Response<OriginBody>,
        accepted: Storable,
        not_stored: Option<Uncacheable>,
    ) {
        let (parts, body) = response.into_parts();
        let freshness = accepted.freshness;
        let mut head = Head {
            status: parts.status,
            fields: self.request.head.policy.public(&accepted.fields),
            variant: accepted.variant.clone(),
            provenance: self.writer.birth().provenance(accepted.tags.iter().copied()),
            length: body.length(),
            not_stored,
            freshness: not_stored.is_none().then_some(freshness),
            base: None,
            personal: self.request.head.policy.public(&personal_fields(&parts.headers)),
        };
        let mut spliced = Spliced::default();
        let mut base = None;
        if let Some(arrived) = &accepted.arrived {
            spliced.margins = arrived.margins();
            spliced.is_shown = self.request.range.is_none();
            base = arrived.joined.as_ref().map(|(base, _)| Arc::clone(base));
            self.describe_part(&mut head, arrived);
            head.base = base.clone();
        }
        if let Some(reason) = not_stored {
            self.fetcher.metrics.uncacheable(reason);
            self.guard.leave();
            self.writer.pass();
            self.writer.publish_head(HeadOutcome::Shared(Arc::new(head)));
            return self.stream(body, None, spliced).await;
        }
        self.writer.publish_head(HeadOutcome::Shared(Arc::new(head)));
        let draft = self.draft(parts.status, accepted);
        let entry = PendingEntry { writer: self.fetcher.store.begin(), draft, base };
        self.stream(body, Some(entry), spliced).await;
    }

    /// Who asked for a part is given it; who asked for the whole gets it, put together.
    fn describe_part(&self, head: &mut Head, arrived: &Arrived) {
        if self.request.range.is_none() {
            head.status = StatusCode::OK;
            head.length = arrived.range.complete();
        } else if let Ok(place) = HeaderValue::try_from(arrived.range.to_string()) {
            head.fields.insert(CONTENT_RANGE, place);
        }
    }

    /// Carries an error page to everyone who waits for it, and nowhere else: those who come later ask again.
    pub(super) async fn carry_uncached(
        mut self,
        response: Response<OriginBody>,
        exchange: Exchange,
        reason: Uncacheable,
    ) {
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(CONTENT_LENGTH);
        let head = Head {
            status: parts.status,
            fields: self
                .request
                .head
                .policy
                .public(&stored_fields(&parts.headers, exchange.wall_time)),
            variant: None,
            provenance: self.writer.birth().provenance([]),
            length: body.length(),
            not_stored: Some(reason),
            freshness: None,
            base: None,
            personal: HeaderMap::new(),
        };
        self.guard.leave();
        self.writer.pass();
        self.writer.publish_head(HeadOutcome::Shared(Arc::new(head)));
        self.stream(body, None, Spliced::default()).await;
    }

    /// Carries the content. What is complete is stored before its last byte is shown: who has seen the end will hit.
    async fn stream(self, mut body: OriginBody, mut entry: Option<PendingEntry>, spliced: Spliced) {
        let length = body.length();
        let mut received = 0;
        let mut trailers = None;
        for piece in &spliced.margins.before {
            entry = self.load(entry, piece);
            if spliced.is_shown && self.show(piece.clone(), &mut entry).await.is_err() {
                return self.abandon();
            }
        }
        if length == Some(0) {
            self.unload(entry.take(), spliced.shown(0));
        }
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = self.writer.deserted(), if entry.is_none() => {
                    return self.abandon();
                }
            };
            let Some(frame) = frame else { break };
            let data = match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => Bytes::copy_from_slice(&data), // not a slice of the connection's buffer
                Ok(Err(frame)) => {
                    trailers = frame.into_trailers().ok();
                    continue;
                }
                Err(error) => return self.fail(error),
            };
            received += data.len() as u64;
            entry = self.load(entry, &data);
            if length == Some(received) {
                let behind = &spliced.margins.behind;
                entry = behind.iter().fold(entry, |entry, piece| self.load(entry, piece));
                self.unload(entry.take(), spliced.shown(received));
            }
            if self.show(data, &mut entry).await.is_err() {
                return self.abandon();
            }
        }
        self.unload(entry.take(), spliced.shown(received));
        for piece in spliced.margins.behind.into_iter().filter(|_| spliced.is_shown) {
            if self.show(piece, &mut None).await.is_err() {
                return self.abandon();
            }
        }
        let Self { guard, writer, .. } = self;
        drop(guard);
        writer.complete(trailers);
    }

    /// Gives a piece to the readers; an error: nobody reads any more. What is no longer retained for late ones is not stored either, and waits for the slowest.
    async fn show(
        &self,
        piece: Bytes,
        entry: &mut Option<PendingEntry>,
    ) -> Result<(), OriginError> {
        if self.writer.is_forsaken() {
            return Err(OriginError::Abandoned);
        }
        if self.writer.push(piece) == Pushed::Retained {
            return Ok(());
        }
        *entry = None;
        self.writer.room().await
    }

    /// Adds a piece to what will be stored. What grows too large is let go, and no longer retained for late readers.
    fn load(&self, entry: Option<PendingEntry>, data: &Bytes) -> Option<PendingEntry> {
        let mut entry = entry?;
        if entry.writer.append(data.clone()).is_ok() {
            return Some(entry);
        }
        self.fetcher.metrics.uncacheable(Uncacheable::TooLarge);
        self.writer.pass();
        self.remember(Uncacheable::TooLarge, entry.draft.provenance);
        None
    }

    /// Stores the content, of which readers are shown this part; they go on from the store.
    fn unload(&self, entry: Option<PendingEntry>, shown: Range<u64>) {
        let Some(PendingEntry { writer, draft, base }) = entry else { return };
        // What a purge has overtaken must not displace what was fetched since.
        let may_join = || {
            let birth = self.writer.birth();
            base.as_ref().is_none_or(|base| self.fetcher.may_confirm(base, birth))
        };
        let may_store = self.fetcher.invalidation.may_store(&draft.provenance, &draft.key);
        if !may_store || !may_join() || self.is_outdated(&draft) {
            self.fetcher.metrics.uncacheable(Uncacheable::PurgedInFlight);
            return;
        }
        match writer.commit(draft) {
            Ok(stored) => {
                let body = stored.response().map(|response| response.body.clone());
                if let Some(body) = body.filter(|body| body.length() >= shown.end) {
                    self.writer.stored(body, shown);
                }
                self.displace_stale(&stored);
                self.fetcher.remove_if_purged(&stored);
                if !may_join() {
                    self.fetcher.store.remove(&stored, Removal::Purged);
                }
            }
            Err(error) => {
                self.fetcher.metrics.uncacheable(Uncacheable::StorageFull);
                tracing::debug!(%error, "response not stored");
            }
        }
    }

    /// Takes out the stale response that this one was fetched for, where it varies on other fields: it would come back when this
    /// one is evicted.
    fn displace_stale(&self, stored: &Stored) {
        if let Some(held) = &self.request.stale
            && held.stored().variant != stored.variant
        {
            self.fetcher.store.remove(held.stored(), Removal::Replaced);
        }
    }

    /// Returns whether a response of a later purge sequence is stored in its place: this one took long, or was soft-purged. Nor
    /// does a part take the place of a whole.
    fn is_outdated(&self, draft: &NewEntry) -> bool {
        let is_same_variant = |stored: &Stored| stored.variant.as_deref() == draft.variant.as_ref();
        let stored = self.fetcher.store.lookup(&draft.key, &is_same_variant);
        let is_part = |content: &Content| matches!(content, Content::Response(response) if response.part.is_some());
        let is_whole_there = |stored: &Stored| {
            let verdict = self.fetcher.invalidation.verdict(&stored.provenance, &draft.key);
            let is_whole = stored.response().is_some_and(|response| response.part.is_none());
            is_part(&draft.content) && is_whole && verdict == Verdict::Valid
        };
        stored.is_some_and(|stored| {
            stored.provenance.born() > draft.provenance.born() || is_whole_there(&stored)
        })
    }
}

impl Fetcher {
    /// A purge that arrived while this was fetched wins. Until then its verdict kept it from being used.
    pub(super) fn remove_if_purged(&self, stored: &Arc<Stored>) {
        if !self.invalidation.may_keep(&stored.provenance, &stored.key) {
            self.store.remove(stored, Removal::Purged);
            self.metrics.uncacheable(Uncacheable::PurgedInFlight);
        }
    }
}

/// The fields that a response keeps from everyone but the one who asked for it.
fn personal_fields(received: &HeaderMap) -> HeaderMap {
    let mut personal = HeaderMap::new();
    for name in ResponseDirectives::of(received).qualified_fields() {
        for value in received.get_all(name) {
            personal.append(name, value.clone());
        }
    }
    hop_by_hop::remove(&mut personal);
    personal.remove(CONTENT_LENGTH);
    personal
}
