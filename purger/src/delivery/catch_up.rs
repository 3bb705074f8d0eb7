//! A proxy that is behind the window: reads what it missed from Kafka, by itself, folded, until it is within the window.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use purge_protocol::log::{LoggedPurge, Start};
use purge_protocol::{PurgeMode, PurgeRequest};
use tokio::sync::mpsc;

use super::route::{Delivered, Route};
use crate::kafka::client::PATIENCE;
use crate::kafka::cursor::{CursorError, Found};
use crate::partition::window::{Held, Slice};

/// What a cursor's thread hands over.
#[derive(Debug)]
enum Read {
    /// A record: its offset, its fingerprint and what it purges.
    Record(i64, u64, Option<Bytes>),
    /// Nothing more for now.
    End,
    /// It cannot go on.
    Failed(CursorError),
}

impl Route {
    /// Delivers one chunk of what was missed; returns the proxy's position after it.
    pub(super) async fn catch_up(&mut self, next: i64) -> Delivered {
        self.partition.release(self.target.id);
        self.target.note_position(self.log(), next, true);
        let Ok(permit) = Arc::clone(&self.common.cursor_permits).acquire_owned().await else {
            return Delivered::Lost;
        };
        self.common.metrics.catch_ups.inc();
        self.is_catching_up = true;
        let mut records = self.read_from(next);
        let mut next = next;
        let outcome = loop {
            let chunk = Chunk::gather(&mut records, next).await;
            if !chunk.is_empty() {
                let slice = self.slice_of(&chunk, next);
                match self.send_missed(&slice).await {
                    Delivered::Confirmed(confirmed) => next = confirmed,
                    Delivered::Lost => break Delivered::Lost,
                }
            }
            if self.partition.slice(next, 0).is_some() {
                break Delivered::Confirmed(next); // within the window again
            }
            match chunk.end {
                None | Some(Read::Record(..)) => {}
                // There is no record between here and the window.
                Some(Read::End) => {
                    let start = self.partition.window_start().unwrap_or(next);
                    break Delivered::Confirmed(start.max(next));
                }
                Some(Read::Failed(CursorError::OutOfRange(_))) => break self.overtaken(next).await,
                Some(Read::Failed(error)) => {
                    self.no_word(&error.to_string()).await;
                    break Delivered::Confirmed(next); // and from there with another cursor
                }
            }
        };
        self.is_catching_up = false;
        drop(permit);
        outcome
    }

    async fn send_missed(&mut self, slice: &Slice) -> Delivered {
        let sent = self.send(slice, None).await;
        if self.partition.slice(slice.to, 0).is_none() {
            self.partition.release(self.target.id);
            self.target.note_position(self.log(), slice.to, true);
        }
        sent
    }

    /// The log lost what the proxy has not seen.
    async fn overtaken(&mut self, next: i64) -> Delivered {
        let Some((low, high)) = self.watermarks().await else { return Delivered::Lost };
        let start = if next < low { Start::Expired } else { Start::Replaced };
        if (low..=high).contains(&next) {
            return Delivered::Lost; // a moment's confusion: ask again
        }
        self.start_over(start, high).await.map_or(Delivered::Lost, Delivered::Confirmed)
    }

    /// Starts a thread that reads from an offset on; it ends when nobody takes its records.
    fn read_from(&self, next: i64) -> mpsc::Receiver<Read> {
        let (sender, receiver) = mpsc::channel(RECORDS_AHEAD);
        let (common, log) = (Arc::clone(&self.common), self.partition.log.clone());
        drop(tokio::task::spawn_blocking(move || {
            let hand_over = |read| sender.blocking_send(read).is_ok();
            let cursor = match common.cursors.open(&log, next) {
                Ok(cursor) => cursor,
                Err(error) => return hand_over(Read::Failed(error)),
            };
            while !sender.is_closed() {
                let read = match cursor.next(PATIENCE) {
                    Ok(Found::Record(record)) => {
                        use rdkafka::Message as _;
                        let held = common.intake.read(&*record).held;
                        let print = crate::partition::window::fingerprint(
                            record.offset(),
                            record.key(),
                            record.payload(),
                        );
                        Read::Record(record.offset(), print, held.map(|held: Held| held.purge))
                    }
                    Ok(Found::End) => Read::End,
                    Err(error) => Read::Failed(error),
                };
                if !hand_over(read) {
                    break;
                }
            }
            true
        }));
        receiver
    }

    fn slice_of(&self, chunk: &Chunk, from: i64) -> Slice {
        let purges = fold(&chunk.purges, self.common.rules.batch.min(SELECTORS_MAX));
        Slice { from, to: chunk.to, last: chunk.last, purges, is_urgent: false }
    }
}

/// Records that were missed, in a row.
#[derive(Debug)]
struct Chunk {
    /// Behind the last of them.
    to: i64,
    last: Option<u64>,
    purges: Vec<(i64, Bytes)>,
    records: usize,
    /// What came after them.
    end: Option<Read>,
}

impl Chunk {
    /// Takes what there is, up to a number; waits for the first only.
    async fn gather(records: &mut mpsc::Receiver<Read>, next: i64) -> Self {
        let mut chunk = Self { to: next, last: None, purges: Vec::new(), records: 0, end: None };
        while chunk.records < CHUNK {
            let read = match records.try_recv() {
                Ok(read) => read,
                Err(_none_yet) if chunk.records > 0 => {
                    match tokio::time::timeout(GATHER, records.recv()).await {
                        Ok(Some(read)) => read,
                        Ok(None) | Err(_) => break,
                    }
                }
                Err(_none_yet) => match records.recv().await {
                    Some(read) => read,
                    None => Read::Failed(CursorError::Silence(Duration::ZERO)),
                },
            };
            match read {
                Read::Record(offset, print, purge) => {
                    chunk.records += 1;
                    chunk.to = offset + 1;
                    chunk.last = Some(print);
                    chunk.purges.extend(purge.map(|purge| (offset, purge)));
                }
                end => {
                    chunk.end = Some(end);
                    break;
                }
            }
        }
        chunk
    }

