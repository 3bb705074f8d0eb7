//! Crashes: short histories, ended at every single step of the disk, by a kill or by a loss of
//! power; and long ones, ended anywhere. What is found afterwards is compared with a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use purge_protocol::{PurgeMode, UrlPrefix};

use super::bench::{NOW, SMALL, SimulatedStore, Size};
use crate::invalidation::Mark;
use crate::store::contract::{Page, key};
use crate::store::file::device::simulated::{Crash, Power, Random, SimulatedDisk};
use crate::store::file::format::journal::Frame;
use crate::store::{Removal, Store as _};
use process::clock::Clock;

/// The versions that may be found under one path.
#[derive(Clone, Debug, Default)]
struct Expected {
    versions: Vec<Version>,
}

#[derive(Clone, Debug)]
struct Version {
    body: Vec<u8>,
    tag: &'static str,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Newest,
    /// Replaced or removed, but not yet for good: after a loss of power it may be there.
    Replaced,
    /// May never be shown again.
    Gone,
}

struct History {
    store: SimulatedStore,
    power: Arc<Mutex<Power>>,
    truth: BTreeMap<String, Expected>,
    random: Random,
    written: u64,
}

impl History {
    fn begin(seed: u64, steps_left: Option<u64>, size: Size) -> Self {
        let data = SimulatedDisk::new(size.geometry.file_bytes());
        let log = SimulatedDisk::new(size.geometry.half_bytes * 2);
        let store = SimulatedStore::open(data, log, size, Clock::manual(NOW)).unwrap();
        let power = Arc::new(Mutex::new(Power { steps_left, steps: 0 }));
        store.data.plug(&power);
        store.log.plug(&power);
        Self { store, power, truth: BTreeMap::new(), random: Random::of(seed), written: 0 }
    }

