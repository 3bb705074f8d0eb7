//! Opening a store: its files are made, or found, checked and locked.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::index::SEGMENTS_MAX;
use super::journal_writer::{JournalWriter, TrustState};
use super::{Volume, VolumeParts};
use crate::invalidation::{Invalidation, Sequence};
use crate::key::KeySeed;
use crate::store::file::device::disk::{Disk, FileDisk};
use crate::store::file::device::lock::StoreLock;
use crate::store::file::device::trusted::{END_BYTES, Trusted};
use crate::store::file::error::OpenError;
use crate::store::file::format::journal::{Replayed, Tail};
use crate::store::file::format::record::SEGMENTS_START;
use crate::store::file::format::superblock::{Superblock, Unreadable};
use crate::store::journal::Recovered;
use process::clock::Clock;

/// The directory and the bounds of the file store.
#[derive(Clone, Debug)]
pub struct FileLimits {
    pub path: PathBuf,
    pub capacity: u64,
    /// Bytes of one body; never more than a quarter of the capacity.
    pub object_bytes_max: u64,
    /// Responses that an earlier process has stored are used.
    pub persists: bool,
    /// Time after which written bytes are on the device.
    pub sync: Duration,
    /// Time to wait for another process to let go of the store.
    pub wait: Duration,
    /// Responses in the index, which takes up to 48 bytes of memory for each.
    pub entries_max: u64,
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) volume: Arc<Volume>,
    pub(crate) invalidation: Arc<Invalidation>,
    pub(crate) seed: KeySeed,
    pub(crate) lock: Option<Arc<StoreLock>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) segment_bytes: u64,
    pub(crate) segments: u32,
    pub(crate) half_bytes: u64,
}

impl Geometry {
    /// Divides so many bytes.
    pub(crate) fn of(capacity: u64) -> Self {
        let largest = (capacity / SEGMENTS_WANTED).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let mut segment_bytes = largest.next_power_of_two();
        if segment_bytes > largest {
            segment_bytes /= 2;
        }
        while capacity / segment_bytes > SEGMENTS_MAX {
            segment_bytes *= 2;
        }
        let segments = u32::try_from((capacity / segment_bytes).max(4)).unwrap_or(u32::MAX);
        // Of the division alone: a store of the same division is read with the same halves.
        let half_bytes = (segment_bytes * u64::from(segments) / 64)
            .clamp(HALF_BYTES_MIN, HALF_BYTES_MAX)
            .next_multiple_of(4096);
        Self { segment_bytes, segments, half_bytes }
    }

    pub(crate) const fn file_bytes(&self) -> u64 {
        SEGMENTS_START + self.segment_bytes * self.segments as u64 + END_BYTES
    }

    const fn is_of(&self, superblock: &Superblock) -> bool {
        self.segment_bytes == superblock.segment_bytes && self.segments == superblock.segments
    }

    /// Returns the number of dead records that the journal may list, in a quarter of it.
    const fn tombstones_max(&self) -> u64 {
        self.half_bytes / 16
    }
}

