//! The journal: writes the journal, many entries at a time, and says when they are on the device.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use purge_protocol::log::{LogId, Position};
use tokio::sync::watch;

use crate::store::file::device::disk::Disk;
use crate::store::file::format::clocks::Clocks;
use crate::store::file::format::journal::{FORGOTTEN, Frame, Tail};
use crate::store::journal::{JournalBackend, JournalEntry, JournalError, Recovered, Settled};
use process::metrics::Counter;

/// The store's memory of the past, from which the journal begins a new epoch.
pub(crate) trait CheckpointSource: Send + Sync + std::fmt::Debug {
    /// Returns the frames of a checkpoint: at least everything that was appended before, but for
    /// positions.
    fn frames(&self) -> Vec<Frame>;

    fn activate_epoch(&self, epoch: u32) -> io::Result<()>;

    /// Notes that the journal has failed: stored responses must not be used after a restart.
    fn mark_failed(&self);
}

#[derive(Debug)]
pub(crate) struct JournalWriter {
    disk: Arc<dyn Disk>,
    tail: Mutex<Tail>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
    memory: Mutex<Option<Arc<dyn CheckpointSource>>>,
    recovered: Option<Recovered>,
    pub(crate) syncs: Counter,
    pub(crate) checkpoints: Counter,
}

#[derive(Debug)]
struct Waiting {
    frames: Vec<Frame>,
    appended: u64,
    is_sync_wanted: bool,
    is_closing: bool,
    has_thread: bool,
    positions: BTreeMap<LogId, Position>,
    trust: TrustState,
}

/// The state that outlives a checkpoint: purges that may have been missed, origins that lag, and
/// clocks that were wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustState {
    /// Responses born before this sequence are validated before they are used.
    pub(crate) unproven: u64,
    pub(crate) revisions: BTreeMap<String, u64>,
    pub(crate) clocks: Clocks,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    durable: u64,
    failure: Option<String>,
}

impl JournalWriter {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        tail: Tail,
        (positions, trust): (BTreeMap<LogId, Position>, TrustState),
        recovered: Option<Recovered>,
    ) -> Arc<Self> {
        let waiting = Waiting {
            frames: Vec::new(),
            appended: 0,
            is_sync_wanted: false,
            is_closing: false,
            has_thread: false,
            positions,
            trust,
        };
        Arc::new(Self {
            disk,
            tail: Mutex::new(tail),
            waiting: Mutex::new(waiting),
            wake: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
            memory: Mutex::new(None),
            recovered,
            syncs: Counter::default(),
            checkpoints: Counter::default(),
        })
    }

    pub(crate) fn set_source(&self, memory: Arc<dyn CheckpointSource>) {
        *self.memory.lock() = Some(memory);
    }

    /// Notes what is known of clocks, and makes it durable soon: times in the file mean nothing
    /// without it.
    pub(crate) fn note_clocks(&self, clocks: Clocks) {
        let mut waiting = self.waiting.lock();
        waiting.trust.clocks = clocks.clone();
        waiting.push(Frame::Clocks(clocks));
        waiting.is_sync_wanted = true;
        drop(waiting);
        self.wake.notify_one();
    }

    pub(crate) fn push(&self, frame: Frame) {
        self.waiting.lock().push(frame);
        self.wake.notify_one();
    }

    /// Waits until what was appended before is on the device.
    async fn wait_until_durable(&self) -> Result<(), JournalError> {
        let mut progress = self.progress.subscribe();
        let (target, has_thread) = {
            let mut waiting = self.waiting.lock();
            waiting.is_sync_wanted = true;
            (waiting.appended, waiting.has_thread)
        };
        if has_thread {
            self.wake.notify_one();
        } else {
            self.flush();
        }
        let is_done = |it: &Progress| it.durable >= target || it.failure.is_some();
        match progress.wait_for(is_done).await {
            Ok(progress) => match &progress.failure {
                Some(failure) if progress.durable < target => {
                    Err(JournalError::Device(failure.clone()))
                }
                _ => Ok(()),
            },
            Err(closed) => Err(JournalError::Device(closed.to_string())),
        }
    }

    /// Writes entries until the journal is closed: the body of a thread.
    pub(crate) fn run(&self) {
        self.waiting.lock().has_thread = true;
        loop {
            let is_closing = {
                let mut waiting = self.waiting.lock();
                while waiting.frames.is_empty() && !waiting.is_sync_wanted && !waiting.is_closing {
                    self.wake.wait(&mut waiting);
                }
                waiting.is_closing
            };
            self.flush();
            if is_closing {
                self.waiting.lock().has_thread = false;
                return self.flush();
            }
        }
    }

    /// Ends [`Self::run`], after everything is durable.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        (waiting.is_closing, waiting.is_sync_wanted) = (true, true);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Makes everything durable that was appended, and says whether that is so. What comes later is
    /// not.
    pub(crate) fn end(&self) -> bool {
        let mut tail = self.tail.lock();
        self.waiting.lock().is_sync_wanted = true;
        self.flush_to(&mut tail);
        let is_durable = !self.has_failed();
        self.progress.send_modify(|progress| {
            progress.failure.get_or_insert_with(|| "the store was closed, or handed over".into());
        });
        is_durable
    }

    /// Writes waiting entries, and syncs if somebody wants it.
    pub(crate) fn flush(&self) {
        self.flush_to(&mut self.tail.lock());
    }

    fn flush_to(&self, tail: &mut Tail) {
        let (frames, appended, is_sync_wanted) = {
            let mut waiting = self.waiting.lock();
            let is_sync_wanted = std::mem::take(&mut waiting.is_sync_wanted);
            (std::mem::take(&mut waiting.frames), waiting.appended, is_sync_wanted)
        };
        if self.progress.borrow().failure.is_some() {
            return;
        }
        let written = self.write(tail, &frames).and_then(|()| {
            if is_sync_wanted {
                self.syncs.add(1);
                self.disk.sync()?;
            }
            Ok(is_sync_wanted)
        });
        match written {
            Ok(true) => self.progress.send_modify(|progress| progress.durable = appended),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written: purges are not durable");
                self.progress.send_modify(|progress| progress.failure = Some(error.to_string()));
                if let Some(memory) = &*self.memory.lock() {
                    memory.mark_failed();
                }
            }
        }
    }

    fn write(&self, tail: &mut Tail, frames: &[Frame]) -> io::Result<()> {
        for some in frames.chunks(FRAMES_AT_ONCE) {
            if tail.append(&*self.disk, some)? {
                continue;
            }
            self.checkpoint(tail)?;
            if !tail.append(&*self.disk, some)? {
                return Err(io::Error::other("the journal is too small for one writing"));
            }
        }
        Ok(())
    }

    /// Begins a new epoch. What was marked before something was appended is in the store's memory:
    /// positions are copied first, so that none is kept without its purges.
    fn checkpoint(&self, tail: &mut Tail) -> io::Result<()> {
        let Some(memory) = self.memory.lock().clone() else {
            return Err(io::Error::other("the journal is full"));
        };
        let (positions, trust) = {
            let waiting = self.waiting.lock();
            (waiting.positions.clone(), waiting.trust.clone())
        };
        let mut frames = memory.frames();
        frames.extend(positions.into_values().map(Frame::Position));
        frames.push(Frame::Unproven(trust.unproven));
        frames.push(Frame::Clocks(trust.clocks));
        let revision = |(selector, revision)| Frame::Revision(revision, selector);
        frames.extend(trust.revisions.into_iter().map(revision));
        tail.checkpoint(&*self.disk, &frames)?;
        self.disk.sync()?;
        self.checkpoints.add(1);
        memory.activate_epoch(tail.epoch())
    }

    /// Lets go of the store: nothing is written any more.
    pub(crate) fn clear_source(&self) {
        *self.memory.lock() = None;
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.progress.borrow().failure.is_some()
    }
}