    fn is_off(&self) -> bool {
        self.power.lock().steps_left == Some(0)
    }

    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            if self.is_off() {
                break;
            }
            self.operate();
        }
    }

    /// Does one random operation. It may have happened or not if the power went off meanwhile.
    fn operate(&mut self) {
        let path = format!("/{}", self.random.below(5));
        match self.random.below(20) {
            0..10 => self.put(&path),
            10..12 => {
                let tag = TAGS[usize::try_from(self.random.below(3)).unwrap()];
                let id = self.store.invalidation.ids().tag(tag.as_bytes());
                self.purge(&Mark::Tag(id), |_, version| version.tag == tag);
            }
            12 => {
                let id = self.store.invalidation.ids().url(&key(&path));
                self.purge(&Mark::Tag(id), |other, _| *other == path);
            }
            13 => {
                let prefix = UrlPrefix::parse(&path).unwrap();
                self.purge(&Mark::Prefix(&prefix), |other, _| *other == path);
            }
            14 if self.random.below(3) == 0 => self.purge(&Mark::All, |_, _| true),
            14 | 15 => self.remove(&path),
            16 => self.sync(),
            17 => self.store.clear_source(),
            18 => self.store.store.sweep(),
            _ => drop(self.check(&path, Crash::Kill)),
        }
    }

    fn put(&mut self, path: &str) {
        let tag = TAGS[usize::try_from(self.random.below(3)).unwrap()];
        let length = match self.random.below(6) {
            0 => 0,
            1 => 30_000,
            2 => 150_000,
            length => length * 700,
        };
        self.written += 1;
        let text = format!("{path} {tag} {}|", self.written);
        let body: Vec<u8> = text.bytes().cycle().take(usize::try_from(length).unwrap()).collect();
        let page = Page { tags: &[tag], second: 50 + self.written, ..Page::at(path) };
        let stored = self.store.put_page(page, &body).is_ok();
        let is_off = self.is_off();
        let expected = self.truth.entry(path.to_owned()).or_default();
        if stored && !is_off {
            expected.replace();
        }
        if stored {
            expected.versions.push(Version { body, tag, state: State::Newest });
        }
    }

    fn purge(&mut self, mark: &Mark<'_>, is_meant: impl Fn(&String, &Version) -> bool) {
        let is_acknowledged = self.store.purge(mark, PurgeMode::Hard).is_ok();
        if is_acknowledged {
            for (path, expected) in &mut self.truth {
                let meant = expected.versions.iter_mut().filter(|it| is_meant(path, it));
                meant.for_each(|version| version.state = State::Gone);
            }
        }
    }

    fn remove(&mut self, path: &str) {
        let key = key(path);
        crate::store::contract::load(&*self.store.store, &key);
        if let Some(stored) = self.store.store.lookup(&key, &|_| true) {
            assert!(self.store.store.remove(&stored, Removal::Replaced));
        }
        drop(super::bench::block_on(async { self.store.journal.settled().await }));
        if !self.is_off() {
            self.truth.entry(path.to_owned()).or_default().replace();
        }
    }

    /// Syncs: from now on, replaced versions are gone for good.
    fn sync(&mut self) {
        use crate::store::file::device::disk::Disk as _;
        let synced = self.store.data.sync().is_ok()
            && super::bench::block_on(self.store.journal.settled()).is_ok();
        if synced {
            for version in self.truth.values_mut().flat_map(|expected| &mut expected.versions) {
                if version.state == State::Replaced {
                    version.state = State::Gone;
                }
            }
        }
    }

    /// Returns whether a response is found, which must be allowed.
    fn check(&self, path: &str, crash: Crash) -> bool {
        let Some(found) = self.store.get(path) else { return false };
        let expected = self.truth.get(path).cloned().unwrap_or_default();
        let may_be_shown = |version: &&Version| match version.state {
            State::Newest => true,
            State::Replaced => crash == Crash::Power,
            State::Gone => false,
        };
        let allowed = expected.versions.iter().filter(may_be_shown);
        let is_allowed = allowed.clone().any(|version| version.body == found);
        let states: Vec<_> = expected
            .versions
            .iter()
            .map(|it| (it.body.len(), it.state, it.body == found))
            .collect();
        assert!(is_allowed, "{path}: {} bytes are shown of {states:?}", found.len());
        true
    }

    /// Crashes, opens the store again, and looks at all paths; returns the number of responses
    /// found.
    fn crash(mut self, crash: Crash) -> (Self, usize) {
        let mut random = self.random.clone();
        self.store = self.store.crash(crash, &mut random);
        self.store.assert_counted();
        self.power = Arc::default();
        self.store.data.plug(&self.power);
        self.store.log.plug(&self.power);
        self.random = random;
        let paths: Vec<String> = self.truth.keys().cloned().collect();
        let found = paths.iter().filter(|path| self.check(path, crash)).count();
        // What was found is the truth from now on.
        for (path, expected) in &mut self.truth {
            let found = self.store.get(path);
            for version in &mut expected.versions {
                let is_it = found.as_ref() == Some(&version.body);
                // What is not there now never comes back.
                let is_gone = version.state == State::Gone || !is_it;
                version.state = if is_gone { State::Gone } else { State::Newest };
            }
        }
        (self, found)
    }
}

impl Expected {
    fn replace(&mut self) {
        for version in &mut self.versions {
            if version.state == State::Newest {
                version.state = State::Replaced;
            }
        }
    }
}

const TAGS: [&str; 3] = ["one", "two", "three"];

fn seeds(first: u64) -> std::ops::Range<u64> {
    let histories = std::env::var("SHELLAC_CRASH_HISTORIES").ok().and_then(|it| it.parse().ok());
    first..first + histories.unwrap_or(3)
}

