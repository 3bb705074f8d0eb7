//! The most used responses of a store in memory, handed over to the process that takes over.
//!
//! They are written after the last purge was acknowledged here, without those that it hit, and
//! count in the new process as fetched before its first purge. Purges that came over the log count
//! from the positions that are handed over with them.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use purge_protocol::PurgeMode;
use purge_protocol::log::Position;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::invalidation::{
    Declaration, DeployMark, Gone, HostDeclaration, Invalidation, Mark, RunningFetch, Sequence,
    TagId, Verdict,
};
use crate::key::KeySeed;
use crate::key::no_vary_search::SearchVariance;
use crate::purge::log::PurgeLog;
use crate::store::file::{Cursor, Put as _, decode_page, encode_page};
use crate::store::{Content, NewEntry, Removal, Store, Stored};
use process::clock::Clock;
use process::timestamp::Timestamp;

/// The notes that belong to pages that are handed over.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PageNotes {
    pub count: usize,
    /// Of the pages.
    pub bytes: u64,
    /// The seed of the tags' identities.
    tag_seed: u64,
    /// The time of the process that has written them, in milliseconds.
    now: u64,
    pub(super) positions: Vec<Position>,
    /// Bytes at the beginning of the content that hold what the first purge and fetch have to know:
    /// so many lowest revisions, and what responses have declared.
    #[serde(default)]
    known_bytes: u64,
    #[serde(default)]
    revisions: usize,
    /// The present deployments. They are handed over without pages as well, and so are revisions.
    #[serde(default)]
    deploys: Vec<DeployNote>,
}

/// A present deployment, by names.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct DeployNote {
    host: Option<String>,
    name: String,
    /// In milliseconds, by the clock of the process that has written it.
    at: u64,
    stale_since: u64,
    until: u64,
    is_over: bool,
}

/// Pages that another process has handed over, in memory that both share.
#[derive(Debug)]
pub struct Pages {
    pub notes: PageNotes,
    pub content: OwnedFd,
}

/// Pages on their way into the store.
#[derive(Debug)]
pub struct IncomingPages {
    pages: Pages,
    /// Sent before the first purge of this process: every purge from then on hits the pages.
    fetch: RunningFetch,
    /// Milliseconds by which the clock here is ahead.
    ahead: i64,
}

/// Hands pages over, and takes those that were handed over.
#[derive(Debug)]
pub struct PageExchange {
    pub(super) store: Arc<dyn Store>,
    pub(super) invalidation: Arc<Invalidation>,
    pub(super) purge_log: Arc<PurgeLog>,
    pub(super) clock: Clock,
    pub(super) seed: KeySeed,
    /// Zero: no pages are handed over. `None`: all of them stay in a file.
    pub(super) bytes_max: Option<u64>,
    pub(super) incoming: Mutex<Option<IncomingPages>>,
}

impl Pages {
    pub(super) const fn tag_seed(&self) -> u64 {
        self.notes.tag_seed
    }
}

impl IncomingPages {
    /// Takes the deployments over at once, with what responses have declared and the lowest
    /// revisions: the first purge and the first fetch have to know them.
    pub(super) fn new(pages: Pages, invalidation: &Arc<Invalidation>, clock: &Clock) -> Self {
        let (fetch, now) = (invalidation.begin_fetch(), clock.now());
        let ahead = now.as_millis().cast_signed().saturating_sub(pages.notes.now.cast_signed());
        for note in &pages.notes.deploys {
            let mark = note.mark(ahead, invalidation);
            invalidation.mark(&[Mark::Deploy(&mark)], PurgeMode::Soft, now);
        }
        let incoming = Self { pages, fetch, ahead };
        if let Err(error) = incoming.restore_known(invalidation) {
            tracing::warn!(%error, "what the process before knew of its pages cannot be read");
        }
        incoming
    }

    /// Declarations count as known since the pages were fetched.
    fn restore_known(&self, invalidation: &Invalidation) -> io::Result<()> {
        let damaged = || io::Error::other("it is damaged");
        let Pages { notes, content } = &self.pages;
        let mut file = File::from(content.try_clone()?);
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(notes.known_bytes).read_to_end(&mut bytes)?;
        let mut cursor = Cursor(&bytes);
        for _ in 0..notes.revisions {
            let (id, revision) = cursor.u128().zip(cursor.u64()).ok_or_else(damaged)?;
            invalidation.fence().raise(TagId::from_bits(id), revision);
        }
        let mut declarations = Vec::new();
        while !cursor.is_at_end() {
            let declared = decode_declared(&mut cursor, self.fetch.born());
            declarations.push(declared.ok_or_else(damaged)?);
        }
        invalidation.ids().restore_declarations(&declarations);
        Ok(())
    }
}

fn encode_known(revisions: &[(TagId, u64)], declared: &[HostDeclaration]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, revision) in revisions {
        bytes.put_u128(id.bits());
        bytes.put_u64(*revision);
    }
    for HostDeclaration { host, declaration } in declared {
        for part in [host, &*declaration.variance.to_bytes()] {
            bytes.put_limited(part);
        }
    }
    bytes
}

fn decode_declared(cursor: &mut Cursor<'_>, since: Sequence) -> Option<HostDeclaration> {
    let host = cursor.long()?.into();
    let variance = SearchVariance::read_back(cursor.long()?)?;
    Some(HostDeclaration { host, declaration: Arc::new(Declaration { variance, since }) })
}

