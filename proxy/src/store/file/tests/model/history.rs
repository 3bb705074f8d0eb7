//! One history: each operation is done to the store and to the truth, and both are compared.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use purge_protocol::PurgeMode;

use super::truth::{State, Truth, Version};
use super::{Aim, Length, Mode, Operation, SELECTING, Slot, TAGS, Tag};
use crate::freshness::Staleness::Fresh;
use crate::invalidation::{Mark, PurgeMark, PurgeTimes, RunningFetch, Verdict};
use crate::key::KeySeed;
use crate::purge::PurgeExecutor;
use crate::purge::metrics::Source;
use crate::store::ColdTier as _;
use crate::store::CopyMode;
use crate::store::body::BodyReader;
use crate::store::contract::{self, Page, key, selects};
use crate::store::file::device::disk::Disk as _;
use crate::store::file::device::simulated::{Crash, Power, Random, SimulatedDisk};
use crate::store::file::format::record::SEGMENTS_START;
use crate::store::file::tests::bench::{SimulatedStore, Size, block_on};
use crate::store::journal::JournalEntry;
use crate::store::{
    Body, Content, EntryWriter, NewEntry, Promote, Removal, Show, Store as _, StoreError, Stored,
};
use process::clock::Clock;
use process::timestamp::Timestamp;

pub(super) struct History {
    pub(super) store: SimulatedStore,
    pub(super) truth: Truth,
    pub(super) power: Arc<Mutex<Power>>,
    pub(super) readers: Vec<Reader>,
    /// Bits were flipped: the file is not what was written.
    pub(super) is_damaged: bool,
    /// A loss of power or a kill that is under way, with its seed.
    ending: Option<(Crash, u64)>,
    /// Segments that were given away or kept, and responses that were dropped, when last looked at.
    turnover: [u64; 3],
    written: u64,
    /// The time by a clock that is never wrong.
    time: Timestamp,
    /// The latest time that the wall clock has shown.
    latest: Timestamp,
    is_clock_set: bool,
    /// The power went off before the journal said so.
    is_clock_lost: bool,
    /// Bodies are so many times as long as the operation says.
    scale: u64,
}

pub(super) struct Reader {
    reading: Arc<dyn BodyReader>,
    body: Bytes,
    at: usize,
}

impl History {
    pub(super) fn run(size: Size, scale: u64, operations: Vec<Operation>) {
        let data = SimulatedDisk::new(size.geometry.file_bytes());
        let log = SimulatedDisk::new(size.geometry.half_bytes * 2);
        let mut history = Self {
            store: SimulatedStore::open(data, log, size, Clock::manual(BEGUN)).unwrap(),
            truth: Truth::default(),
            power: Arc::default(),
            readers: Vec::new(),
            is_damaged: false,
            ending: None,
            turnover: [0; 3],
            written: 0,
            time: BEGUN,
            latest: BEGUN,
            is_clock_set: false,
            is_clock_lost: false,
            scale,
        };
        history.plug();
        for operation in operations {
            history = history.operate(operation);
        }
        let (crash, seed) = history.ending.unwrap_or((Crash::Kill, 0));
        drop(history.crash(crash, seed));
    }

    fn plug(&mut self) {
        self.power = Arc::default();
        self.store.data.plug(&self.power);
        self.store.log.plug(&self.power);
    }

    pub(super) fn is_off(&self) -> bool {
        self.power.lock().steps_left == Some(0)
    }

    fn operate(mut self, operation: Operation) -> Self {
        self.latest = self.latest.max(self.store.clock.wall());
        match (operation, self.ending) {
            (Operation::Crash(..) | Operation::Restart, Some((crash, seed))) => {
                return self.crash(crash, seed);
            }
            (Operation::Crash(crash, 0, seed), None) => return self.crash(crash, seed),
            (Operation::Crash(crash, steps, seed), None) => {
                self.power.lock().steps_left = Some(steps);
                self.ending = Some((crash, seed));
            }
            (Operation::Restart, None) => return self.restart(),
            (operation, _) => self.act(operation),
        }
        self.store.store.volume().journal.flush(); // what the journal's thread does soon
        if let Some((crash, seed)) = self.ending.filter(|_| self.is_off()) {
            return self.crash(crash, seed);
        }
        self.note_turnover();
        if self.is_out_of_service() {
            self.truth.excuse_all();
        }
        self.check_invariants();
        self
    }