fn at_every_step(crash: Crash, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut whole = History::begin(seed, None, SMALL);
        whole.run(14);
        let steps = whole.power.lock().steps;
        drop(whole);
        for step in 0..=steps {
            let result = std::panic::catch_unwind(|| {
                let mut history = History::begin(seed, Some(step), SMALL);
                history.run(14);
                let (mut history, _) = history.crash(crash);
                history.run(6);
                history.crash(crash).1
            });
            assert!(result.is_ok(), "seed {seed}, step {step} of {steps}, {crash:?}");
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_short_history_brings_nothing_back() {
    at_every_step(Crash::Kill, seeds(1));
}

#[test]
fn a_loss_of_power_at_any_step_of_a_short_history_brings_nothing_back_that_was_purged() {
    at_every_step(Crash::Power, seeds(10));
}

/// Long enough for segments to be given away and the journal to begin anew.
#[test]
fn long_histories_with_many_crashes_find_what_was_stored_and_nothing_else() {
    let mut found = 0;
    for seed in 100..112 {
        let mut history = History::begin(seed, None, SMALL);
        for round in 0..12 {
            history.run(60);
            let crash = if round % 2 == 0 { Crash::Kill } else { Crash::Power };
            let (next, count) = history.crash(crash);
            history = next;
            found += count;
        }
    }
    assert!(found > 100, "{found} of 720 were found");
}

#[test]
fn what_is_stored_is_found_after_a_kill_and_after_a_restart() {
    let store = SimulatedStore::new(SMALL);
    for (number, length) in [0_usize, 10, 5000, 30_000, 150_000].into_iter().enumerate() {
        store.put(&format!("/{number}"), &["t"], &vec![b'x'; length]).unwrap();
    }
    let check = |store: &SimulatedStore| {
        for (number, length) in [0_usize, 10, 5000, 30_000, 150_000].into_iter().enumerate() {
            assert!(store.get(&format!("/{number}")) == Some(vec![b'x'; length]), "{number}");
        }
    };
    check(&store);
    let store = store.crash(Crash::Kill, &mut Random::of(1));
    check(&store);
    let store = store.restart();
    check(&store);
    assert_eq!(store.store.usage().objects, 5);
    store.purge_tag("t").unwrap();
    assert_eq!(store.get("/1"), None);
    let store = store.crash(Crash::Power, &mut Random::of(2));
    assert!((0..5).all(|number| store.get(&format!("/{number}")).is_none()));
}

#[test]
fn a_full_journal_begins_anew_and_forgets_no_purge() {
    let mut store = SimulatedStore::new(SMALL);
    for number in 0..40 {
        store.put(&format!("/{number}"), &[&format!("t{number}"), "keep"], b"body").unwrap();
    }
    for round in 0..60 {
        for number in 0..20 {
            store.purge_tag(&format!("t{number}")).unwrap();
            store.purge_tag(&format!("other-{}", (round * 7 + number) % 50)).unwrap();
        }
    }
    assert!(store.store.file_usage().journal_syncs > 2000);
    for crash in [Crash::Kill, Crash::Power] {
        store = store.crash(crash, &mut Random::of(3));
        let found = (0..40).filter(|number| store.get(&format!("/{number}")).is_some());
        assert!(found.eq(20..40));
    }
}

#[test]
fn a_purge_that_cannot_be_made_durable_is_not_acknowledged_and_the_store_begins_empty() {
    let store = SimulatedStore::new(SMALL);
    store.put("/a", &["t"], b"body").unwrap();
    store.log.unplug();
    assert!(store.purge_tag("t").is_err());
    assert_eq!(store.get("/a"), None, "it is in force all the same");
    assert!(store.purge_tag("u").is_err());
    let (data, log) = (
        store.data.after(Crash::Kill, &mut Random::of(1)),
        store.log.after(Crash::Kill, &mut Random::of(1)),
    );
    drop(store);
    let store = SimulatedStore::open(data, log, SMALL, Clock::manual(NOW)).unwrap();
    assert_eq!(store.get("/a"), None);
    assert!(store.journal.recovered().is_none(), "nothing was brought back");
}

#[test]
fn positions_are_found_again_with_the_purges_before_them() {
    use purge_protocol::log::{LogId, Position};
    let store = SimulatedStore::new(SMALL);
    assert!(store.journal.recovered().is_none());
    let log = LogId { cluster: "c".into(), topic: "t".into(), partition: 3 };
    for next in [5, 9] {
        let position = Position { log: log.clone(), next, last: None, clean_ms: None };
        store.journal.append(crate::store::journal::JournalEntry::Position(position));
    }
    super::bench::block_on(store.journal.settled()).unwrap();
    let before = store.invalidation.sequence();
    let store = store.crash(Crash::Power, &mut Random::of(1));
    assert_eq!(store.journal.positions().iter().map(|it| it.next).collect::<Vec<_>>(), [9]);
    assert!(store.journal.recovered().unwrap().before > before);
    assert_eq!(store.journal.recovered().unwrap().before, store.invalidation.sequence());
}

#[test]
fn a_position_that_was_forgotten_stays_so() {
    use crate::store::journal::JournalEntry;
    use purge_protocol::log::{LogId, Position};
    let store = SimulatedStore::new(SMALL);
    let of = |topic: &str| LogId { cluster: "c".into(), topic: topic.into(), partition: 3 };
    for log in [of("old"), of("new")] {
        let position = Position { log, next: 5, last: None, clean_ms: None };
        store.journal.append(JournalEntry::Position(position));
    }
    store.journal.append(JournalEntry::Forgotten(of("old")));
    super::bench::block_on(store.journal.settled()).unwrap();
    let store = store.crash(Crash::Power, &mut Random::of(1));
    let logs: Vec<LogId> = store.journal.positions().into_iter().map(|it| it.log).collect();
    assert_eq!(logs, [of("new")]);
}

#[test]
fn a_journal_that_begins_anew_before_everything_is_loaded_forgets_no_dead_record() {
    use crate::store::file::volume::journal_writer::CheckpointSource as _;
    let store = SimulatedStore::new(SMALL);
    let old = store.put("/a", &[], b"old").unwrap();
    store.put("/b", &[], b"other").unwrap();
    assert!(store.store.remove(&old, Removal::Replaced));
    super::bench::block_on(store.journal.settled()).unwrap();
    let mut random = Random::of(1);
    let (data, log) =
        (store.data.after(Crash::Kill, &mut random), store.log.after(Crash::Kill, &mut random));
    let opened = super::bench::open_unloaded(&data, &log, SMALL);
    let tombstones =
        opened.volume.frames().into_iter().filter(|it| matches!(it, Frame::Tombstones { .. }));
    assert_eq!(tombstones.count(), 1);
}

#[test]
fn a_flood_of_distinct_purges_fits_a_small_journal_and_none_is_forgotten() {
    let store = SimulatedStore::new(SMALL);
    for number in 0..20 {
        store.put(&format!("/{number}"), &[&format!("t{number}")], b"body").unwrap();
    }
    for number in 0..3000 {
        store.purge_tag(&format!("t{number}")).unwrap();
        let prefix = UrlPrefix::parse(&format!("//h/a-prefix-of-some-length/{number}/")).unwrap();
        store.purge(&Mark::Prefix(&prefix), PurgeMode::Hard).unwrap();
    }
    store.put("/after", &["t1"], b"body").unwrap();
    let store = store.crash(Crash::Power, &mut Random::of(4));
    assert!((0..20).all(|number| store.get(&format!("/{number}")).is_none()));
    store.put("/again", &["t1"], b"body").unwrap();
    let store = store.crash(Crash::Kill, &mut Random::of(5));
    assert!(store.get("/again").is_some());
}

/// The records of a segment that was given away are in the file until it is written again.
#[test]
fn nothing_comes_back_from_a_segment_that_was_given_away_before_a_restart() {
    for crash in [None, Some(Crash::Kill), Some(Crash::Power)] {
        let store = SimulatedStore::new(SMALL);
        store.put("/purged", &["t"], &[b'p'; 5000]).unwrap();
        store.put("/replaced", &[], &[b'o'; 5000]).unwrap();
        store.purge_tag("t").unwrap();
        store.put("/replaced", &[], &[b'n'; 5000]).unwrap();
        for number in 0..165 {
            store.put(&format!("/{number}"), &["u"], &[b'x'; 5000]).unwrap();
        }
        store.store.settle();
        for number in 0..2000 {
            store.purge_tag(&format!("other-{}", number % 50)).unwrap();
        }
        let store = match crash {
            None => store.restart(),
            Some(crash) => store.crash(crash, &mut Random::of(1)),
        };
        assert_eq!(store.get("/purged"), None, "{crash:?}");
        assert!(store.get("/replaced").is_none_or(|body| body == [b'n'; 5000]), "{crash:?}");
    }
}
