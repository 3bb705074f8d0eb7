//! Damage: flipped bits, cut files, foreign files, a device that fails. A miss each time, never a
//! wrong answer.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use purge_protocol::log::{LogId, Position};

use super::bench::{NOW, SMALL, SimulatedStore, block_on};
use crate::store::ColdTier as _;
use crate::store::contract::{self, Page, content, key};
use crate::store::file::Service;
use crate::store::file::device::simulated::{Crash, Random, SimulatedDisk};
use crate::store::file::error::OpenError;
use crate::store::file::tiering::{OpenedStore, TieredStore, Tiering};
use crate::store::file::volume::open::{DATA, FileLimits, LOG};
use crate::store::journal::{JournalEntry, JournalError};
use crate::store::memory::MemoryLimits;
use crate::store::{Promote, Store as _};
use process::clock::Clock;

/// Makes a store with live, replaced and purged responses, small and large.
fn filled() -> SimulatedStore {
    let store = SimulatedStore::new(SMALL);
    for (path, body) in bodies() {
        store.put(&path, &["old"], b"an older version").unwrap();
        store.put(&path, &["t"], &body).unwrap();
    }
    store.put("/purged", &["gone"], b"purged").unwrap();
    store.put("/purged-by-url", &[], b"purged").unwrap();
    store.purge_tag("gone").unwrap();
    let url = store.invalidation.ids().url(&key("/purged-by-url"));
    store.purge(&crate::invalidation::Mark::Tag(url), purge_protocol::PurgeMode::Hard).unwrap();
    store.restart()
}

fn bodies() -> Vec<(String, Vec<u8>)> {
    [0_usize, 20, 3000, 20_000, 150_000]
        .into_iter()
        .enumerate()
        .map(|(number, length)| {
            (format!("/{number}"), vec![b'a' + u8::try_from(number).unwrap(); length])
        })
        .collect()
}

/// Opens the store on these bytes and looks at all paths: returns the number of responses found,
/// each of which must be right.
fn found_in(data: Vec<u8>, log: Vec<u8>, what: &str) -> usize {
    let (data, log) = (SimulatedDisk::holding(data), SimulatedDisk::holding(log));
    let store = SimulatedStore::open(data, log, SMALL, Clock::manual(NOW)).unwrap();
    for path in ["/purged", "/purged-by-url"] {
        assert_eq!(store.get(path), None, "{what}: {path} is back");
    }
    let found = |(path, body): &(String, Vec<u8>)| match store.get(path) {
        Some(found) => {
            assert!(found == *body, "{what}: {path} is wrong");
            true
        }
        None => false,
    };
    bodies().iter().filter(|it| found(it)).count()
}

#[test]
fn a_flipped_bit_anywhere_is_a_miss_and_never_a_wrong_answer() {
    let store = filled();
    store.store.close();
    let (data, log) = (store.data.bytes(), store.log.bytes());
    drop(store);
    assert_eq!(found_in(data.clone(), log.clone(), "undamaged"), 5);
    let mut random = Random::of(1);
    // Every byte that holds something, of metadata each, of bodies one in many.
    let is_body =
        |bytes: &[u8], at: usize| at > 64 && bytes[at - 64..=at].iter().all(|it| *it == bytes[at]);
    let places =
        |bytes: &[u8]| -> Vec<usize> { (0..bytes.len()).filter(|at| bytes[*at] != 0).collect() };
    let (mut lost, mut tried) = (0, 0);
    for at in places(&data) {
        if is_body(&data, at) && random.below(2000) != 0 {
            continue;
        }
        let mut damaged = data.clone();
        damaged[at] ^= 1 << random.below(8);
        tried += 1;
        lost += usize::from(found_in(damaged, log.clone(), &format!("byte {at} of the data")) < 5);
    }
    for at in places(&log) {
        let mut damaged = log.clone();
        damaged[at] ^= 1 << random.below(8);
        tried += 1;
        lost +=
            usize::from(found_in(data.clone(), damaged, &format!("byte {at} of the journal")) < 5);
    }
    assert!(tried > 1500 && lost > tried / 4, "{lost} of {tried} mattered");
}

fn log_id() -> LogId {
    LogId { cluster: "c".into(), topic: "t".into(), partition: 3 }
}

