//! `EncodingJob`: one content on its way through a compressor, to readers and into the store.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt as _;
use settings::{Coding, CompressionLevels};
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::Xxh3;

use super::PlainContent;
use super::running::EncodingPlace;
use super::stored_form;
use crate::compression::encoder::Encoder;
use crate::fetch::flight::{FlightWriter, Pushed};
use crate::fetch::{Fetcher, HeldResponse};
use crate::origins::OriginError;
use crate::request::RequestHead;
use crate::store::{EntryWriter, Stored};

pub(super) struct EncodingJob {
    fetcher: Arc<Fetcher>,
    request: RequestHead,
    coding: Coding,
    plain: PlainContent,
    /// The stored plain form, from the beginning on.
    held: Option<Arc<HeldResponse>>,
    /// `None` only while it works in another thread, and after a failure.
    encoder: Option<Encoder>,
    /// Bytes that it has taken in since it has last been flushed.
    unflushed: usize,
    inline_max: usize,
    writer: FlightWriter,
    /// `None` once it is stored, or known not to be.
    entry: Option<Box<dyn EntryWriter>>,
    bytes_out: u64,
    /// Of the plain content.
    hash: Xxh3,
}

impl EncodingJob {
    pub(super) fn new(
        fetcher: &Arc<Fetcher>,
        request: RequestHead,
        coding: Coding,
        plain: PlainContent,
        encoder: Encoder,
        writer: FlightWriter,
    ) -> Self {
        let levels = request.policy.compression.as_ref().map(|rules| rules.levels);
        let held = match &plain {
            PlainContent::Stored(stored) => fetcher.hold(stored),
            PlainContent::Alone | PlainContent::Arriving(_) => None,
        };
        let is_stored = match &plain {
            PlainContent::Alone => false,
            PlainContent::Arriving(_) => true,
            PlainContent::Stored(_) => held.is_some(),
        };
        let entry = is_stored.then(|| fetcher.store.begin());
        if entry.is_none() {
            writer.stop_retaining();
        }
        Self {
            fetcher: Arc::clone(fetcher),
            request,
            coding,
            plain,
            held,
            encoder: Some(encoder),
            unflushed: 0,
            inline_max: levels.map_or(0, |levels| inline_max(coding, levels)),
            writer,
            entry,
            bytes_out: 0,
            hash: Xxh3::new(),
        }
    }

    /// Compresses the content. A failure breaks it off: no reader sees a clean end.
    pub(super) async fn run<B>(mut self, body: B, place: EncodingPlace)
    where
        B: Body<Error = OriginError> + Send + Unpin + 'static,
        B::Data: Buf + Send,
    {
        let result = self.transfer(body).await;
        let metrics = self.fetcher.encodings.metrics.of(self.coding);
        metrics.responses.add(1);
        metrics.bytes_out.add(self.bytes_out);
        drop(place);
        match result {
            Ok(trailers) => self.writer.complete(trailers),
            Err(error) => self.writer.fail(error),
        }
    }

