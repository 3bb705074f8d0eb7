//! From the head of a response to the end of its content: to readers at their own pace, and into
//! the store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::flight::{HeadOutcome, Pushed, SharedHead};
use super::freshen::may_confirm;
use super::marker;
use super::parts::ArrivedPart;
use super::storable::Storable;
use super::task::FetchTask;
use crate::compression::form::ContentForm;
use crate::field::hop_by_hop;
use crate::freshness::{ResponseDirectives, Uncacheable};
use crate::invalidation::Verdict;
use crate::origins::{OriginBody, OriginError};
use crate::store::fields::unique_number;
use crate::store::{Content, EntryWriter, NewEntry, Removal, Stored};

/// Publishes the head and transfers the content to readers and, unless `not_stored` gives a reason,
/// into the store. A response that is not stored is not shared with later requests either.
pub(super) async fn transfer(
    mut task: FetchTask,
    response: Response<OriginBody>,
    storable: Storable,
    not_stored: Option<Uncacheable>,
) {
    let (mut parts, body) = response.into_parts();
    if storable.strips_cookies {
        parts.headers.remove(SET_COOKIE);
    }
    let policy = &task.request.head.policy;
    let mut head = SharedHead {
        key: task.request.head.key.clone(),
        status: parts.status,
        fields: policy.public(&storable.fields),
        variant: storable.variant.clone(),
        provenance: task.provenance(storable.tags.ids.iter().copied()),
        length: body.length(),
        not_stored,
        freshness: not_stored.is_none().then_some(storable.freshness),
        base: None,
        source: None,
        personal: policy.public(&personal_fields(&parts.headers)),
    };
    let mut splice = Splice::default();
    let mut base = None;
    if let Some(part) = &storable.part {
        splice = Splice::of(part, task.request.range.is_none());
        base = part.joined.as_ref().map(|joined| Arc::clone(&joined.base));
        describe_part(&task, &mut head, part);
        head.base = base.clone();
    }
    let is_compressible = ContentForm::of(&storable.fields) == ContentForm::Compressible;
    let mut entry = None;
    if let Some(reason) = not_stored {
        head.source = is_compressible.then(unique_number);
        task.fetcher.metrics.uncacheable(reason);
        task.leave();
        task.writer.stop_retaining();
        task.writer.publish_head(HeadOutcome::Shared(Arc::new(head)));
    } else {
        let draft = storable.into_entry(&task.request.head, task.birth(), parts.status);
        if let Content::Response(response) = &draft.content {
            head.source = is_compressible.then(|| response.fields.number());
        }
        task.writer.publish_head(HeadOutcome::Shared(Arc::new(head)));
        entry = Some(PendingEntry { writer: task.fetcher.store.begin(), draft, base });
    }
    Transfer { task, entry, splice }.run(body).await;
}

/// Transfers an error page to every request that waits for it. Later requests ask the origin again.
pub(super) async fn transfer_error(
    mut task: FetchTask,
    response: Response<OriginBody>,
    head: SharedHead,
) {
    task.leave();
    task.writer.stop_retaining();
    task.writer.publish_head(HeadOutcome::Shared(Arc::new(head)));
    Transfer { task, entry: None, splice: Splice::default() }.run(response.into_body()).await;
}

/// Content on its way to readers and into the store.
struct Transfer {
    task: FetchTask,
    /// `None` once it is stored, or known not to be.
    entry: Option<PendingEntry>,
    splice: Splice,
}

/// An entry of the store whose content is incomplete.
struct PendingEntry {
    writer: Box<dyn EntryWriter>,
    draft: NewEntry,
    /// The stored part whose bytes are in it, too.
    base: Option<Arc<Stored>>,
}

/// Stored bytes before and after those that arrive, for the store.
#[derive(Default)]
struct Splice {
    before: Vec<Bytes>,
    after: Vec<Bytes>,
    /// Set where readers want the whole, and so get these bytes, too.
    is_sent: bool,
}

impl Splice {
    fn of(part: &ArrivedPart, is_sent: bool) -> Self {
        let (before, after) = part.surroundings();
        Self { before, after, is_sent }
    }

    /// Returns the range of all content that readers get when `received` bytes have arrived.
    fn sent(&self, received: u64) -> Range<u64> {
        let length = |pieces: &[Bytes]| pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let before = length(&self.before);
        if self.is_sent {
            0..before + received + length(&self.after)
        } else {
            before..before + received
        }
    }
}

