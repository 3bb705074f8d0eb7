//! `FileEngine`: a volume with its writers: threads, or, in tests, the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::recovery;
use super::sweeper;
use super::writer::SegmentWriter;
use crate::store::file::device::lock::StoreLock;
use crate::store::file::volume::Volume;
use crate::store::file::volume::open::Opened;
use crate::store::file::write::queue::{Job, Reserved};

#[derive(Debug)]
pub(crate) struct FileEngine {
    pub(crate) volume: Arc<Volume>,
    queued: Arc<AtomicU64>,
    sink: JobSink,
    threads: Mutex<Vec<JoinHandle<()>>>,
    journal: Mutex<Option<JoinHandle<()>>>,
    lock: Option<Arc<StoreLock>>,
    /// Dropped at the end, which ends the threads that wait for it.
    stop: Mutex<Option<SyncSender<()>>>,
}

/// The destination of jobs: the writer's thread, or the caller's.
#[derive(Debug)]
enum JobSink {
    Thread(RwLock<Option<SyncSender<Job>>>),
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    Inline(Mutex<Option<Box<SegmentWriter>>>),
}

impl FileEngine {
    /// Starts the threads; the recovery goes on beside the traffic.
    pub(crate) fn start(opened: &Opened, sync: Duration) -> std::io::Result<Self> {
        let volume = &opened.volume;
        let is_alone = opened.lock.as_ref().map_or(Ok(true), |lock| lock.is_alone())?;
        volume.is_shared.store(!is_alone, Ordering::Release);
        let (jobs, taken) = sync_channel(JOBS_MAX);
        let (stop, stopped) = sync_channel(1);
        let writer = SegmentWriter::new(volume);
        let journal = Arc::clone(&volume.journal);
        let journal = spawn("store-journal", move || journal.run())?;
        let sweeper = {
            let (volume, jobs) = (Arc::clone(volume), jobs.clone());
            move || sweeper::run(&volume, &jobs)
        };
        let threads = vec![
            spawn("store-sweep", sweeper)?,
            spawn("store-writer", move || write(writer, &taken))?,
            spawn("store-sync", {
                let (volume, lock) = (Arc::clone(volume), opened.lock.clone());
                move || {
                    wait_to_be_alone(&volume, lock.as_deref(), &stopped);
                    sync_from_time_to_time(&volume, &stopped, sync);
                }
            })?,
            spawn("store-load", {
                let (volume, jobs) = (Arc::clone(volume), jobs.clone());
                move || {
                    let loaded = recovery::load(&volume);
                    drop(jobs.send(Job::Ready(loaded)));
                }
            })?,
        ];
        let engine =
            Self::of(volume, JobSink::Thread(RwLock::new(Some(jobs))), opened.lock.clone());
        *engine.threads.lock() = threads;
        *engine.journal.lock() = Some(journal);
        *engine.stop.lock() = Some(stop);
        Ok(engine)
    }

    /// Makes an engine that does everything at once and in the caller's thread.
    #[cfg(test)]
    pub(crate) fn inline(opened: &Opened) -> Self {
        let volume = &opened.volume;
        let mut writer = SegmentWriter::new(volume);
        writer.handle(Job::Ready(recovery::load(volume)));
        Self::of(volume, JobSink::Inline(Mutex::new(Some(Box::new(writer)))), None)
    }

    fn of(volume: &Arc<Volume>, sink: JobSink, lock: Option<Arc<StoreLock>>) -> Self {
        Self {
            volume: Arc::clone(volume),
            queued: Arc::default(),
            sink,
            threads: Mutex::default(),
            journal: Mutex::default(),
            lock,
            stop: Mutex::default(),
        }
    }

