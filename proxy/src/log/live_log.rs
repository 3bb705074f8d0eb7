//! `LiveLog`: requests as they end, for those who watch. Each of them has a bounded queue.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use process::clock::Clock;
use process::metrics::Counter;
use settings::{AccessFormat, AccessLogSettings, RecordFilter};
use tokio::sync::Notify;
use tokio::time::{Duration, sleep};

use super::access_log::chance;
use super::logged_request::LoggedRequest;
use super::redaction::Redaction;
use super::{filtered, json_line, text_line};
use crate::cache::record::RequestRecord;
use crate::front::record_sinks::{RecordSink, RecordSinks, Wants};
use crate::policy::LiveSettings;

/// Those who watch. While nobody does, no record is made for them.
#[derive(Debug)]
pub struct LiveLog {
    readers: Mutex<Vec<Arc<Reader>>>,
    redaction: Mutex<Arc<Redaction>>,
    sinks: Arc<RecordSinks>,
    settings: Arc<LiveSettings>,
    clock: Clock,
    counts: Arc<LiveCounts>,
}

#[derive(Debug, Default)]
pub(super) struct LiveCounts {
    pub(super) lines: Counter,
    pub(super) dropped: Counter,
}

/// The requests that a reader wants, and the form of its lines.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// All have to hold.
    pub filters: Vec<RecordFilter>,
    /// In millionths.
    pub sample: u32,
    pub format: AccessFormat,
}

/// One who watches, until this is dropped.
#[derive(Debug)]
pub struct LogReader {
    reader: Arc<Reader>,
    log: Arc<LiveLog>,
}

/// Lines that a reader has not seen, and the number of those that found no room.
#[derive(Debug, Default)]
pub struct LogBatch {
    pub lines: Vec<Vec<u8>>,
    pub dropped: u64,
}

#[derive(Debug)]
struct Reader {
    query: LogQuery,
    waiting: Mutex<WaitingLines>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct WaitingLines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
}

/// The sink for those who watch at one time.
#[derive(Debug)]
struct LiveSink {
    readers: Vec<Arc<Reader>>,
    redaction: Arc<Redaction>,
    settings: Arc<LiveSettings>,
    clock: Clock,
    counts: Arc<LiveCounts>,
}

impl LiveLog {
    pub(super) fn new(
        sinks: Arc<RecordSinks>,
        settings: Arc<LiveSettings>,
        clock: Clock,
    ) -> Arc<Self> {
        let redaction = Redaction::new(&AccessLogSettings::default());
        Arc::new(Self {
            readers: Mutex::default(),
            redaction: Mutex::new(Arc::new(redaction)),
            sinks,
            settings,
            clock,
            counts: Arc::default(),
        })
    }

    /// Hides what these settings say, for those who watch now as well.
    pub(super) fn redact(&self, settings: &AccessLogSettings) {
        *self.redaction.lock() = Arc::new(Redaction::new(settings));
        let readers = self.readers.lock();
        if !readers.is_empty() {
            self.show_to(&readers);
        }
    }

    /// Begins to watch.
    pub fn follow(self: &Arc<Self>, query: LogQuery) -> LogReader {
        let (waiting, arrived) = (Mutex::default(), Notify::new());
        let reader = Arc::new(Reader { query, waiting, arrived });
        let mut readers = self.readers.lock();
        readers.push(Arc::clone(&reader));
        self.show_to(&readers);
        LogReader { reader, log: Arc::clone(self) }
    }

    pub(super) fn counts(&self) -> &LiveCounts {
        &self.counts
    }

    fn show_to(&self, readers: &[Arc<Reader>]) {
        let sink = LiveSink {
            readers: readers.to_vec(),
            redaction: Arc::clone(&self.redaction.lock()),
            settings: Arc::clone(&self.settings),
            clock: self.clock.clone(),
            counts: Arc::clone(&self.counts),
        };
        let sink = (!readers.is_empty()).then(|| -> Arc<dyn RecordSink> { Arc::new(sink) });
        self.sinks.replace(NAME, sink);
    }
}

impl LogReader {
    /// Waits for lines. Those of a moment come together. Who stops waiting loses none.
    pub async fn next(&self) -> LogBatch {
        while self.reader.waiting.lock().lines.is_empty() {
            self.reader.arrived.notified().await;
        }
        sleep(GATHER).await;
        let WaitingLines { lines, dropped, .. } = std::mem::take(&mut *self.reader.waiting.lock());
        LogBatch { lines: lines.into(), dropped }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        let mut readers = self.log.readers.lock();
        readers.retain(|reader| !Arc::ptr_eq(reader, &self.reader));
        self.log.show_to(&readers);
    }
}

impl RecordSink for LiveSink {
    fn wants(&self) -> Wants {
        Wants { details: true, ..Wants::default() }
    }

    fn take(&self, record: &RequestRecord) {
        let current = self.settings.local();
        let wall = self.clock.wall().as_millis();
        let Some(request) = LoggedRequest::of(record, &current, wall) else { return };
        for reader in &self.readers {
            let LogQuery { filters, sample, .. } = &reader.query;
            if filters.iter().all(|filter| filtered::means(filter, &request)) && chance() < *sample
            {
                self.show(reader, &request);
            }
        }
    }
}

impl LiveSink {
    fn show(&self, reader: &Reader, request: &LoggedRequest<'_>) {
        let is_added = reader.add(|line| match &reader.query.format {
            AccessFormat::Json => json_line::push(line, request, &self.redaction, None),
            AccessFormat::Text(pieces) => {
                text_line::push(line, pieces, request, &self.redaction);
            }
        });
        let LiveCounts { lines, dropped } = &*self.counts;
        if is_added { lines } else { dropped }.add(1);
    }
}

impl Reader {
    /// Adds what `write` writes, and returns whether there was room.
    fn add(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.bytes >= BYTES_MAX {
            waiting.dropped += 1;
            return false;
        }
        let mut line = Vec::with_capacity(512);
        write(&mut line);
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        let is_first = waiting.lines.len() == 1;
        drop(waiting);
        if is_first {
            self.arrived.notify_one();
        }
        true
    }
}

/// The sink's name, in the list of sinks and in metrics.
pub(super) const NAME: &str = "live";

/// Bytes of lines that wait for one reader.
const BYTES_MAX: usize = 1 << 20;
/// Lines of this time are handed over together.
const GATHER: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use process::timestamp::Timestamp;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stopped_waiting_sees_what_came_meanwhile() {
        let settings = LiveSettings::with_defaults();
        let log = LiveLog::new(Arc::default(), settings, Clock::manual(Timestamp::from_secs(0)));
        let query = LogQuery { filters: Vec::new(), sample: 1_000_000, format: AccessFormat::Json };
        let reader = log.follow(query);
        let add = |line: &[u8]| assert!(reader.reader.add(|it| it.extend_from_slice(line)));

        add(b"one");
        assert!(timeout(GATHER / 2, reader.next()).await.is_err());
        add(b"two");
        let batch = timeout(Duration::from_mins(1), reader.next()).await.unwrap();
        assert_eq!(batch.lines, [b"one", b"two"]);
        assert!(timeout(Duration::from_mins(1), reader.next()).await.is_err());
        add(b"three");
        let batch = timeout(Duration::from_mins(1), reader.next()).await.unwrap();
        assert_eq!(batch.lines, [b"three"]);
    }
}