impl Transfer {
    /// Transfers the content. It is stored before its last byte is sent: a client that has seen the
    /// end will hit.
    async fn run(mut self, mut body: OriginBody) {
        let length = body.length();
        let mut received = 0;
        let mut trailers = None;
        for piece in self.splice.before.clone() {
            self.append(&piece);
            if self.splice.is_sent && self.send_to_readers(piece).await.is_err() {
                return self.task.abandon();
            }
        }
        if length == Some(0) {
            self.store(0);
        }
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = self.task.writer.wait_until_unread(), if self.entry.is_none() => {
                    return self.task.abandon();
                }
            };
            let Some(frame) = frame else { break };
            let data = match frame.map(http_body::Frame::into_data) {
                // A copy: not a slice of the connection's buffer.
                Ok(Ok(data)) => Bytes::copy_from_slice(&data),
                Ok(Err(frame)) => {
                    trailers = frame.into_trailers().ok();
                    continue;
                }
                Err(error) => return self.task.fail(error),
            };
            received += data.len() as u64;
            self.append(&data);
            if length == Some(received) {
                for piece in self.splice.after.clone() {
                    self.append(&piece);
                }
                self.store(received);
            }
            if self.send_to_readers(data).await.is_err() {
                return self.task.abandon();
            }
        }
        self.store(received);
        let Splice { after, is_sent, .. } = std::mem::take(&mut self.splice);
        for piece in after.into_iter().filter(|_| is_sent) {
            if self.send_to_readers(piece).await.is_err() {
                return self.task.abandon();
            }
        }
        self.task.complete(trailers);
    }

    /// Gives a piece to the readers. Content that the flight no longer retains for later readers is
    /// not stored either, and waits for the slowest reader. Fails when there are no readers.
    async fn send_to_readers(&mut self, piece: Bytes) -> Result<(), OriginError> {
        let writer = &self.task.writer;
        if writer.is_unread_for_long() {
            return Err(OriginError::Abandoned);
        }
        if writer.push(piece) == Pushed::Retained {
            return Ok(());
        }
        self.entry = None;
        writer.wait_for_readers().await
    }

    /// Adds a piece to the pending entry. One that grows too large is dropped, and its content is
    /// no longer retained for later readers.
    fn append(&mut self, piece: &Bytes) {
        let Some(entry) = &mut self.entry else { return };
        if entry.writer.append(piece.clone()).is_ok() {
            return;
        }
        if let Some(entry) = self.entry.take() {
            self.task.fetcher.metrics.uncacheable(Uncacheable::TooLarge);
            self.task.writer.stop_retaining();
            marker::store(&self.task, Uncacheable::TooLarge, entry.draft.provenance);
        }
    }

    /// Stores the pending entry and sends the readers on to it. A response that a purge has
    /// overtaken does not take the place of one that was fetched since.
    fn store(&mut self, received: u64) {
        let Some(PendingEntry { writer, draft, base }) = self.entry.take() else { return };
        let FetchTask { fetcher, .. } = &self.task;
        let may_join =
            || base.as_ref().is_none_or(|base| may_confirm(fetcher, base, self.task.birth()));
        let may_store = fetcher.invalidation.may_store(&draft.provenance, &draft.key);
        if !may_store || !may_join() || self.is_outdated(&draft) {
            fetcher.metrics.uncacheable(Uncacheable::PurgedInFlight);
            return;
        }
        match writer.commit(draft) {
            Ok(stored) => {
                let sent = self.splice.sent(received);
                let body = stored.response().map(|response| response.body.clone());
                if let Some(body) = body.filter(|body| body.length() >= sent.end) {
                    self.task.writer.stored(body, sent);
                }
                self.displace_stale(&stored);
                fetcher.remove_if_purged(&stored);
                if !may_join() {
                    fetcher.store.remove(&stored, Removal::Purged);
                }
            }
            Err(error) => {
                fetcher.metrics.uncacheable(Uncacheable::StorageFull);
                tracing::debug!(%error, "response not stored");
            }
        }
    }

    /// Removes the stale response that this one was fetched for, where it varies on other fields:
    /// it would be found again once this one is evicted.
    fn displace_stale(&self, stored: &Stored) {
        if let Some(held) = &self.task.request.stale
            && held.stored().variant != stored.variant
        {
            self.task.fetcher.store.remove(held.stored(), Removal::Replaced);
        }
    }

    /// Returns whether a response of a later purge sequence is stored in its place, or the whole
    /// where this one is a part.
    fn is_outdated(&self, draft: &NewEntry) -> bool {
        let fetcher = &self.task.fetcher;
        let is_same_variant = |stored: &Stored| stored.variant.as_deref() == draft.variant.as_ref();
        let is_part = match &draft.content {
            Content::Response(response) => response.part.is_some(),
            Content::Uncacheable { .. } => false,
        };
        let is_whole_there = |stored: &Stored| {
            let verdict = fetcher.invalidation.verdict(&stored.provenance, &draft.key);
            let is_whole = stored.response().is_some_and(|response| response.part.is_none());
            is_part && is_whole && verdict == Verdict::Valid
        };
        fetcher.store.lookup(&draft.key, &is_same_variant).is_some_and(|stored| {
            stored.provenance.born() > draft.provenance.born() || is_whole_there(&stored)
        })
    }
}

/// Describes the part to a client that asked for it; a client that asked for the whole gets the
/// whole, put together.
fn describe_part(task: &FetchTask, head: &mut SharedHead, part: &ArrivedPart) {
    if task.request.range.is_none() {
        head.status = StatusCode::OK;
        head.length = part.range.complete();
    } else if let Ok(place) = HeaderValue::try_from(part.range.to_string()) {
        head.fields.insert(CONTENT_RANGE, place);
    }
}

/// Returns the fields that a response shows to the leader only.
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