    /// Takes so many bytes of the queue, if something may be written now and there are.
    pub(crate) fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let is_full = self.volume.index.is_full();
        if is_full {
            drop(self.submit(Job::Evict)); // for those who come later
        }
        let reserved = Some(()).filter(|()| self.volume.takes_writes() && !is_full);
        let reserved = reserved.and_then(|()| Reserved::take(&self.queued, bytes));
        if reserved.is_none() {
            self.volume.metrics.dropped.add(1);
        }
        reserved
    }

    /// Hands a job to the writer. A job that cannot be queued comes back.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Box<Job>> {
        match &self.sink {
            JobSink::Thread(jobs) => match &*jobs.read() {
                Some(jobs) => jobs.try_send(job).map_err(|refused| match refused {
                    TrySendError::Full(job) | TrySendError::Disconnected(job) => Box::new(job),
                }),
                None => Err(Box::new(job)),
            },
            JobSink::Inline(writer) => match &mut *writer.lock() {
                Some(writer) => {
                    // Other jobs are given while locks are held that a checkpoint takes.
                    let takes_locks = matches!(job, Job::Store(..) | Job::Extent(..));
                    let flush = || takes_locks.then(|| self.volume.journal.flush());
                    flush();
                    writer.handle(job);
                    flush();
                    Ok(())
                }
                None => Err(Box::new(job)),
            },
        }
    }

    /// Runs the sweeper at once.
    #[cfg(test)]
    pub(crate) fn sweep(&self) {
        if let Some(sweep) = self.volume.sweep_queue.take().map(Arc::new) {
            let (done, is_done) = sync_channel(1);
            drop(self.submit(Job::Sweep(Arc::clone(&sweep), done)));
            is_done.try_recv().unwrap();
            sweeper::through(&sweep, &self.volume, &mut |_| true);
            self.volume.journal.flush();
        }
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Writes all waiting jobs, makes them durable and ends the threads.
    pub(crate) fn close(&self) {
        let is_closed = match &self.sink {
            JobSink::Thread(jobs) => jobs.write().take().is_none(),
            JobSink::Inline(writer) => writer.lock().take().is_none(),
        };
        if is_closed {
            return;
        }
        drop(self.stop.lock().take());
        self.volume.sweep_queue.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(join);
        self.volume.note_clock(true);
        self.volume.journal.close();
        let journal = self.journal.lock().take();
        journal.into_iter().for_each(join);
        let is_durable = self.volume.journal.end();
        let synced = self.volume.disk.sync().and_then(|()| {
            if !is_durable || !self.volume.disk.check() {
                return Ok(()); // it was made unreadable, or somebody else has changed it
            }
            let mut superblock = self.volume.superblock.lock();
            superblock.is_clean = true;
            superblock.store(self.volume.disk.device())
        });
        if let Err(error) = synced {
            tracing::warn!(%error, "the store was not closed in order");
        }
        self.volume.journal.clear_source();
        self.volume.disk.hand_over();
        if let Some(lock) = &self.lock
            && let Err(error) = lock.hand_over()
        {
            tracing::warn!(%error, "cannot hand the store over");
        }
    }
}

impl Drop for FileEngine {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(body)
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}

fn write(mut writer: SegmentWriter, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        writer.handle(job);
    }
}

/// Waits for the processes that have handed the store over: until they end, nothing is overwritten.
fn wait_to_be_alone(volume: &Volume, lock: Option<&StoreLock>, stopped: &Receiver<()>) {
    loop {
        match lock.map_or(Ok(true), StoreLock::is_alone) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "cannot tell whether an earlier process still reads the store: responses are kept in memory only");
                return;
            }
        }
        if stopped.recv_timeout(ALONE_PAUSE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
    volume.is_shared.store(false, Ordering::Release);
}

/// Bounds what a loss of power can take, and how much is written at once.
fn sync_from_time_to_time(volume: &Volume, stopped: &Receiver<()>, pause: Duration) {
    let (started, mut noted) = (Instant::now(), Instant::now());
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        volume.disk.check();
        let is_due = started.elapsed() >= CLOCK_SETTLES && noted.elapsed() >= CLOCK_NOTED;
        if is_due {
            noted = Instant::now();
        }
        volume.note_clock(is_due);
        if let Err(error) = volume.disk.sync() {
            // The system calls what it could not write clean: records there fail their checksums,
            // and are misses.
            tracing::error!(%error, "cannot sync the store: responses are kept in memory only");
            volume.metrics.io_errors.add(1);
            volume.is_offline.store(true, Ordering::Relaxed);
        }
    }
}

/// After so long, a wrong clock has most likely been set.
const CLOCK_SETTLES: Duration = Duration::from_mins(5);
/// Pause between two notes of the time in the journal.
const CLOCK_NOTED: Duration = Duration::from_mins(1);
/// Between two looks whether somebody still reads the store.
const ALONE_PAUSE: Duration = Duration::from_millis(100);
/// Jobs that wait, beside the bound in bytes.
const JOBS_MAX: usize = 1 << 16;
