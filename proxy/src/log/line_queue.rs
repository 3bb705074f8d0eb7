//! `LineQueue`: lines on their way to the writer, in a buffer for each worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use process::metrics::{Counter, Sharded};

/// Bounded buffers of whole lines. Who adds one waits for nobody but the writer's swap of a buffer;
/// a line that finds its buffer full is dropped and counted.
#[derive(Debug)]
pub(super) struct LineQueue {
    buffers: Sharded<Mutex<Buffer>>,
    /// Bytes that one worker's buffer may hold.
    bytes_max: usize,
    pub(super) counts: Arc<AccessCounts>,
    writer: Mutex<Option<Thread>>,
    is_closing: AtomicBool,
    is_closed: (Mutex<bool>, Condvar),
}

/// What became of lines, counted over all queues that replace each other.
#[derive(Debug, Default)]
pub(super) struct AccessCounts {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
    /// Writes that failed: the lines of each are lost, and counted as dropped.
    pub(super) failures: Counter,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
}

impl LineQueue {
    /// Makes a queue of this many bytes, of which each of the workers has a share.
    pub(super) fn new(bytes_max: u64, workers: usize, counts: Arc<AccessCounts>) -> Self {
        let share = usize::try_from(bytes_max).unwrap_or(usize::MAX) / workers.max(1);
        Self {
            buffers: Sharded::default(),
            bytes_max: share.max(SHARE_MIN),
            counts,
            writer: Mutex::new(None),
            is_closing: AtomicBool::new(false),
            is_closed: (Mutex::new(false), Condvar::new()),
        }
    }

    /// Adds a line, which `write` adds to the buffer without its end.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.buffers.own().lock();
        let before = buffer.bytes.len();
        if before >= self.bytes_max {
            drop(buffer);
            return self.counts.dropped.add(1);
        }
        write(&mut buffer.bytes);
        buffer.bytes.push(b'\n');
        buffer.lines += 1;
        let wakes = before < WAKE && buffer.bytes.len() >= WAKE;
        drop(buffer);
        if wakes {
            self.wake();
        }
    }

    /// Wakes the writer before its time.
    pub(super) fn wake(&self) {
        if let Some(writer) = &*self.writer.lock() {
            writer.unpark();
        }
    }

    /// Takes the lines of each worker, one buffer after the other. `taken` is empty and is left so.
    pub(super) fn drain(&self, taken: &mut Vec<u8>, mut write: impl FnMut(&[u8], u64)) {
        for buffer in self.buffers.iter() {
            let mut buffer = buffer.lock();
            if buffer.lines == 0 {
                continue;
            }
            std::mem::swap(&mut buffer.bytes, taken);
            let lines = std::mem::take(&mut buffer.lines);
            drop(buffer);
            write(taken, lines);
            taken.clear();
            taken.shrink_to(KEPT_MAX);
        }
    }

    pub(super) fn written_by(&self, writer: Thread) {
        *self.writer.lock() = Some(writer);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Has the writer end when it has written what is there.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn has_closed(&self) {
        let (is_closed, changed) = &self.is_closed;
        *is_closed.lock() = true;
        changed.notify_all();
    }

    /// Waits for the writer's end, for this long at most: a target may take nothing for ever.
    pub(super) fn wait_closed(&self, patience: Duration) -> bool {
        let (is_closed, changed) = &self.is_closed;
        let mut is_closed = is_closed.lock();
        if !*is_closed {
            changed.wait_for(&mut is_closed, patience);
        }
        *is_closed
    }
}

/// A worker's share of the buffer is at least this.
const SHARE_MIN: usize = 32 << 10;
/// The writer is woken when a buffer has reached this.
const WAKE: usize = 16 << 10;
/// Bytes of capacity that the writer keeps of a buffer that was large.
const KEPT_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_finds_no_room_is_dropped_and_counted() {
        let queue = LineQueue::new(0, 1, Arc::default());
        let line = [b'x'; 1023];
        for _ in 0..40 {
            queue.push(|bytes| bytes.extend_from_slice(&line));
        }
        assert_eq!(queue.counts.dropped.value(), 8, "32 of 1 KiB have room");
        let mut seen = (0, 0);
        queue.drain(&mut Vec::new(), |bytes, lines| seen = (bytes.len(), lines));
        assert_eq!(seen, (32 << 10, 32));
        queue.push(|bytes| bytes.push(b'y'));
        queue.drain(&mut Vec::new(), |bytes, _| assert_eq!(bytes, b"y\n"));
    }

    #[test]
    fn nobody_waits_longer_for_a_writer_than_it_has_patience() {
        let queue = LineQueue::new(0, 1, Arc::default());
        assert!(!queue.wait_closed(Duration::from_millis(1)));
        queue.has_closed();
        assert!(queue.wait_closed(Duration::MAX));
    }
}
