//! Compressed forms of content: made once for all that want one, while the content arrives or is
//! read from the store, and stored beside the plain form.
//!
//! A compressed form is a flight of its own, whose source is the plain content instead of the
//! origin. It is stored only while the plain form is: with its provenance, so that every purge of
//! one hits both.

mod job;
mod running;
pub(super) mod stored_form;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use parking_lot::Mutex;
use settings::Coding;

use self::job::EncodingJob;
use self::running::{EncodingPermit, EncodingStart, RunningEncodings};
use super::Fetcher;
use super::flight::FlightReader;
use crate::compression::encoder::Encoder;
use crate::compression::metrics::CompressionMetrics;
use crate::origins::OriginError;
use crate::request::RequestHead;
use crate::store::Stored;
use process::timestamp::Timestamp;

/// The compressions of a process.
#[derive(Debug, Default)]
pub struct Encodings {
    running: Arc<RunningEncodings>,
    /// URLs, by the hashes of their keys, whose compression has failed, and when.
    failed: Mutex<Vec<(u64, Coding, Timestamp)>>,
    pub metrics: CompressionMetrics,
}

/// A compressed form that a request wants.
#[derive(Debug)]
pub struct WantedForm<'a> {
    pub request: &'a RequestHead,
    pub coding: Coding,
    pub plain: PlainContent,
    /// Bytes of the plain content, if known.
    pub length: Option<u64>,
}

/// The content that is to be compressed.
#[derive(Clone, Debug)]
pub enum PlainContent {
    /// For one client: nothing is stored.
    Alone,
    /// In a flight; the number is that of its head.
    Arriving(u64),
    Stored(Arc<Stored>),
}

impl PlainContent {
    /// A number that all who want the same content have.
    fn number(&self) -> Option<u64> {
        match self {
            Self::Alone => None,
            Self::Arriving(number) => Some(*number),
            Self::Stored(stored) => stored.response().map(|response| response.fields.number()),
        }
    }
}

impl Encodings {
    /// Returns how many responses are being compressed.
    pub fn running(&self) -> usize {
        self.running.count()
    }

    /// Returns all families of metrics.
    pub(crate) fn families(&self) -> Vec<crate::metrics::family::Family> {
        self.metrics.families(self.running.count())
    }

    fn has_failed(&self, key_hash: u64, coding: Coding, now: Timestamp) -> bool {
        let failed = self.failed.lock();
        let is_it = |(hash, of, at): &(u64, Coding, Timestamp)| {
            *hash == key_hash && *of == coding && now.since(*at) < PLAIN_AFTER_FAILURE
        };
        failed.iter().any(is_it)
    }

    fn may_begin(
        &self,
        key_hash: u64,
        coding: Coding,
        running_max: usize,
        now: Timestamp,
    ) -> Option<EncodingPermit> {
        if self.has_failed(key_hash, coding, now) {
            return None;
        }
        let permit = self.running.permit(running_max);
        if permit.is_none() {
            self.metrics.overloaded.add(1);
        }
        permit
    }

    fn note_failure(&self, key_hash: u64, coding: Coding, now: Timestamp) {
        self.metrics.of(coding).failures.add(1);
        let mut failed = self.failed.lock();
        failed.retain(|(hash, of, _)| (*hash, *of) != (key_hash, coding));
        if failed.len() >= FAILED_MAX {
            failed.remove(0);
        }
        failed.push((key_hash, coding, now));
    }
}

/// Returns a reader of the compressed form, which is being made already or begins to be made of the
/// content that `open` opens. Returns the source where the plain form is to be sent.
pub(super) fn encode<S, B>(
    fetcher: &Arc<Fetcher>,
    wanted: WantedForm<'_>,
    source: S,
    open: impl FnOnce(S) -> B,
) -> Result<FlightReader, S>
where
    B: Body<Error = OriginError> + Send + Unpin + 'static,
    B::Data: Buf + Send,
{
    let WantedForm { request, coding, plain, length } = wanted;
    let Some(rules) = &request.policy.compression else { return Err(source) };
    let number = plain.number().map(|number| (number, coding));
    let encodings = &fetcher.encodings;
    let begin = || {
        let now = fetcher.clock.now();
        let permit = encodings.may_begin(request.key.hash(), coding, rules.max_running, now)?;
        let encoder = match Encoder::new(coding, &rules.levels, length) {
            Ok(encoder) => encoder,
            Err(error) => {
                tracing::warn!(%error, "no compressor");
                encodings.note_failure(request.key.hash(), coding, now);
                return None;
            }
        };
        let (flight, writer) = fetcher.begin(request, None);
        Some((flight, permit, (encoder, writer)))
    };
    match encodings.running.join_or_enter(number, request.policy.cache.max_followers, begin) {
        None => Err(source),
        Some(EncodingStart::Following(reader)) => Ok(reader),
        Some(EncodingStart::Begun((encoder, writer), place)) => {
            let reader = writer.first_reader();
            let job = EncodingJob::new(fetcher, request.clone(), coding, plain, encoder, writer);
            tokio::spawn(job.run(open(source), place));
            Ok(reader)
        }
    }
}

/// URLs that are remembered after their compression has failed.
const FAILED_MAX: usize = 256;
/// The time for which the plain form is sent after a failure.
const PLAIN_AFTER_FAILURE: Duration = Duration::from_mins(10);