    const fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// Folds purges: each selector once in each mode, with the newest offset. Purges with a revision keep it, those that ask for a
/// refresh lose it: what was hot then is not what is hot now.
pub fn fold(purges: &[(i64, Bytes)], selectors_max: usize) -> Vec<(i64, Bytes)> {
    let mut plain: HashMap<PurgeMode, PurgeRequest> = HashMap::new();
    let mut fenced: BTreeMap<i64, LoggedPurge> = BTreeMap::new();
    let mut newest = 0;
    for (offset, json) in purges {
        let Ok(purge) = serde_json::from_slice::<LoggedPurge>(json) else { continue };
        newest = newest.max(*offset);
        if purge.revision.is_some() {
            fenced.insert(*offset, LoggedPurge { rewarm: None, ..purge });
            continue;
        }
        let all = plain.entry(purge.request.mode.unwrap_or_default()).or_default();
        all.tags.extend(purge.request.tags);
        all.urls.extend(purge.request.urls);
        all.hosts.extend(purge.request.hosts);
        all.prefixes.extend(purge.request.prefixes);
        all.all |= purge.request.all;
    }
    let mut folded: Vec<LoggedPurge> = fenced.into_values().collect();
    for mode in [PurgeMode::Hard, PurgeMode::Soft] {
        let Some(request) = plain.remove(&mode) else { continue };
        folded.extend(split(request, mode, newest, selectors_max));
    }
    folded.sort_by_key(|purge| purge.offset);
    let encode = |purge: LoggedPurge| {
        let json = serde_json::to_vec(&purge).unwrap_or_default();
        (purge.offset, Bytes::from(json))
    };
    folded.into_iter().map(encode).collect()
}

/// Which list of selectors of a purge.
type ListOf = fn(&mut PurgeRequest) -> &mut Vec<String>;

/// Splits a large purge into several that a proxy takes.
fn split(
    mut request: PurgeRequest,
    mode: PurgeMode,
    offset: i64,
    selectors_max: usize,
) -> Vec<LoggedPurge> {
    let reason = Some("catching up".to_owned());
    if request.all {
        let request =
            PurgeRequest { all: true, mode: Some(mode), reason, ..PurgeRequest::default() };
        return vec![LoggedPurge { offset, request, revision: None, rewarm: None }];
    }
    let mut parts = Vec::new();
    let lists: [(&mut Vec<String>, ListOf); 4] = [
        (&mut request.tags, |part| &mut part.tags),
        (&mut request.urls, |part| &mut part.urls),
        (&mut request.hosts, |part| &mut part.hosts),
        (&mut request.prefixes, |part| &mut part.prefixes),
    ];
    for (list, of_part) in lists {
        list.sort_unstable();
        list.dedup();
        for selectors in list.chunks(selectors_max.max(1)) {
            let mut part = PurgeRequest {
                mode: Some(mode),
                reason: reason.clone(),
                ..PurgeRequest::default()
            };
            of_part(&mut part).extend_from_slice(selectors);
            parts.push(LoggedPurge { offset, request: part, revision: None, rewarm: None });
        }
    }
    parts
}

/// Records in one chunk.
const CHUNK: usize = 10_000;
/// How long a chunk waits for more records.
const GATHER: Duration = Duration::from_millis(20);
/// Records that a cursor reads ahead of the deliveries.
const RECORDS_AHEAD: usize = 2000;
/// Selectors in one folded purge: what proxies take by default.
const SELECTORS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(
        offset: i64,
        tags: &[&str],
        mode: Option<PurgeMode>,
        revision: Option<u64>,
    ) -> (i64, Bytes) {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let request = PurgeRequest { tags, mode, ..PurgeRequest::default() };
        let purge = LoggedPurge { offset, request, revision, rewarm: None };
        (offset, serde_json::to_vec(&purge).unwrap().into())
    }

    type Folded = (i64, Vec<String>, Option<PurgeMode>, Option<u64>);

    fn folded(purges: &[(i64, Bytes)], max: usize) -> Vec<Folded> {
        let read = |(offset, json): (i64, Bytes)| {
            let purge: LoggedPurge = serde_json::from_slice(&json).unwrap();
            (offset, purge.request.tags, purge.request.mode, purge.revision)
        };
        fold(purges, max).into_iter().map(read).collect()
    }

    #[test]
    fn each_tag_is_purged_once_in_each_mode() {
        let (hard, soft) = (Some(PurgeMode::Hard), Some(PurgeMode::Soft));
        let missed = [
            purge(3, &["a", "b"], soft, None),
            purge(4, &["a"], None, None),
            purge(5, &["b"], soft, None),
            purge(7, &["c"], soft, Some(9)),
            purge(8, &["a"], soft, None),
        ];
        let texts = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            folded(&missed, 100),
            [
                (7, texts(&["c"]), soft, Some(9)),
                (8, texts(&["a"]), hard, None),
                (8, texts(&["a", "b"]), soft, None),
            ]
        );
    }

    #[test]
    fn no_folded_purge_is_larger_than_a_proxy_takes() {
        let tags: Vec<String> = (0..25).map(|tag| format!("t{tag:02}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let parts = folded(&[purge(1, &tags, None, None)], 10);
        assert_eq!(parts.iter().map(|part| part.1.len()).collect::<Vec<_>>(), [10, 10, 5]);
    }
}