impl DeployNote {
    fn of(deploy: &DeployMark) -> Self {
        Self {
            host: deploy.host.as_ref().map(|(_, host)| host.to_string()),
            name: deploy.name.to_string(),
            at: deploy.at.as_millis(),
            stale_since: deploy.stale_since.as_millis(),
            until: deploy.until.as_millis(),
            is_over: deploy.is_over,
        }
    }

    fn mark(&self, ahead: i64, invalidation: &Invalidation) -> DeployMark {
        let ids = invalidation.ids();
        let time = |millis| Timestamp::from_millis(millis).moved(ahead);
        DeployMark {
            host: self.host.as_ref().map(|host| (ids.host(host.as_bytes()), host.as_str().into())),
            deployment: ids.deployment(self.name.as_bytes()),
            name: self.name.as_str().into(),
            at: time(self.at),
            stale_since: time(self.stale_since),
            until: time(self.until),
            is_over: self.is_over,
            gone: Gone::default(), // nothing of it is handed over
        }
    }
}

impl PageExchange {
    /// Writes the most used responses, after the last purge was acknowledged here; `None`: there
    /// are none to be written, or not here.
    pub fn write(&self) -> io::Result<Option<Pages>> {
        let Some(most) = self.bytes_max else { return Ok(None) };
        // Before the visit: a purge that comes over the log meanwhile may hit pages that were found
        // valid already, so the new process has to read it again.
        let positions = self.purge_log.log_status().positions;
        let begun = Instant::now();
        let mut found: Vec<Arc<Stored>> = Vec::new();
        let deploys: Vec<_> =
            self.invalidation.deployments().current().iter().map(DeployNote::of).collect();
        self.store.visit(&mut |stored| {
            if most == 0 {
                return;
            }
            let is_sound = self.invalidation.verdict(&stored.provenance, &stored.key);
            if stored.response().is_some() && is_sound == Verdict::Valid {
                found.push(Arc::clone(stored));
            }
        });
        found.sort_by_key(|stored| std::cmp::Reverse((stored.uses(), stored.last_use())));
        // After the visit: what the pages that were found declare is known.
        let revisions = self.invalidation.fence().all();
        let known = encode_known(&revisions, &self.invalidation.ids().searches().all());
        let memory = memfd_create("shellac-pages", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&known)?;
        let (mut count, mut bytes, mut page) = (0, 0, Vec::new());
        for stored in found {
            if begun.elapsed() > WRITE_PATIENCE {
                tracing::warn!(count, "no time to hand over more pages");
                break;
            }
            page.clear();
            if encode_page(&stored, &mut page).is_none() || bytes + page.len() as u64 > most {
                continue; // a smaller one may fit
            }
            file.write_all(&page)?;
            (count, bytes) = (count + 1, bytes + page.len() as u64);
        }
        let notes = PageNotes {
            count,
            bytes,
            tag_seed: self.invalidation.ids().seed(),
            now: self.clock.now().as_millis(),
            positions,
            known_bytes: known.len() as u64,
            revisions: revisions.len(),
            deploys,
        };
        let is_empty = count == 0 && notes.deploys.is_empty() && revisions.is_empty();
        Ok((!is_empty).then(|| Pages { notes, content: file.into() }))
    }

    /// Stores the pages that were handed over, beside the requests that come. Returns how many were
    /// taken. Blocks.
    pub fn take(&self) -> usize {
        let Some(incoming) = self.incoming.lock().take() else { return 0 };
        let begun = Instant::now();
        let count = incoming.pages.notes.count;
        let taken = self.read(incoming).unwrap_or_else(|error| {
            tracing::warn!(%error, "pages of the process before cannot be read");
            0
        });
        tracing::info!(count, taken, took = ?begun.elapsed(), "pages of the process before");
        taken
    }

    fn read(&self, incoming: IncomingPages) -> io::Result<usize> {
        let IncomingPages { pages, fetch, ahead } = incoming;
        let mut file = File::from(pages.content);
        file.seek(SeekFrom::Start(pages.notes.known_bytes))?;
        let mut file = BufReader::new(file).take(pages.notes.bytes);
        let begun = Instant::now();
        let mut taken = 0;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut cursor = Cursor(&bytes);
        while !cursor.is_at_end() && begun.elapsed() < READ_PATIENCE {
            let Some((head, body)) = decode_page(&mut cursor, self.seed) else {
                return Err(io::Error::other("a page is damaged"));
            };
            let known = self.store.by_hash(head.key.hash());
            let is_same = |stored: &Arc<Stored>| {
                stored.key == head.key && stored.variant.as_deref() == head.variant.as_ref()
            };
            if known.iter().any(is_same) {
                continue; // it was fetched meanwhile, and is younger
            }
            let mut response = head.response;
            response.freshness = response.freshness.moved(ahead);
            if !self.invalidation.ids().knows_classes(&head.key, fetch.born(), &head.tags) {
                continue; // a purge of an equivalent URL would miss it
            }
            let provenance = fetch.provenance(head.tags);
            if !self.invalidation.may_store(&provenance, &head.key) {
                continue;
            }
            let mut writer = self.store.begin();
            if writer.append(body).is_err() {
                continue;
            }
            let content = Content::Response(response);
            let entry = NewEntry { key: head.key, variant: head.variant, provenance, content };
            let Ok(stored) = writer.commit(entry) else { continue };
            if self.invalidation.may_keep(&stored.provenance, &stored.key) {
                taken += 1;
            } else {
                self.store.remove(&stored, Removal::Purged);
            }
        }
        Ok(taken)
    }
}

/// For pages to be written, while nobody is let in.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// For pages to be read, beside requests: as long, purges are remembered for them.
const READ_PATIENCE: Duration = Duration::from_secs(30);