    /// Returns whether a read has failed or the file was cut short: until a restart, memory is all
    /// there is.
    pub(super) fn is_out_of_service(&self) -> bool {
        !self.store.store.volume().disk.is_usable()
    }

    fn act(&mut self, operation: Operation) {
        match operation {
            Operation::Put(slot, tag, length) => self.put(slot, tag, length),
            Operation::Abort(length) => self.abort(length),
            Operation::Overtaken(slot, tag, length, aim) => self.overtaken(slot, tag, length, aim),
            Operation::Get(slot) => drop(self.check(slot, None)),
            Operation::Range(slot, from, length) => self.read_range(slot, from, length),
            Operation::GetUnreadable(slot) => self.get_unreadable(slot),
            Operation::Freshen(slot) => self.freshen(slot),
            Operation::Remove(slot) => self.remove(slot),
            Operation::Purge(aim, mode) => self.purge(aim, mode),
            Operation::Flood => self.flood(),
            Operation::Advance(seconds) => {
                let span = Duration::from_secs(seconds);
                self.store.clock.advance(span);
                self.time = self.time.plus(span);
                let now = self.time;
                let old = self.truth.versions.iter_mut().filter(|version| version.until <= now);
                old.for_each(|version| version.is_certain = false);
            }
            Operation::SetClock(seconds) => self.set_clock(seconds),
            Operation::Evict => self.store.store.evict_all(),
            Operation::Sync => self.sync(),
            Operation::Sweep => self.store.store.sweep_useless(),
            Operation::Open(slot) => self.open(slot),
            Operation::ReadOn(length) => self.read_on(length),
            Operation::CloseAll => self.readers.clear(),
            Operation::Flip(bit) => self.flip(bit),
            Operation::Cut(thousandths) => self.cut(thousandths),
            Operation::Restart | Operation::Crash(..) => {}
        }
    }

    fn draft(&mut self, birth: &RunningFetch, slot: Slot, tag: Tag) -> NewEntry {
        self.written += 1;
        let invalidation = &self.store.invalidation;
        let second = self.written;
        let page = Page { path: slot.path(), selecting: slot.selecting(), second, tags: &[] };
        let ids = invalidation.ids();
        let mut tags = vec![ids.tag(TAGS[tag.0].as_bytes()), ids.host(b"shop.example")];
        let mut draft = contract::draft(invalidation, page);
        tags.extend(ids.places(&draft.key, Some(slot.page().as_bytes())));
        if let Content::Response(response) = &mut draft.content {
            let now = self.store.clock.now().as_millis().cast_signed();
            response.freshness = response.freshness.moved(now - second.cast_signed() * 1000);
        }
        NewEntry { provenance: birth.provenance(tags), ..draft }
    }

    /// Sets the wall clock. The store notes it soon, unless the power goes off.
    fn set_clock(&mut self, seconds: i64) {
        self.store.clock.set_wall(seconds * 1000);
        self.is_clock_set = true;
        self.truth.excuse_all();
        self.store.store.sweep_useless();
        self.store.store.volume().journal.flush();
        self.is_clock_lost |= self.is_off();
    }

    fn body(&self, slot: Slot, length: Length) -> Bytes {
        let length = usize::try_from(length.0 * self.scale).unwrap();
        let text = format!("{slot:?} {}|", self.written);
        let mut body = text.repeat(length / text.len() + 1).into_bytes();
        body.truncate(length);
        body.into()
    }

    fn write(&self, body: &[u8]) -> Result<Box<dyn EntryWriter>, StoreError> {
        let mut writer = self.store.store.begin();
        let pieces = body.chunks(16 << 10).map(Bytes::copy_from_slice);
        pieces.into_iter().try_for_each(|piece| writer.append(piece))?;
        Ok(writer)
    }

    fn put(&mut self, slot: Slot, tag: Tag, length: Length) {
        let birth = self.store.invalidation.begin_fetch();
        let draft = self.draft(&birth, slot, tag);
        let body = self.body(slot, length);
        if let Ok(stored) = self.write(&body).and_then(|writer| writer.commit(draft)) {
            self.stored(&stored, (slot, tag), body);
        }
    }

