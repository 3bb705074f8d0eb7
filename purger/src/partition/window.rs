//! `Window`: the newest records of a partition, held for the proxies that keep up. Pure.
//!
//! It covers a contiguous range of offsets. Records that purge nothing are not held, but covered;
//! so are offsets that Kafka skips (transaction markers, compacted records). A proxy whose position
//! lies before the window reads from Kafka itself.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;

#[derive(Clone, Debug)]
pub struct HeldRecord {
    pub offset: i64,
    pub fingerprint: u64,
    /// The purge in the form that is sent: the JSON of a [`purge_protocol::log::LoggedPurge`], or
    /// of its parts.
    pub purges: Vec<Bytes>,
    pub selectors: usize,
    /// Time of the change, if the event has it.
    pub time: Option<SystemTime>,
    /// Sent without waiting for others.
    pub is_urgent: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    pub from: i64,
    pub to: i64,
    /// The fingerprint of the record at `to - 1`, if it is known.
    pub last: Option<u64>,
    pub purges: Vec<(i64, Bytes)>,
    /// At least one of the purges is urgent.
    pub is_urgent: bool,
}

impl Slice {
    /// Makes a slice that covers nothing.
    pub const fn empty(at: i64) -> Self {
        Self { from: at, to: at, last: None, purges: Vec::new(), is_urgent: false }
    }
}

/// The newest records of a partition.
#[derive(Debug)]
pub struct Window {
    start: i64,
    end: i64,
    /// The fingerprint of the record at `end - 1`.
    last: Option<u64>,
    held: VecDeque<HeldRecord>,
    bytes: u64,
    limits: WindowLimits,
}

#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    pub records: usize,
    /// Bytes of purges in the form that is sent.
    pub bytes: u64,
    /// Bytes of purges in one slice; a single larger record is a slice, too.
    pub batch: usize,
}

impl Window {
    /// Makes an empty window at an offset.
    pub const fn new(start: i64, limits: WindowLimits) -> Self {
        Self { start, end: start, last: None, held: VecDeque::new(), bytes: 0, limits }
    }

    pub const fn set_limits(&mut self, limits: WindowLimits) {
        self.limits = limits;
    }

    pub const fn start(&self) -> i64 {
        self.start
    }

