//! `Positions`: how far the proxy has come in each partition, and since when it may have missed
//! something. Pure: it is told the time.

use std::collections::BTreeMap;
use std::time::Duration;

use purge_protocol::log::{Batch, LogId, Position, Start};

use process::timestamp::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Positions {
    held: BTreeMap<LogId, HeldPosition>,
    /// By cluster and topic, as the last batch said.
    topics: BTreeMap<(String, String), Topic>,
    begun: Timestamp,
    /// Recovered responses may miss purges of any partition of their topics, also of those without
    /// a recovered position.
    is_catching_up: bool,
    /// Partitions whose positions are gone, and may still be in the journal.
    forgotten: Vec<LogId>,
}

#[derive(Clone, Copy, Debug)]
struct HeldPosition {
    next: i64,
    last: Option<u64>,
    /// The end of the partition, as the last batch said that told of it.
    end: Option<i64>,
    /// Everything that was in the partition at that moment is applied; before the first such
    /// message, the moment of creation.
    clean: Timestamp,
    is_said: bool,
    /// Purges from before the start may be missing: no batch has been clean at a moment after it.
    is_behind: bool,
    /// A purger has spoken of it since the start.
    is_attended: bool,
}

/// The number of partitions of a topic, and the time since which it is known.
#[derive(Clone, Copy, Debug)]
struct Topic {
    partitions: i32,
    since: Timestamp,
}

/// The effect of a batch that begins at or below the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPosition {
    /// Purges below were applied before and are skipped; an old purge must not hit what is fresh.
    pub applied: i64,
    pub kind: BatchKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    Start,
    Advance,
    Heartbeat,
    /// All of it was applied before.
    Repeat,
}

/// A batch that does not follow on: what lies between was lost, or the proxy has no position at
/// all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

impl Positions {
    /// Begins with what was recovered together with the stored responses. All of it is behind until
    /// a purger says otherwise.
    pub fn recovered(positions: Vec<Position>, now: Timestamp) -> Self {
        let held = |position: Position| {
            let Position { log, next, last, .. } = position;
            let held = HeldPosition {
                next,
                last,
                end: None,
                clean: now,
                is_said: false,
                is_behind: true,
                is_attended: false,
            };
            (log, held)
        };
        let held: BTreeMap<_, _> = positions.into_iter().map(held).collect();
        let is_catching_up = !held.is_empty();
        Self { held, begun: now, is_catching_up, ..Self::default() }
    }

    /// Compares a batch with the position. [`Self::take`] moves the position after the batch was
    /// applied.
    pub fn position_of(&self, batch: &Batch) -> Result<BatchPosition, Gap> {
        if batch.start.is_some() {
            return Ok(BatchPosition { applied: i64::MIN, kind: BatchKind::Start });
        }
        let next = match self.held.get(&batch.log) {
            Some(held) => held.next,
            // The topic has grown: of a log that begins at 0 nothing can be missing there.
            None if batch.from == 0 && self.knows_topic(&batch.log) => 0,
            None => return Err(Gap),
        };
        if batch.from > next {
            return Err(Gap);
        }
        let kind = if batch.to > next {
            BatchKind::Advance
        } else if batch.from == batch.to {
            BatchKind::Heartbeat
        } else {
            BatchKind::Repeat
        };
        Ok(BatchPosition { applied: next, kind })
    }

    fn knows_topic(&self, log: &LogId) -> bool {
        self.held.keys().any(|held| held.cluster == log.cluster && held.topic == log.topic)
    }

    /// Takes a batch that was applied, `received` at that moment, and returns the position.
    pub fn take(&mut self, batch: &Batch, received: Timestamp) -> Position {
        self.note_topic(batch, received);
        if batch.start == Some(Start::Replaced) {
            self.leave_other_clusters(&batch.log);
        }
        let begun = self.begun;
        // A position that is set makes the proxy validate what it recovered: nothing of it is
        // waited for.
        let is_behind = self.is_catching_up && batch.start.is_none();
        let fresh = HeldPosition {
            next: batch.to,
            last: batch.last,
            end: None,
            clean: received,
            is_said: false,
            is_behind,
            is_attended: true,
        };
        let held = self.held.entry(batch.log.clone()).or_insert(fresh);
        if batch.start.is_some() {
            *held = fresh;
        } else if batch.to > held.next {
            (held.next, held.last) = (batch.to, batch.last);
        } else if batch.to == held.next {
            held.last = held.last.or(batch.last);
        }
        held.is_attended = true;
        held.end = batch.end.or(held.end);
        if let Some(clean) = clean_moment(batch, received) {
            held.clean = if held.is_said { held.clean.max(clean) } else { clean };
            held.is_said = true;
            held.is_behind &= clean < begun;
        }
        Position { log: batch.log.clone(), next: held.next, last: held.last, clean_ms: None }
    }

    fn note_topic(&mut self, batch: &Batch, now: Timestamp) {
        let LogId { cluster, topic, .. } = &batch.log;
        let name = (cluster.clone(), topic.clone());
        let known = self.topics.entry(name).or_insert(Topic { partitions: 0, since: now });
        if known.partitions != batch.partitions {
            *known = Topic { partitions: batch.partitions, since: now };
            let is_gone = |log: &LogId| {
                log.cluster == *cluster && log.topic == *topic && log.partition >= batch.partitions
            };
            self.forget(is_gone);
        }
    }