    /// Notes that the response in this slot was replaced or removed; or not, if the power goes off
    /// meanwhile.
    fn replace(&mut self, slot: Slot) {
        if self.is_off() {
            self.truth.in_slot(slot).for_each(|version| version.is_certain = false);
        } else {
            self.truth.replace(slot);
        }
    }

    fn stored(&mut self, stored: &Arc<Stored>, (slot, tag): (Slot, Tag), body: Bytes) {
        // As who fetched it does, while its fetch is still remembered.
        if !self.store.invalidation.may_keep(&stored.provenance, &stored.key) {
            self.store.store.remove(stored, Removal::Purged);
        }
        self.replace(slot);
        self.truth.versions.push(Version {
            slot,
            tag,
            second: second_of(stored),
            body,
            until: self.time.plus(stored.useless_after().since(self.store.clock.now())),
            fresh_until: self.time.plus(LIFETIME),
            state: State::Newest,
            is_soft: false,
            is_certain: !self.is_off(),
            is_durable: false,
        });
    }

    fn abort(&self, length: Length) {
        drop(self.write(&vec![b'x'; usize::try_from(length.0 * self.scale).unwrap()]));
    }

    fn overtaken(&mut self, slot: Slot, tag: Tag, length: Length, aim: Aim) {
        let birth = self.store.invalidation.begin_fetch();
        let draft = self.draft(&birth, slot, tag);
        let body = self.body(slot, length);
        let Ok(writer) = self.write(&body) else { return };
        self.purge(aim, Mode::Hard);
        let is_purged = aim.covers(slot, tag) && !self.is_off();
        let Ok(stored) = writer.commit(draft) else { return };
        self.stored(&stored, (slot, tag), body);
        if let Some(version) = self.truth.versions.last_mut() {
            version.is_certain = false; // too much may be invalidated
            if is_purged {
                version.state = State::Gone;
            }
        }
    }

    /// Finds the response that a request is given, as the cache would look it up: for one use, or
    /// to stay in memory.
    fn find(&self, slot: Slot, promote: Promote) -> Option<(Arc<Stored>, Verdict)> {
        let key = key(slot.path());
        let store = &*self.store.store;
        let is_it = |stored: &Stored| {
            selects(stored, SELECTING[slot.1]) && stored.variant.is_some() == (slot.1 > 0)
        };
        let look = || {
            let transients = block_on(store.load(&key, promote));
            let transient = transients.into_iter().find(|transient| is_it(transient));
            store.lookup(&key, &is_it).or(transient)
        };
        let stored = look().or_else(look)?; // it may have been moved
        let verdict = self.store.invalidation.verdict(&stored.provenance, &stored.key);
        (verdict != Verdict::Purged).then_some((stored, verdict))
    }

    /// Compares the response that is found with the truth. Returns the second at which its head
    /// arrived.
    fn check(&mut self, slot: Slot, after: Option<Crash>) -> Option<u64> {
        let found = self.find(slot, Promote::IfHot);
        let read = found.as_ref().and_then(|(stored, verdict)| {
            let version = self.truth.of_second(second_of(stored));
            let version = version.unwrap_or_else(|| panic!("{slot:?}: nobody has stored this"));
            let what = (slot, version.second, version.body.len(), version.state, after);
            let read = read(stored)?; // else the client is broken off, and the next does not find it
            assert!(read == version.body, "{what:?}: other bytes than were stored");
            assert!(version.slot == slot && version.may_be_shown(after), "{what:?} is shown");
            assert!(!version.is_soft || *verdict != Verdict::Valid, "{what:?} looks fresh");
            let is_excused = after.is_none() || self.is_clock_set;
            assert!(is_excused || version.until > self.time, "{what:?} has expired");
            let freshness = stored.response().unwrap().freshness;
            let is_fresh = freshness.state(self.store.clock.now(), None) == Fresh;
            let is_due = self.is_clock_lost || version.fresh_until >= self.time;
            assert!(!is_fresh || is_due, "{what:?} is taken for younger than it is");
            Some(version.second)
        });
        let missed = self.truth.in_slot(slot).find(|it| it.state == State::Newest && it.is_certain);
        if let Some(missed) = missed.filter(|missed| read != Some(missed.second)) {
            panic!("{slot:?} {} of {} bytes is missed", missed.second, missed.body.len());
        }
        read
    }