    /// Returns the offset behind the last one it covers.
    pub const fn end(&self) -> i64 {
        self.end
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Bytes that the held records take.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns whether no record is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Covers the record at this offset, and holds it if it purges something. `None`: it purges
    /// nothing.
    pub fn push(&mut self, offset: i64, fingerprint: u64, held: Option<HeldRecord>) {
        self.end = self.end.max(offset + 1);
        self.last = Some(fingerprint);
        if let Some(held) = held {
            self.bytes += cost(&held);
            self.held.push_back(held);
        }
    }

    /// Covers everything below this offset, where Kafka has no more records.
    pub fn skip_to(&mut self, offset: i64) {
        if offset > self.end {
            self.end = offset;
            self.last = None;
        }
    }

    /// Drops the oldest records over the limits, but none from `needed` on; returns whether it is
    /// still over them.
    pub fn trim(&mut self, needed: i64) -> bool {
        while self.is_over() {
            match self.held.front() {
                Some(front) if front.offset < needed => {
                    self.start = front.offset + 1;
                    self.bytes -= cost(front);
                    self.held.pop_front();
                }
                _ => return true,
            }
        }
        false
    }

    /// Returns the offset of the record in the middle. A proxy behind it is about to fall out of
    /// the window.
    pub fn middle(&self) -> i64 {
        self.held.get(self.held.len() / 2).map_or(self.end, |held| held.offset)
    }

    pub fn is_half_full(&self) -> bool {
        self.held.len() * 2 > self.limits.records || self.bytes * 2 > self.limits.bytes
    }

    fn is_over(&self) -> bool {
        self.held.len() > self.limits.records || self.bytes > self.limits.bytes
    }

    /// Returns the next records for a proxy at this position, at most `purges_max`; `None`: the
    /// position lies before the window.
    pub fn slice(&self, next: i64, purges_max: usize) -> Option<Slice> {
        if next < self.start {
            return None;
        }
        if next > self.end {
            // Another purger has already delivered records that are only being read here.
            return Some(Slice::empty(next));
        }
        let first = self.held.partition_point(|held| held.offset < next);
        let (mut bytes, mut selectors, mut records) = (0, 0, 0);
        let fits = |held: &&HeldRecord| {
            bytes += held.bytes();
            selectors += held.selectors;
            records += 1;
            records == 1 || bytes <= self.limits.batch && selectors <= BATCH_SELECTORS_MAX
        };
        let count = self.held.range(first..).take(purges_max).take_while(fits).count();
        let due = || self.held.range(first..first + count);
        let is_cut = self.held.len() - first > count;
        let (to, last) = match due().last() {
            Some(held) if is_cut => (held.offset + 1, Some(held.fingerprint)),
            _ => (self.end, self.last),
        };
        Some(Slice {
            from: next,
            to,
            last,
            is_urgent: due().any(|held| held.is_urgent),
            purges: due()
                .flat_map(|held| held.purges.iter().map(|purge| (held.offset, purge.clone())))
                .collect(),
        })
    }

    pub fn range(&self, from: i64, to: i64) -> impl Iterator<Item = &HeldRecord> {
        let first = self.held.partition_point(|held| held.offset < from);
        let last = self.held.partition_point(|held| held.offset < to);
        self.held.range(first..last.max(first))
    }

    /// Returns the fingerprint of the record at this offset, if it is known.
    pub fn fingerprint_at(&self, offset: i64) -> Option<u64> {
        if offset + 1 == self.end {
            return self.last;
        }
        self.range(offset, offset + 1).next().map(|held| held.fingerprint)
    }
}

/// Returns a hash that identifies a record in its log: another record at the same offset has
/// another one.
pub fn fingerprint(offset: i64, key: Option<&[u8]>, payload: Option<&[u8]>) -> u64 {
    use xxhash_rust::xxh3::Xxh3;
    let mut hash = Xxh3::new();
    hash.update(&offset.to_le_bytes());
    for part in [key, payload] {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(&length.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.digest()
}

impl HeldRecord {
    /// Bytes of its purges in the form that is sent.
    fn bytes(&self) -> usize {
        self.purges.iter().map(Bytes::len).sum()
    }
}

/// Selectors in one slice: half of what a proxy takes by default (`purge.log.max_selectors`).
const BATCH_SELECTORS_MAX: usize = 50_000;

/// Bytes that a held record takes: an allocator's size classes are up to an eighth apart, shared
/// bytes count their holders elsewhere, and the queue grows by doubling.
fn cost(held: &HeldRecord) -> u64 {
    let purges = held.bytes() + held.bytes() / 8;
    let each = size_of::<Bytes>() + SHARED_BYTES;
    (purges + held.purges.len() * each + 2 * size_of::<HeldRecord>()) as u64
}

const SHARED_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WindowLimits = WindowLimits { records: 3, bytes: 1 << 20, batch: 1 << 20 };

    fn held(offset: i64) -> HeldRecord {
        HeldRecord {
            offset,
            fingerprint: offset.unsigned_abs() * 7,
            purges: vec![Bytes::from(format!("{offset}"))],
            selectors: 1,
            time: None,
            is_urgent: offset == 13,
        }
    }

    fn window(offsets: &[i64]) -> Window {
        let mut window = Window::new(10, LIMITS);
        for offset in offsets {
            window.push(*offset, offset.unsigned_abs() * 7, Some(held(*offset)));
        }
        window
    }

    fn offsets(slice: &Slice) -> Vec<i64> {
        slice.purges.iter().map(|(offset, _)| *offset).collect()
    }

    #[test]
    fn slices_abut_and_cover_records_without_purges() {
        let mut window = window(&[10, 12, 13]);
        window.push(15, 99, None);
        let first = window.slice(10, 2).unwrap();
        assert_eq!((first.from, first.to, first.last), (10, 13, Some(12 * 7)));
        assert_eq!(offsets(&first), [10, 12]);
        assert!(!first.is_urgent);
        let second = window.slice(first.to, 2).unwrap();
        assert_eq!((second.from, second.to, second.last), (13, 16, Some(99)));
        assert!(second.is_urgent);
        let idle = window.slice(16, 2).unwrap();
        assert_eq!((idle.from, idle.to, idle.purges.len()), (16, 16, 0));
    }

    #[test]
    fn a_proxy_before_the_window_reads_from_kafka_and_one_ahead_waits() {
        let window = window(&[10, 11]);
        assert_eq!(window.slice(9, 10), None);
        let ahead = window.slice(13, 10).unwrap();
        assert_eq!((ahead.from, ahead.to, ahead.purges.len()), (13, 13, 0), "it has them already");
    }

    #[test]
    fn needed_records_are_never_dropped() {
        let mut window = window(&[10, 11, 12, 13, 14]);
        assert!(window.trim(10), "over, and nothing may go");
        assert_eq!(window.start(), 10);
        assert!(window.trim(11));
        assert_eq!((window.start(), window.len()), (11, 4));
        assert!(!window.trim(15));
        assert_eq!((window.start(), window.len()), (12, 3), "no more than has to go");
    }

    #[test]
    fn the_last_record_is_known_by_its_fingerprint() {
        let mut window = window(&[10, 12]);
        assert_eq!(window.fingerprint_at(12), Some(12 * 7));
        assert_eq!(window.fingerprint_at(11), None);
        window.skip_to(20);
        assert_eq!(window.fingerprint_at(19), None, "there is no record");
        assert_eq!(window.slice(13, 5).unwrap().to, 20);
    }

    #[test]
    fn another_record_has_another_fingerprint() {
        let records = [
            (1, None, Some(&b"ab"[..])),
            (2, None, Some(b"ab")),
            (1, Some(&b"a"[..]), Some(b"b")),
            (1, Some(b""), Some(b"ab")),
            (1, None, None),
        ];
        let prints: std::collections::BTreeSet<u64> = records
            .iter()
            .map(|(offset, key, payload)| fingerprint(*offset, *key, *payload))
            .collect();
        assert_eq!(prints.len(), records.len());
    }
}