    /// The topic has moved to this cluster: of the others nothing will come any more.
    fn leave_other_clusters(&mut self, log: &LogId) {
        let LogId { cluster, topic, .. } = log;
        self.topics.retain(|(of, name), _| name != topic || of == cluster);
        self.forget(|held| held.topic == *topic && held.cluster != *cluster);
    }

    fn forget(&mut self, is_gone: impl Fn(&LogId) -> bool) {
        let gone = self.held.extract_if(.., |log, _| is_gone(log));
        self.forgotten.extend(gone.map(|(log, _)| log));
    }

    /// Takes the partitions that were forgotten since this was last asked.
    pub fn take_forgotten(&mut self) -> Vec<LogId> {
        std::mem::take(&mut self.forgotten)
    }

    /// The moment of which it is known that everything that was in the log then has been applied;
    /// `None` without a purger.
    ///
    /// A partition without a position counts from when it became known that there is one.
    pub fn clean(&self) -> Option<Timestamp> {
        let held = self.held.values().map(|held| held.clean);
        let missing = self.topics.iter().filter(|(name, topic)| self.is_partial(name, topic));
        held.chain(missing.map(|(_, topic)| topic.since)).min()
    }

    fn is_partial(&self, (cluster, name): &(String, String), topic: &Topic) -> bool {
        let own = self.held.keys().filter(|log| log.cluster == *cluster && log.topic == *name);
        i32::try_from(own.count()).unwrap_or(i32::MAX) < topic.partitions
    }

    /// Returns whether what was recovered may still miss purges: in a partition that is not clean
    /// since the start, or in one of which no batch has come, though its topic has it.
    pub fn is_behind(&self) -> bool {
        let is_partial = || self.topics.iter().any(|(name, topic)| self.is_partial(name, topic));
        self.is_catching_up && (self.held.values().any(|held| held.is_behind) || is_partial())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns whether no purger has ever been there.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns whether there is a position in this partition.
    pub fn has(&self, log: &LogId) -> bool {
        self.held.contains_key(log)
    }

    /// Ends the wait for purges that what was recovered may miss: they have come, or it is
    /// validated before it is used.
    pub fn end_catch_up(&mut self) {
        self.is_catching_up = false;
    }

    /// Forgets topics that no purger has spoken of since the start, where others are attended:
    /// topics are renamed. Returns whether there were any.
    pub fn forget_unattended(&mut self) -> bool {
        let before = self.held.len();
        let is_named = |log: &LogId| {
            let mut topics = self.topics.keys();
            topics.any(|(cluster, topic)| *cluster == log.cluster && *topic == log.topic)
        };
        let is_gone = |(log, held): (&LogId, &HeldPosition)| !held.is_attended && !is_named(log);
        if !self.topics.is_empty() {
            let gone: Vec<LogId> =
                self.held.iter().filter(|one| is_gone(*one)).map(|(log, _)| log.clone()).collect();
            self.forget(|log| gone.contains(log));
        }
        self.held.len() < before
    }

    /// Forgets all partitions of a topic; returns how many there were.
    pub fn forget_topic(&mut self, topic: &str) -> usize {
        let before = self.held.len();
        self.topics.retain(|(_, name), _| name != topic);
        self.forget(|log| log.topic == topic);
        before - self.held.len()
    }

    /// Returns the latest moment of which it is known that everything that was in some partition of
    /// the topic then has been applied.
    pub fn attended(&self, topic: &str) -> Option<Timestamp> {
        let of_topic = self.held.iter().filter(|(log, _)| log.topic == topic);
        of_topic.map(|(_, held)| held.clean).max()
    }

    /// Returns the number of records that are known to wait; `None` where no purger tells of the
    /// end. There may be more since it was asked for.
    pub fn lag(&self, log: &LogId) -> Option<u64> {
        let held = self.held.get(log)?;
        Some(u64::try_from(held.end? - held.next).unwrap_or(0))
    }

    pub fn shown(&self, now: Timestamp) -> Vec<Position> {
        let age = |held: &HeldPosition| {
            u64::try_from(now.since(held.clean).as_millis()).unwrap_or(u64::MAX)
        };
        let shown = |(log, held): (&LogId, &HeldPosition)| Position {
            log: log.clone(),
            next: held.next,
            last: held.last,
            clean_ms: held.is_said.then(|| age(held)),
        };
        self.held.iter().map(shown).collect()
    }
}

/// The moment of which everything that was in the log then lies below the batch's end, as far as
/// the purger says.
fn clean_moment(batch: &Batch, received: Timestamp) -> Option<Timestamp> {
    let by_own_clock = batch.clean_at.map(Timestamp::from_millis);
    let by_age = || batch.clean_ms.map(|age| received.minus(Duration::from_millis(age)));
    by_own_clock.or_else(by_age).map(|clean| clean.min(received))
}

#[cfg(test)]
mod tests;