/// The store that follows a discarded one has other incarnations and epochs: it finds nothing of
/// the old one.
#[test]
fn a_discarded_store_leaves_nothing_that_the_next_one_takes_for_its_own() {
    let store = SimulatedStore::new(SMALL);
    for number in 0..20 {
        store.put(&format!("/{number}"), &[], b"body").unwrap();
        let position = Position { log: log_id(), next: number, last: None, clean_ms: None };
        store.journal.append(JournalEntry::Position(position));
        block_on(store.journal.settled()).unwrap();
    }
    let (data, mut log) = (store.data.bytes(), store.log.bytes());
    drop(store);
    let first = log.iter().position(|byte| *byte != 0).unwrap();
    log[first + 64] ^= 1;
    let (data, log) = (SimulatedDisk::holding(data), SimulatedDisk::holding(log));
    let store = SimulatedStore::open(data, log, SMALL, Clock::manual(NOW)).unwrap();
    assert_eq!(store.store.usage().objects, 0, "its purges may be lost");
    store.put("/0", &[], b"body").unwrap();
    store.purge_tag("other").unwrap();
    let store = store.crash(Crash::Kill, &mut Random::of(1));
    assert_eq!(store.store.usage().objects, 1);
    assert!(store.get("/0").is_some());
}

/// The older copy names the journal's older half, which is sound, but ends before the last purges.
#[test]
fn a_damaged_superblock_never_leads_to_a_journal_from_before_a_checkpoint() {
    let store = SimulatedStore::new(SMALL);
    let checkpoints = &store.store.volume().journal.checkpoints;
    let mut number = 0;
    while checkpoints.value() < 2 {
        store.purge_tag(&format!("other-{number}")).unwrap();
        number += 1;
    }
    store.put("/purged", &["gone"], b"purged").unwrap();
    store.store.settle();
    store.purge_tag("gone").unwrap();
    let (data, log) = (store.data.bytes(), store.log.bytes());
    drop(store);
    assert_eq!(found_in(data.clone(), log.clone(), "undamaged"), 0);
    for copy in [0, 4096] {
        let mut damaged = data.clone();
        damaged[copy + 40] ^= 1;
        found_in(damaged, log.clone(), &format!("the copy at {copy}"));
    }
}

#[test]
fn bytes_of_a_body_that_are_wrong_on_the_device_are_never_sent() {
    let store = filled();
    let data = store.data.bytes();
    let large = data.windows(500).rposition(|it| it.iter().all(|it| *it == b'e')).unwrap();
    assert!(store.get("/4").is_some());
    let store = store.restart();
    store.data.flip((large + 10) * 8);
    contract::load(&*store.store, &key("/4"));
    let stored = store.store.lookup(&key("/4"), &|_| true).expect("its head is sound");
    let crate::store::Body::Deferred(body) = &stored.response().unwrap().body else {
        panic!("it is large")
    };
    assert!(Arc::clone(body).open().whole().is_err());
    assert!(store.store.lookup(&key("/4"), &|_| true).is_none(), "once found out, it is no hit");
    assert_eq!(store.store.file_usage().corrupt, 1);
}

#[test]
fn a_body_that_could_not_be_read_is_not_loaded_again_after_it_has_left_memory() {
    let store = filled();
    let data = store.data.bytes();
    let large = data.windows(500).rposition(|it| it.iter().all(|it| *it == b'e')).unwrap();
    let store = store.restart();
    store.data.flip((large + 10) * 8);
    let objects = store.store.file_usage().objects;
    assert_eq!(store.get("/4"), None, "its reader is broken off");
    store.store.evict_all();
    contract::load(&*store.store, &key("/4"));
    assert!(store.store.lookup(&key("/4"), &|_| true).is_none());
    assert_eq!(store.store.file_usage().objects, objects - 1);
}

/// One failed read ends the trust in the whole file, as more of it may be damaged. Memory goes on.
#[test]
fn a_device_that_cannot_be_read_is_out_of_service_until_a_restart() {
    let store = filled();
    store.data.fail_reads(true);
    assert_eq!(store.get("/1"), None);
    store.data.fail_reads(false);
    assert_eq!((store.get("/1"), store.get("/2")), (None, None));
    store.put("/in-memory", &[], b"body").unwrap();
    assert!(store.get("/in-memory").is_some());
    let usage = store.store.file_usage();
    assert!(
        usage.service == Service::Out && usage.io_errors == 1 && usage.objects == 0,
        "{usage:?}"
    );
    store.purge_tag("t").unwrap();
    let store = store.restart();
    assert!(store.store.file_usage().service == Service::Full);
    assert_eq!((store.get("/2"), store.get("/in-memory")), (None, None), "purged; not written");
}