    fn read_range(&self, slot: Slot, from: u64, length: u64) {
        let Some((stored, _)) = self.find(slot, Promote::IfHot) else { return };
        let second = second_of(&stored);
        let version = self.truth.of_second(second).unwrap();
        let end = version.body.len();
        let start = end * usize::try_from(from).unwrap() / 1000;
        let range = start..(start + usize::try_from(length).unwrap() * 100).min(end);
        let wanted = version.body[range.clone()].to_vec();
        let bounds = range.start as u64..range.end as u64;
        let read = match &stored.response().unwrap().body {
            Body::Deferred(body) => read_windows(&*Arc::clone(body).open(), bounds),
            body => Some(body.slices(&bounds).collect::<Vec<_>>().concat()),
        };
        if let Some(read) = read {
            assert!(version.may_be_shown(None), "{slot:?} {second} is shown in part");
            assert!(read == wanted, "{slot:?} {second}: other bytes");
        }
    }

    fn get_unreadable(&mut self, slot: Slot) {
        self.truth.excuse_all();
        self.store.data.fail_reads(true);
        self.check(slot, None);
        self.store.data.fail_reads(false);
    }

    fn freshen(&mut self, slot: Slot) {
        let Some((old, _)) = self.find(slot, Promote::Always) else { return };
        let version = self.truth.of_second(second_of(&old)).unwrap().clone();
        let birth = self.store.invalidation.begin_fetch();
        let draft = self.draft(&birth, slot, version.tag);
        if let Ok(new) = self.store.store.freshen(&old, draft) {
            self.stored(&new, (slot, version.tag), version.body);
            if let Some(newest) = self.truth.versions.last_mut() {
                newest.is_certain &= version.is_certain;
            }
        }
    }

    fn remove(&mut self, slot: Slot) {
        if let Some((stored, _)) = self.find(slot, Promote::Always) {
            assert!(self.store.store.remove(&stored, Removal::Replaced));
            self.store.store.volume().journal.flush();
            self.replace(slot);
        }
    }

    fn purge(&mut self, aim: Aim, mode: Mode) {
        let SimulatedStore { store, invalidation, journal, clock, .. } = &self.store;
        let (store, invalidation) = (Arc::clone(store), Arc::clone(invalidation));
        let executor =
            PurgeExecutor::new(store, invalidation, journal.clone(), KeySeed(3), clock.clone());
        let selector = aim.selector();
        let target = selector.target().unwrap();
        let (purge_mode, source) = match mode {
            Mode::Hard => (PurgeMode::Hard, Source::Admin),
            Mode::Soft => (PurgeMode::Soft, Source::Http),
        };
        let applied = block_on(executor.apply(None, vec![(selector, target)], purge_mode, source));
        match (applied, mode) {
            (Ok(_), Mode::Hard) => self.truth.purge(aim),
            (Ok(_), Mode::Soft) => self.truth.soften(aim),
            (Err(_), _) => {
                assert!(self.is_off(), "only a device that fails is an excuse");
                self.truth.excuse_all();
            }
        }
    }

    /// Purges of tags that nothing carries: so few that `PastPurges` folds none, or others could be
    /// taken for purged.
    fn flood(&self) {
        for number in 0..300 {
            let tag = format!("other-{}", number % 9);
            let id = self.store.invalidation.ids().tag(tag.as_bytes());
            let (mark, now) = (Mark::Tag(id), self.store.clock.now());
            let marks = vec![PurgeMark::of(&mark)];
            let sequence = self.store.invalidation.mark(&[mark], PurgeMode::Hard, now);
            let past = PurgeTimes::of(PurgeMode::Hard, sequence, now);
            self.store.journal.append(JournalEntry::Purge { marks, past });
        }
        drop(block_on(self.store.journal.settled()));
    }

    fn sync(&mut self) {
        let is_synced = self.store.data.sync().is_ok();
        if is_synced && block_on(self.store.journal.settled()).is_ok() {
            self.truth.sync();
        }
    }

    fn open(&mut self, slot: Slot) {
        let Some((stored, _)) = self.find(slot, Promote::IfHot) else { return };
        let version = self.truth.of_second(second_of(&stored)).unwrap();
        if let Body::Deferred(body) = &stored.response().unwrap().body {
            let reading = Arc::clone(body).open();
            self.readers.push(Reader { reading, body: version.body.clone(), at: 0 });
        }
    }