impl JournalBackend for JournalWriter {
    fn append(&self, entry: JournalEntry) {
        match entry {
            JournalEntry::Purge { marks, past } => self.push(Frame::Purge(past, marks)),
            JournalEntry::Position(position) => {
                let mut waiting = self.waiting.lock();
                waiting.positions.insert(position.log.clone(), position.clone());
                waiting.push(Frame::Position(position));
                drop(waiting);
                self.wake.notify_one();
            }
            JournalEntry::Forgotten(log) => {
                let mut waiting = self.waiting.lock();
                waiting.positions.remove(&log);
                let next = FORGOTTEN;
                waiting.push(Frame::Position(Position { log, next, last: None, clean_ms: None }));
                drop(waiting);
                self.wake.notify_one();
            }
            JournalEntry::Unproven { until } => {
                let mut waiting = self.waiting.lock();
                waiting.trust.unproven = waiting.trust.unproven.max(until);
                waiting.push(Frame::Unproven(until));
                drop(waiting);
                self.wake.notify_one();
            }
            JournalEntry::Revision { selector, revision } => {
                let mut waiting = self.waiting.lock();
                waiting.trust.raise(selector.clone(), revision);
                waiting.push(Frame::Revision(revision, selector));
                drop(waiting);
                self.wake.notify_one();
            }
            JournalEntry::Declaration(declaration) => self.push(Frame::Declaration(declaration)),
        }
    }

    fn settled(&self) -> Settled<'_> {
        Box::pin(self.wait_until_durable())
    }

    fn positions(&self) -> Vec<Position> {
        self.waiting.lock().positions.values().cloned().collect()
    }

    fn recovered(&self) -> Option<Recovered> {
        self.recovered
    }
}

impl TrustState {
    /// Raises a fence. It is a help against origins that lag, not a promise: past the limit one
    /// makes room.
    fn raise(&mut self, selector: String, revision: u64) {
        let known = self.revisions.entry(selector).or_default();
        *known = revision.max(*known);
        if self.revisions.len() > REVISIONS_MAX {
            self.revisions.pop_first();
        }
    }
}

/// Revisions that are kept across restarts: 1 MiB of the journal at most.
const REVISIONS_MAX: usize = 10_000;

impl Waiting {
    fn push(&mut self, frame: Frame) {
        self.appended += 1;
        self.frames.push(frame);
    }
}

/// Frames of one writing: after a checkpoint there is room for them.
const FRAMES_AT_ONCE: usize = 64;