/// Content that was verified a moment ago is not used either, and nothing is written: that could
/// give the file its length back.
#[test]
fn a_file_of_another_length_is_out_of_service_at_once_even_if_it_gets_its_length_back() {
    let length = usize::try_from(SMALL.geometry.file_bytes()).unwrap();
    for lengths in [[length / 2, length], [length - 1, length - 1], [length + 1, length + 1]] {
        let store = filled();
        assert!(store.get("/4").is_some());
        let before = store.data.bytes();
        store.data.resize(lengths[0]);
        let cut = store.data.bytes();
        if lengths[0] != lengths[1] {
            store.data.resize(lengths[1]);
        }
        assert_eq!(store.get("/4"), None, "{lengths:?}");
        store.put("/new", &[], b"body").unwrap();
        assert_eq!(store.get("/new").unwrap(), b"body");
        let usage = store.store.file_usage();
        assert!(usage.service == Service::Out && usage.io_errors == 1, "{lengths:?} {usage:?}");
        store.store.close();
        let same = cut.len().min(before.len());
        assert!(store.data.bytes()[..same] == cut[..same], "{lengths:?}: something was written");
    }
}

#[test]
fn a_device_that_cannot_be_written_leaves_responses_in_memory() {
    let store = SimulatedStore::new(SMALL);
    store.data.unplug();
    for number in 0..40 {
        store.put(&format!("/{number}"), &[], b"body").unwrap();
        assert!(store.get(&format!("/{number}")).is_some());
    }
    let usage = store.store.file_usage();
    assert!(usage.service == Service::ReadOnly && usage.objects == 0, "{usage:?}");
    assert!(usage.io_errors < 20, "after some it is left alone: {usage:?}");
}

fn limits(path: &Path) -> FileLimits {
    FileLimits {
        path: path.to_owned(),
        capacity: 16 << 20,
        object_bytes_max: 4 << 20,
        persists: true,
        wait: Duration::ZERO,
        sync: Duration::from_millis(100),
        entries_max: 10_000,
    }
}

fn open(limits: &FileLimits) -> Result<OpenedStore, OpenError> {
    let memory = MemoryLimits { capacity: 4 << 20, object_bytes_max: 1 << 20, variants_max: 64 };
    TieredStore::open(limits, memory, Tiering::File, &Clock::manual(NOW))
}

fn settle(store: &TieredStore) {
    while !store.is_settled() {
        std::thread::yield_now();
    }
}

fn put(opened: &OpenedStore, path: &str, length: usize) {
    let mut writer = opened.store.begin();
    writer.append(bytes::Bytes::from(vec![b'x'; length])).unwrap();
    writer.commit(contract::draft(&opened.invalidation, Page::at(path))).unwrap();
}

fn seen(opened: &OpenedStore, path: &str) -> Option<usize> {
    block_on(opened.store.load(&key(path), Promote::Always));
    opened.store.lookup(&key(path), &|_| true).map(|it| content(it.response().unwrap()).len())
}

#[test]
fn a_store_is_used_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&limits(folder.path())).unwrap();
    let second = open(&limits(folder.path())).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    first.store.close();
    drop(first);
    open(&limits(folder.path())).unwrap().store.close();
}

#[test]
fn a_file_of_another_version_is_refused() {
    use std::os::unix::fs::FileExt as _;
    let folder = tempfile::tempdir().unwrap();
    open(&limits(folder.path())).unwrap().store.close();
    let file = std::fs::OpenOptions::new().write(true).open(folder.path().join(DATA)).unwrap();
    for copy in [0, 4096] {
        file.write_all_at(&[99], copy + 16).unwrap();
    }
    let error = open(&limits(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::OtherVersion { version: 99, .. }), "{error}");
}

/// Makes this position durable.
fn keep_position(opened: &OpenedStore, next: i64) -> Result<(), JournalError> {
    let position = Position { log: log_id(), next, last: None, clean_ms: None };
    opened.journal.append(JournalEntry::Position(position));
    block_on(opened.journal.settled())
}

/// The part that was cut off is zeros at the next start, which is how a journal ends.
#[test]
fn a_journal_that_was_cut_short_between_two_starts_is_not_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join(LOG);
    let opened = open(&limits(folder.path())).unwrap();
    keep_position(&opened, 1).unwrap();
    let used = std::fs::read(&log).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
    keep_position(&opened, 2).unwrap();
    opened.store.close();
    drop(opened);
    let opened = open(&limits(folder.path())).unwrap();
    assert_eq!(opened.journal.positions().first().map(|it| it.next), Some(2));
    opened.store.close();
    drop(opened);

    let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len((used + 1).next_multiple_of(8)).unwrap();

    let opened = open(&limits(folder.path())).unwrap();
    assert!(opened.journal.recovered().is_none() && opened.journal.positions().is_empty());
}