/// Opens the store in a directory, or makes one.
pub(crate) fn open(limits: &FileLimits, clock: &Clock) -> Result<Opened, OpenError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    std::fs::create_dir_all(&limits.path).map_err(fault(&limits.path))?;
    let geometry = Geometry::of(limits.capacity);
    let (data_path, log_path) = (limits.path.join(DATA), limits.path.join(LOG));
    let open = |path: &Path| {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    };
    let data = open(&data_path).map_err(fault(&data_path))?;
    let lock = StoreLock::take(&limits.path, &data, limits.wait)?;
    if data.metadata().map_err(fault(&data_path))?.len() > geometry.file_bytes() {
        lock.wait_to_be_alone(&limits.path, limits.wait)?; // somebody may read what is cut off
    }
    let log = open(&log_path).map_err(fault(&log_path))?;
    let is_new = data.metadata().map_err(fault(&data_path))?.len() == 0;
    let known =
        if is_new { Err(Unreadable::Damaged) } else { peek(&data).map_err(fault(&data_path))? };
    if let Err(Unreadable::Version(version)) = known {
        return Err(OpenError::OtherVersion { path: data_path, version });
    }
    let log_bytes = log.metadata().map_err(fault(&log_path))?.len();
    reserve(&data, &data_path, geometry.file_bytes())?;
    reserve(&log, &log_path, geometry.half_bytes * 2)?;
    let data: Arc<dyn Disk> =
        Arc::new(FileDisk::mapped(data, geometry.file_bytes()).map_err(fault(&data_path))?);
    let log: Arc<dyn Disk> = Arc::new(FileDisk::at(log_path, log));
    let known = known.ok().filter(|_| limits.persists);
    // Zeros in the place of what was cut off would be read as the journal's end.
    let is_cut = |it: &Superblock| geometry.is_of(it) && log_bytes != geometry.half_bytes * 2;
    let usable = known.filter(|it| !is_cut(it));
    if known.is_some() && usable.is_none() {
        tracing::error!(
            path = %limits.path.display(),
            bytes = log_bytes,
            expected = geometry.half_bytes * 2,
            "store.log has another length than it was made with, purges may be lost: starting empty"
        );
    } else if usable.is_none() && !is_new {
        tracing::warn!(path = %limits.path.display(), "the store is damaged, or not to be kept: starting empty");
    }
    let seeds = Seeds { key: random(), tag: random() };
    let shape = Shape { geometry, entries_max: limits.entries_max, seeds };
    let opened = open_disks(Disks { data, log }, usable, shape, clock);
    let opened = opened.map_err(fault(&limits.path))?;
    Ok(Opened { lock: Some(Arc::new(lock)), ..opened })
}

