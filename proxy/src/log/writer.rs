//! The thread that writes the lines of an access log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use process::clock::Clock;
use process::recurring::Recurring;
use settings::AccessLogSettings;

use super::line_queue::{AccessCounts, LineQueue};
use super::target::Target;

/// What the thread shares with those who log.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: LineQueue,
    /// The target is opened again before the next line.
    reopens: AtomicBool,
    clock: Clock,
}

impl Writer {
    /// Starts the thread. It ends when the queue is closed.
    pub(super) fn start(
        settings: &AccessLogSettings,
        workers: usize,
        (counts, clock): (Arc<AccessCounts>, Clock),
    ) -> std::io::Result<Arc<Self>> {
        let writer = Arc::new(Self {
            queue: LineQueue::new(settings.buffer, workers, counts),
            reopens: AtomicBool::new(false),
            clock,
        });
        let (own, target) = (Arc::clone(&writer), Target::new(settings));
        let thread = thread::Builder::new().name("access-log".into());
        let thread = thread.spawn(move || own.run(target))?;
        writer.queue.written_by(thread.thread().clone());
        Ok(writer)
    }

    pub(super) fn reopen(&self) {
        self.reopens.store(true, Ordering::Release);
        self.queue.wake();
    }

    fn run(&self, mut target: Target) {
        let (mut taken, mut trouble) = (Vec::new(), Recurring::default());
        // A path that cannot be opened is told at once, not with the first line.
        let opened = target.open();
        self.note(&target, opened, &mut trouble);
        loop {
            let is_last = self.queue.is_closing();
            if self.reopens.swap(false, Ordering::AcqRel) {
                target.reopen();
                let opened = target.open();
                self.note(&target, opened, &mut trouble);
            }
            self.queue.drain(&mut taken, |bytes, lines| {
                let wall = self.clock.wall().as_millis();
                let result = target.write(bytes, wall);
                let AccessCounts { written, dropped, .. } = &*self.queue.counts;
                let counter = if result.is_ok() { written } else { dropped };
                counter.add(lines);
                self.note(&target, result, &mut trouble);
            });
            if is_last {
                return self.queue.has_closed();
            }
            thread::park_timeout(FLUSH);
        }
    }

    /// Says when writing begins to fail, and when it works again.
    fn note(&self, target: &Target, result: std::io::Result<()>, trouble: &mut Recurring) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                if let Some(failures) = trouble.recover() {
                    let target = target.name();
                    tracing::info!(target, failures, "the access log can be written again");
                }
            }
            Err(error) => {
                self.queue.counts.failures.add(1);
                if let Some(count) = trouble.fail(now) {
                    let target = target.name();
                    tracing::warn!(
                        target, %error, count,
                        "the access log cannot be written: its lines are lost until there is room \
                        and the right to write; requests go on"
                    );
                }
            }
        }
    }
}

/// A line waits for this long at most, where the target takes it.
const FLUSH: Duration = Duration::from_millis(100);