/// The process takes with it all that it writes to the old one.
#[test]
fn a_journal_in_whose_place_another_file_was_put_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (log, copy) = (folder.path().join(LOG), folder.path().join("copy"));
    let opened = open(&limits(folder.path())).unwrap();
    keep_position(&opened, 1).unwrap();
    std::fs::copy(&log, &copy).unwrap();
    keep_position(&opened, 2).unwrap();
    std::fs::rename(&copy, &log).unwrap();

    let error = keep_position(&opened, 3).unwrap_err();

    assert!(error.to_string().contains("another file has taken its place"), "{error}");
    drop(opened);
    let opened = open(&limits(folder.path())).unwrap();
    assert!(opened.journal.recovered().is_none());
}

#[test]
fn a_disk_without_room_is_refused_before_anything_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&FileLimits { capacity: 1 << 50, ..limits(folder.path()) }).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { .. }), "{error}");
    assert_eq!(std::fs::metadata(folder.path().join(DATA)).unwrap().len(), 0);
    open(&limits(folder.path())).unwrap().store.close();
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(&limits(&file.path().join("store"))).unwrap_err();
    assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
}

/// Reading the map behind the file's end would be a signal, not an error.
#[test]
fn a_file_that_is_cut_short_while_it_is_used_is_a_miss_and_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&limits(folder.path())).unwrap();
    settle(&opened.store);
    for number in 0..8 {
        put(&opened, &format!("/{number}"), 900_000);
    }
    settle(&opened.store);
    let bodies: Vec<_> =
        (0..8).filter_map(|n| opened.store.lookup(&key(&format!("/{n}")), &|_| true)).collect();
    let file = std::fs::OpenOptions::new().write(true).open(folder.path().join(DATA)).unwrap();
    file.set_len(128 << 10).unwrap();
    for stored in &bodies {
        if let crate::store::Body::Deferred(body) = &stored.response().unwrap().body {
            for _ in 0..2 {
                assert!(Arc::clone(body).open().whole().is_err());
            }
        }
    }
    put(&opened, "/after", 100);
    assert_eq!(seen(&opened, "/after"), Some(100));
    opened.store.close();
    drop((bodies, opened));
    let opened = open(&limits(folder.path())).unwrap();
    settle(&opened.store);
    put(&opened, "/again", 100);
    settle(&opened.store);
    assert_eq!(seen(&opened, "/again"), Some(100));
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&limits(folder.path())).unwrap();
    settle(&opened.store);
    put(&opened, "/a", 10);
    settle(&opened.store);
    drop(opened);
    let opened = open(&FileLimits { persists: false, ..limits(folder.path()) }).unwrap();
    settle(&opened.store);
    assert_eq!(opened.store.usage().objects, 0);
    assert!(opened.journal.recovered().is_none());
}

/// A small file system in memory; `None` where this user may not mount one.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"];
        let done = Command::new("mount").args(arguments).arg(folder.path()).output();
        done.is_ok_and(|it| it.status.success()).then_some(Self(folder))
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _best = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_file_system_is_refused_or_used_as_if_it_were_not_full_and_one_that_is_read_only_is_an_error()
 {
    let Some(disk) = Tmpfs::mount("size=64m") else {
        println!("no file system can be mounted here: not tested");
        return;
    };
    let path = disk.0.path();
    let large = open(&FileLimits { capacity: 64 << 20, ..limits(path) }).unwrap_err();
    assert!(matches!(large, OpenError::NoSpace { .. }), "{large}");
    let opened = open(&limits(path)).unwrap();
    settle(&opened.store);
    let mut filler = std::fs::File::create(path.join("filler")).unwrap();
    let full = std::io::copy(&mut std::io::repeat(1), &mut filler).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    for number in 0..40 {
        put(&opened, &format!("/{number}"), 900_000);
        settle(&opened.store);
    }
    let purged = opened.invalidation.ids().tag(b"another");
    let mark = crate::invalidation::Mark::Tag(purged);
    opened.invalidation.mark(&[mark], purge_protocol::PurgeMode::Hard, NOW);
    block_on(opened.journal.settled()).unwrap();
    let usage = opened.store.file_usage();
    assert!(usage.io_errors == 0 && usage.reclaimed[0] > 0, "{usage:?}");
    assert_eq!(seen(&opened, "/39"), Some(900_000));
    let objects = usage.objects;
    opened.store.close();
    drop((opened, filler));
    let again = open(&limits(path)).unwrap();
    settle(&again.store);
    assert_eq!(again.store.usage().objects, objects);
    again.store.close();
    drop(again);
    disk.remount("ro");
    let error = open(&limits(path)).unwrap_err();
    assert!(error.to_string().contains("Read-only"), "{error}");
}