/// Finds what would keep [`open`] from succeeding that can be found while another process has the
/// store. Changes nothing but for making the directory.
pub(crate) fn check(limits: &FileLimits) -> Result<(), OpenError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    std::fs::create_dir_all(&limits.path).map_err(fault(&limits.path))?;
    for name in [DATA, LOG] {
        let path = limits.path.join(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A folder that takes no other file takes this one neither.
                let probe = limits.path.join(PROBE);
                File::create(&probe).map_err(fault(&probe))?;
                std::fs::remove_file(&probe).map_err(fault(&probe))?;
                continue;
            }
            Err(error) => return Err(fault(&path)(error)),
        };
        let is_new = file.metadata().map_err(fault(&path))?.len() == 0;
        if name == DATA
            && !is_new
            && let Err(Unreadable::Version(version)) = peek(&file).map_err(fault(&path))?
        {
            return Err(OpenError::OtherVersion { path, version });
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) geometry: Geometry,
    pub(crate) entries_max: u64,
    pub(crate) seeds: Seeds,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds {
    pub(crate) key: u64,
    pub(crate) tag: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Disks {
    pub(crate) data: Arc<dyn Disk>,
    pub(crate) log: Arc<dyn Disk>,
}

/// Opens the store on these disks, or makes one where none can be used.
pub(crate) fn open_disks(
    disks: Disks,
    usable: Option<Superblock>,
    shape: Shape,
    clock: &Clock,
) -> io::Result<Opened> {
    let Shape { geometry, entries_max, seeds } = shape;
    let mut replayed = None;
    if let Some(superblock) = usable.filter(|it| geometry.is_of(it)) {
        let store = (superblock.store, superblock.epoch);
        match Tail::replay(&*disks.log, store, geometry.half_bytes)? {
            Ok((tail, journal)) => replayed = Some((superblock, tail, journal)),
            Err(damaged) => tracing::error!(%damaged, "purges may be lost: starting empty"),
        }
    } else if usable.is_some() {
        tracing::warn!("the store has another capacity than before: starting empty");
    }
    let is_recovered = replayed.is_some();
    let (mut superblock, tail, journal) = match replayed {
        Some(known) => known,
        None => format(&disks, geometry, seeds)?,
    };
    superblock.openings += 1;
    superblock.is_clean = false;
    superblock.store(&*disks.data)?;
    let Replayed {
        past_purges,
        positions,
        tombstones,
        unproven,
        revisions,
        declarations,
        clocks,
        ..
    } = journal;
    // Above everything that an earlier process has given a response, whether or not its purges have
    // come to the device.
    let first = (u64::from(superblock.openings) << 32).max(past_purges.latest().number() + 1);
    let sequence = Sequence::from_number(first);
    let recovered = is_recovered.then_some(Recovered { before: sequence });
    let invalidation =
        Arc::new(Invalidation::recovered(superblock.tag_seed, sequence, past_purges));
    invalidation.restore_unproven(Sequence::from_number(unproven));
    invalidation.restore_revisions(&revisions);
    invalidation.ids().restore_declarations(&declarations);
    let trust = TrustState { unproven, revisions, clocks: clocks.clone() };
    let journal = JournalWriter::new(disks.log, tail, (positions, trust), recovered);
    let seed = KeySeed(superblock.key_seed);
    let volume = Volume::new(VolumeParts {
        disk: Trusted::new(disks.data, geometry.file_bytes())?,
        superblock,
        journal: Arc::clone(&journal),
        invalidation: Arc::clone(&invalidation),
        clock: clock.clone(),
        clocks,
        entries_max,
        tombstones,
        tombstones_max: geometry.tombstones_max(),
    });
    journal.set_source(Arc::clone(&volume) as Arc<_>);
    Ok(Opened { volume, invalidation, seed, lock: None })
}

/// Makes an empty store: no older record is recognised any more.
fn format(
    disks: &Disks,
    geometry: Geometry,
    seeds: Seeds,
) -> io::Result<(Superblock, Tail, Replayed)> {
    Superblock::destroy(&*disks.data)?;
    let store = random();
    let tail = Tail::format(&*disks.log, store, geometry.half_bytes)?;
    let mut superblock = Superblock {
        store,
        generation: 0,
        openings: 0,
        epoch: tail.epoch(),
        segment_bytes: geometry.segment_bytes,
        segments: geometry.segments,
        key_seed: seeds.key,
        tag_seed: seeds.tag,
        is_clean: false,
    };
    superblock.store(&*disks.data)?;
    Ok((superblock, tail, Replayed::empty(geometry.half_bytes)))
}

/// Reads the superblock of a file of any length.
pub(crate) fn peek(file: &File) -> io::Result<Result<Superblock, Unreadable>> {
    if file.metadata()?.len() < SEGMENTS_START {
        return Ok(Err(Unreadable::Damaged));
    }
    Superblock::load(&FileDisk::unmapped(file.try_clone()?))
}

/// Gives a file its length, and the space for it on the disk.
fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let before = file.metadata().map_err(io)?.len();
    if before > bytes {
        file.set_len(bytes).map_err(io)?;
    }
    let room = rustix::fs::fstatvfs(file).map_err(|error| io(error.into()))?;
    let held = file.metadata().map_err(io)?.blocks() * 512;
    if room.f_bavail.saturating_mul(room.f_frsize).saturating_add(held) < bytes {
        return Err(OpenError::NoSpace { path: path.to_owned(), bytes }); // nothing is filled in vain
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(error) => {
            if before == 0 {
                file.set_len(0).map_err(io)?; // so that it is new the next time
            }
            Err(match error {
                Errno::NOSPC | Errno::FBIG | Errno::DQUOT => {
                    OpenError::NoSpace { path: path.to_owned(), bytes }
                }
                Errno::OPNOTSUPP => OpenError::NotReservable(path.to_owned()),
                error => io(error.into()),
            })
        }
    }
}

/// Returns a number that nobody can guess: the standard library's hash keys come from the system.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}

pub(crate) const DATA: &str = "store.dat";
pub(crate) const LOG: &str = "store.log";
const PROBE: &str = "store.probe";
/// The file is divided into so many segments or more, where they do not become too small.
const SEGMENTS_WANTED: u64 = 64;
const SEGMENT_BYTES_MIN: u64 = 256 << 10;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Half of it holds past purges, a quarter dead records, and the largest purge fits into the rest.
const HALF_BYTES_MIN: u64 = 8 << 20;
const HALF_BYTES_MAX: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_of_one_division_have_journals_of_one_length() {
        for capacity in [16_u64 << 20, 600 << 20, 1 << 30, 5 << 30, 100 << 30] {
            let geometry = Geometry::of(capacity);
            let next = capacity + geometry.segment_bytes;
            for other in [capacity + 1, next - 1] {
                assert_eq!(Geometry::of(other), geometry, "{other}");
            }
            assert_ne!(Geometry::of(next), geometry, "{next}");
        }
    }
}