    /// Reads on with all readers: each is shown the content that it opened, or is broken off if it
    /// was in the way or the file is damaged.
    fn read_on(&mut self, length: u64) {
        let is_excused = self.is_damaged || self.is_out_of_service();
        let may_break = is_excused || self.store.store.volume().metrics.revoked.value() > 0;
        self.readers.retain_mut(|reader| {
            let Reader { reading, body, at } = reader;
            let to = (*at as u64 + length).min(body.len() as u64);
            let Ok(window) = reading.window(*at as u64, to, CopyMode::Mapped) else {
                assert!(may_break, "a reader was broken off");
                return false;
            };
            assert!(body[*at..].starts_with(window.chunk()), "a reader is shown other bytes");
            *at += window.remaining();
            *at < body.len()
        });
    }

    fn flip(&mut self, bit: usize) {
        let start = usize::try_from(SEGMENTS_START).unwrap();
        let bits = (self.store.data.bytes().len() - start) * 8;
        self.store.data.flip(start * 8 + bit % bits);
        self.is_damaged = true;
        self.truth.excuse_all();
    }

    /// Cuts the file short, and gives it its length back. Not while the power is about to go off:
    /// which records are dead may be known only by newer ones then, which are cut off, until the
    /// journal is durable.
    fn cut(&mut self, thousandths: usize) {
        if self.ending.is_some() || block_on(self.store.journal.settled()).is_err() {
            return;
        }
        let length = self.store.data.bytes().len();
        self.store.data.resize(length * thousandths / 1000);
        self.store.data.resize(length);
        self.is_damaged = true;
        self.truth.excuse_all();
    }

    /// Allows any miss after segments were given away or a response was dropped.
    fn note_turnover(&mut self) {
        let usage = self.store.store.file_usage();
        let [reclaimed, kept] = usage.reclaimed;
        let turnover = [reclaimed, kept, usage.dropped];
        if turnover != self.turnover {
            self.turnover = turnover;
            self.truth.excuse_all();
        }
    }

    fn restart(mut self) -> Self {
        self.readers.clear();
        self.note_turnover();
        self.store = self.store.restart();
        self.truth.sync();
        self.begin_anew(Crash::Kill)
    }

    fn crash(mut self, crash: Crash, seed: u64) -> Self {
        self.readers.clear();
        self.note_turnover();
        self.store = self.store.crash(crash, &mut Random::of(seed));
        self.begin_anew(crash)
    }

    /// Compares all slots with the truth after a new process has opened the store.
    fn begin_anew(mut self, crash: Crash) -> Self {
        self.plug();
        (self.ending, self.turnover) = (None, [0; 3]);
        self.truth.crash(crash, self.time);
        if crash == Crash::Power && self.store.journal.recovered().is_none() {
            self.truth.excuse_all(); // purges may have been torn out of the journal: the store was discarded
        }
        if self.store.clock.wall() < self.latest {
            self.truth.excuse_all(); // the clock is wrong or was: no age may be known
        }
        for slot in Slot::all() {
            let second = self.check(slot, Some(crash));
            self.truth.found(slot, second);
        }
        self.store.store.volume().journal.flush();
        self.check_invariants();
        self
    }
}

fn second_of(stored: &Stored) -> u64 {
    let fields = stored.response().unwrap().fields.to_map(Show::All, 0);
    fields[contract::SECOND].to_str().unwrap().parse().unwrap()
}

fn read(stored: &Stored) -> Option<Vec<u8>> {
    match &stored.response()?.body {
        Body::Deferred(body) => Arc::clone(body).open().whole().ok().map(|pieces| pieces.concat()),
        body => Some(body.pieces().concat()),
    }
}

fn read_windows(reading: &dyn BodyReader, range: std::ops::Range<u64>) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    while range.start + (read.len() as u64) < range.end {
        read.extend_from_slice(
            reading
                .window(range.start + read.len() as u64, range.end, CopyMode::Mapped)
                .ok()?
                .chunk(),
        );
    }
    Some(read)
}

/// So late that the clock can be set back.
const BEGUN: Timestamp = Timestamp::from_secs(10_000_000);
const LIFETIME: Duration = Duration::from_mins(10);