    async fn transfer<B>(&mut self, mut body: B) -> Result<Option<HeaderMap>, OriginError>
    where
        B: Body<Error = OriginError> + Send + Unpin + 'static,
        B::Data: Buf + Send,
    {
        let mut trailers = None;
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = self.writer.wait_until_unread(), if self.entry.is_none() => {
                    return Err(OriginError::Abandoned);
                }
                () = sleep(FLUSH_AFTER), if self.unflushed > 0 => {
                    let piece = self.work(0, Encoder::flush).await?;
                    self.unflushed = 0;
                    self.send(piece).await?;
                    continue;
                }
            };
            let Some(frame) = frame else { break };
            match frame?.into_data() {
                Ok(mut data) => {
                    let content = data.copy_to_bytes(data.remaining());
                    let length = content.len();
                    self.hash.update(&content);
                    let piece = self.work(length, move |encoder| encoder.write(&content)).await?;
                    self.unflushed += length;
                    self.send(piece).await?;
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let end = self.work(0, Encoder::finish).await?;
        self.append(&end);
        self.bytes_out += end.len() as u64;
        self.store(); // before a client sees the end, which then will hit
        self.push(end).await?;
        Ok(trailers)
    }

    /// Has the compressor work: here if it is a little, else in a thread that may be blocked.
    async fn work(
        &mut self,
        taken_in: usize,
        work: impl FnOnce(&mut Encoder) -> io::Result<Bytes> + Send + 'static,
    ) -> Result<Bytes, OriginError> {
        let Some(mut encoder) = self.encoder.take() else { return Err(OriginError::Abandoned) };
        let timed = move || {
            let begun = Instant::now();
            let result = work(&mut encoder);
            (encoder, result, begun.elapsed())
        };
        let worked = if self.unflushed + taken_in <= self.inline_max {
            // The compressor is not used after a panic.
            catch_unwind(AssertUnwindSafe(timed)).map_err(|_panic| io::Error::other(PANICKED))
        } else {
            tokio::task::spawn_blocking(timed).await.map_err(io::Error::from)
        };
        let metrics = self.fetcher.encodings.metrics.of(self.coding);
        metrics.bytes_in.add(taken_in as u64);
        let error = match worked {
            Ok((encoder, Ok(piece), spent)) => {
                metrics.add_time(spent);
                self.encoder = Some(encoder);
                return Ok(piece);
            }
            Ok((_, Err(error), _)) => error,
            Err(panicked) => panicked,
        };
        tracing::warn!(%error, key = %self.request.key, "compression failed");
        let now = self.fetcher.clock.now();
        self.fetcher.encodings.note_failure(self.request.key.hash(), self.coding, now);
        self.entry = None;
        Err(OriginError::Abandoned)
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), OriginError> {
        self.append(&piece);
        self.bytes_out += piece.len() as u64;
        self.push(piece).await
    }

    /// Gives a piece to the readers, as a transfer does.
    async fn push(&mut self, piece: Bytes) -> Result<(), OriginError> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.writer.is_unread_for_long() {
            return Err(OriginError::Abandoned);
        }
        if self.writer.push(piece) == Pushed::Retained {
            return Ok(());
        }
        self.entry = None;
        self.writer.wait_for_readers().await
    }

    fn append(&mut self, piece: &Bytes) {
        if let Some(entry) = &mut self.entry
            && !piece.is_empty()
            && entry.append(piece.clone()).is_err()
        {
            self.entry = None;
            self.writer.stop_retaining();
        }
    }

    /// Stores the compressed form beside the plain one, if that is still there and was not purged.
    fn store(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let fetcher = &self.fetcher;
        let Some(held) = self.held.take().or_else(|| self.stored_meanwhile()) else { return };
        let commit = |draft| entry.commit(draft);
        let made_of = self.hash.digest128();
        let stored =
            stored_form::enter(fetcher, &self.request, (self.coding, made_of), &held, commit);
        if let Some(response) = stored.as_deref().and_then(Stored::response) {
            self.writer.stored(response.body.clone(), 0..self.bytes_out);
        }
    }

    /// Returns the plain form that was stored while it was compressed.
    fn stored_meanwhile(&self) -> Option<Arc<HeldResponse>> {
        let number = self.plain.number()?;
        let is_it = |stored: &&Arc<Stored>| {
            stored.response().is_some_and(|response| response.fields.number() == number)
        };
        let under = self.fetcher.store.by_hash(self.request.key.hash());
        under.iter().find(is_it).and_then(|stored| self.fetcher.hold(stored))
    }
}

/// Returns how many bytes are compressed in the worker's own thread: what takes about 0.5 ms.
const fn inline_max(coding: Coding, levels: CompressionLevels) -> usize {
    let (is_fast, is_slow) = match coding {
        // Measured at level 5: 10 ms for 56 KB.
        Coding::Br => (false, true),
        Coding::Gzip => (levels.gzip <= 6, false),
        Coding::Zstd => (levels.zstd <= 6, levels.zstd > 12),
    };
    match (is_fast, is_slow) {
        (true, _) => 16 << 10,
        (false, false) => 4 << 10,
        (false, true) => 0,
    }
}

const PANICKED: &str = "the compressor panicked";
/// A pause of the source after which everything so far is sent.
const FLUSH_AFTER: Duration = Duration::from_millis(2);
