//! Standard error. A program that serves has a thread write its lines: whoever reads them may stop
//! reading, and nobody but that thread waits for it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::threads::{self, ThreadError};

/// Bounded; a line that finds no room is dropped and counted.
#[derive(Debug)]
struct StderrQueue {
    waiting: Mutex<WaitingText>,
    changed: Condvar,
}

#[derive(Debug)]
struct WaitingText {
    bytes: Vec<u8>,
    lines: u64,
    dropped: u64,
    /// There is a thread that writes.
    is_served: bool,
    /// The thread writes what it has taken.
    is_writing: bool,
}

/// Waits for what was not written yet when it is dropped, for a second at most.
#[derive(Debug)]
pub struct FlushAtEnd(());

static QUEUE: StderrQueue = StderrQueue::new();

/// Held to the end of the program: the only one who writes, so that no line is torn.
static WRITING: Mutex<()> = Mutex::new(());

/// Has a thread write all that comes, panics as well, until the process ends.
pub fn serve() -> Result<(), ThreadError> {
    if QUEUE.begins() {
        threads::start("log", || QUEUE.write_to(write_now)).inspect_err(|_| QUEUE.ends())?;
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("<unnamed>");
            let trace = Backtrace::capture();
            let is_traced = trace.status() == BacktraceStatus::Captured;
            let trace = if is_traced { format!("{trace}\n") } else { String::new() };
            write(format!("\nthread '{name}' {panic}\n{trace}").as_bytes());
        }));
    }
    Ok(())
}

/// Writes lines at once, or hands them to the thread that does. Nobody can be told when it fails.
pub fn write(lines: &[u8]) {
    if !QUEUE.push(lines) {
        let _written = write_now(lines);
    }
}

/// Writes all at once: waits for whoever reads.
pub fn write_now(mut bytes: &[u8]) -> io::Result<()> {
    let _writing = WRITING.lock();
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(stderr.as_fd(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => std::thread::park_timeout(RETRY),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the number of lines that found no room, or could not be written.
pub fn dropped() -> u64 {
    QUEUE.waiting.lock().dropped
}

/// Waits until everything is written, for a second at most.
pub fn flush() {
    QUEUE.flush(PATIENCE);
}

/// Flushes when the caller ends, however it does.
pub const fn flush_at_end() -> FlushAtEnd {
    FlushAtEnd(())
}

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}

impl StderrQueue {
    const fn new() -> Self {
        let (lines, dropped, is_served, is_writing) = (0, 0, false, false);
        let waiting = WaitingText { bytes: Vec::new(), lines, dropped, is_served, is_writing };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new() }
    }

    /// Returns whether nobody served it before.
    fn begins(&self) -> bool {
        !std::mem::replace(&mut self.waiting.lock().is_served, true)
    }

    fn ends(&self) {
        self.waiting.lock().is_served = false;
    }

    /// Returns whether there is somebody who writes.
    fn push(&self, lines: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        if !waiting.is_served {
            return false;
        }
        if waiting.bytes.len() >= BYTES_MAX {
            waiting.dropped += 1;
            return true;
        }
        waiting.bytes.extend_from_slice(lines);
        waiting.lines += 1;
        drop(waiting);
        self.changed.notify_all();
        true
    }

    /// Writes what comes, for ever. Says when lines were lost, once others are written.
    fn write_to(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        let (mut taken, mut said) = (Vec::new(), 0);
        loop {
            let lines = self.take(&mut taken);
            let is_written = write(&taken).is_ok();
            taken.clear();
            taken.shrink_to(KEPT_MAX);
            let mut waiting = self.waiting.lock();
            if !is_written {
                waiting.dropped += lines;
            }
            let dropped = waiting.dropped;
            drop(waiting);
            if is_written && dropped > said {
                let lost = dropped - said;
                tracing::warn!(lost, "standard error was not read: lines of the log are lost");
                said = dropped;
            }
        }
    }

    /// Waits for lines. What was taken before counts as written.
    fn take(&self, taken: &mut Vec<u8>) -> u64 {
        let mut waiting = self.waiting.lock();
        waiting.is_writing = false;
        while waiting.bytes.is_empty() {
            self.changed.notify_all();
            self.changed.wait(&mut waiting);
        }
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.bytes, taken);
        std::mem::take(&mut waiting.lines)
    }

    /// Returns whether everything was written in this time.
    fn flush(&self, patience: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let is_left = |waiting: &mut WaitingText| {
            waiting.is_served && (waiting.is_writing || !waiting.bytes.is_empty())
        };
        !self.changed.wait_while_for(&mut waiting, is_left, patience).timed_out()
    }
}

/// Bytes that wait for whoever reads.
const BYTES_MAX: usize = 1 << 20;
/// Bytes of capacity that are kept of a buffer that was large.
const KEPT_MAX: usize = 64 << 10;
/// Who stops a program does not wait for a pipe that nobody reads.
const PATIENCE: Duration = Duration::from_secs(1);
/// A pipe that does not block is asked again after this.
const RETRY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn served() -> Arc<StderrQueue> {
        let queue = Arc::new(StderrQueue::new());
        assert!(!queue.push(b"before\n"), "it is for the caller to write");
        assert!(queue.begins() && !queue.begins());
        queue
    }

    #[test]
    fn a_line_that_finds_no_room_is_dropped_and_counted() {
        let queue = served();
        let line = [b'x'; 1 << 10];
        for _ in 0..1030 {
            assert!(queue.push(&line));
        }
        assert_eq!(queue.waiting.lock().dropped, 6, "1,024 have room");
    }

    #[test]
    fn lines_are_flushed_in_order_and_a_reader_that_stalls_is_left_after_a_while() {
        let queue = served();
        let ((go, gate), (seen, written)) = (mpsc::channel(), mpsc::channel());
        let own = Arc::clone(&queue);
        std::thread::spawn(move || {
            own.write_to(|bytes| {
                gate.recv().map_err(io::Error::other)?;
                seen.send(bytes.to_vec()).map_err(io::Error::other)
            });
        });
        queue.push(b"one\n");
        assert!(!queue.flush(Duration::from_millis(1)), "nobody reads");
        queue.push(b"two\n");
        for _ in 0..2 {
            go.send(()).unwrap();
        }
        assert!(queue.flush(Duration::MAX));
        let all: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(all).unwrap(), "one\ntwo\n");
    }
}
