//! Looking at a store from outside, for people: its contents, and whether all of it is sound.
//! Changes nothing.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::device::disk::{Disk as _, FileDisk};
use super::format::journal::{ALL, Replayed, Tail};
use super::format::record::{
    RecordHeader, SEGMENT_HEADER_BYTES, SEGMENTS_START, SMALL_BYTES, SegmentHeader, Trailer, UNIT,
    units_of,
};
use super::format::superblock::{Superblock, Unreadable};
use super::volume::open::{DATA, LOG, peek};
use crate::key::KeySeed;
use crate::store::file::format::head::is_sound;
use crate::store::file::format::record::RecordKind;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// A process uses the store, so the numbers change while they are read.
    pub is_in_use: bool,
    pub openings: u32,
    /// The store was closed in order.
    pub is_clean: bool,
    pub segment_bytes: u64,
    pub segments: [u64; 3],
    /// Responses in complete segments, dead ones not counted.
    pub responses: u64,
    pub dead: u64,
    /// Tags, URLs and hosts whose last purge is remembered.
    pub purged: u64,
    /// Positions in Kafka partitions: `cluster/topic/partition` and the next offset.
    pub positions: Vec<(String, i64)>,
}

/// The result of comparing everything in a store with its checksums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Responses whose head, and body where it is with the head, are sound.
    pub responses: u64,
    pub extents: u64,
    /// Bytes of all sound records.
    pub bytes: u64,
    /// Segment and offset, in bytes, of each damaged record. At a restart it would be a miss.
    pub damaged: Vec<(u32, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store does not exist or cannot be read.
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} has format {version}, which this version does not read")]
    OtherVersion { path: PathBuf, version: u32 },
    /// The directory holds no store, or its superblock is damaged.
    #[error("{0} is no store, or its superblock is damaged: the proxy would start empty")]
    NoStore(PathBuf),
    /// Purges may be missing.
    #[error("the journal {0} is damaged: the proxy would start empty")]
    Journal(PathBuf),
    /// The whole store can be verified only while nobody writes.
    #[error("the store in {0} is in use: stop the proxy first")]
    InUse(PathBuf),
}

struct InspectedFiles {
    data: FileDisk,
    superblock: Superblock,
    journal: Replayed,
    is_in_use: bool,
}

/// Reads the contents of the store in this directory.
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let InspectedFiles { data, superblock, journal, is_in_use } = open(path)?;
    let mut inspection = Inspection {
        is_in_use,
        openings: superblock.openings,
        is_clean: superblock.is_clean,
        segment_bytes: superblock.segment_bytes,
        purged: journal.past_purges.len() as u64,
        positions: journal
            .positions
            .values()
            .map(|it| {
                (format!("{}/{}/{}", it.log.cluster, it.log.topic, it.log.partition), it.next)
            })
            .collect(),
        ..Inspection::default()
    };
    let [mut free, mut open, mut complete] = [0; 3];
    for number in 0..superblock.segments {
        let Some(header) = segment_header(&data, &superblock, number) else {
            free += 1;
            continue;
        };
        let tombstones = tombstones_in(&journal, &header);
        match trailer(&data, &superblock, number).filter(|trailer| trailer.lsn == header.lsn) {
            _ if tombstones.contains(&ALL) => free += 1,
            None => open += 1,
            Some(trailer) => {
                complete += 1;
                inspection.dead += tombstones.len() as u64;
                inspection.responses +=
                    u64::from(trailer.count).saturating_sub(tombstones.len() as u64);
            }
        }
    }
    inspection.segments = [free, open, complete];
    Ok(inspection)
}

/// Reads everything in the store and compares it with its checksums.
pub fn verify(path: &Path) -> Result<Verification, InspectError> {
    let InspectedFiles { data, superblock, journal, is_in_use } = open(path)?;
    if is_in_use {
        return Err(InspectError::InUse(path.to_owned()));
    }
    let mut verification = Verification::default();
    let seed = KeySeed(superblock.key_seed);
    for number in 0..superblock.segments {
        let Some(header) = segment_header(&data, &superblock, number) else { continue };
        let tombstones = tombstones_in(&journal, &header);
        let mut bytes = vec![0; usize::try_from(superblock.segment_bytes).unwrap_or(0)];
        let start = SEGMENTS_START + u64::from(number) * superblock.segment_bytes;
        if data.read(start, &mut bytes).is_err() {
            verification.damaged.push((number, 0));
            continue;
        }
        // What follows the last record of a segment is left of an earlier incarnation.
        let end = trailer_in(&bytes)
            .filter(|trailer| trailer.lsn == header.lsn)
            .map_or(superblock.segment_bytes, |trailer| u64::from(trailer.tail));
        verify_segment(&mut verification, (number, header.lsn, end), &bytes, (tombstones, seed));
    }
    Ok(verification)
}

fn verify_segment(
    verification: &mut Verification,
    (number, lsn, end): (u32, u64, u64),
    bytes: &[u8],
    (tombstones, seed): (&[u32], KeySeed),
) {
    let is_complete = end < bytes.len() as u64;
    let mut at = SEGMENT_HEADER_BYTES;
    let mut is_in_damage = false;
    while at < end {
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let header = RecordHeader::decode(rest)
            .filter(|it| it.lsn == lsn && it.record_bytes() <= rest.len() as u64);
        let Some(header) = header else {
            if is_complete && !is_in_damage {
                verification.damaged.push((number, at));
            }
            is_in_damage = true;
            at += UNIT;
            continue;
        };
        is_in_damage = false;
        let is_dead = u32::try_from(at / UNIT).is_ok_and(|offset| tombstones.contains(&offset));
        match (is_sound(&header, rest, seed), header.kind) {
            (false, _) => verification.damaged.push((number, at)),
            (true, RecordKind::Extent) => verification.extents += 1,
            (true, RecordKind::Response) => verification.responses += u64::from(!is_dead),
        }
        verification.bytes += header.record_bytes();
        at += units_of(header.record_bytes()) * UNIT;
    }
}

fn open(path: &Path) -> Result<InspectedFiles, InspectError> {
    let (data_path, log_path) = (path.join(DATA), path.join(LOG));
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| InspectError::Io { path, source }
    };
    let data = File::open(&data_path).map_err(fault(&data_path))?;
    let log = File::open(&log_path).map_err(fault(&log_path))?;
    let is_in_use = matches!(data.try_lock_shared(), Err(TryLockError::WouldBlock));
    let superblock = match peek(&data).map_err(fault(&data_path))? {
        Ok(superblock) => superblock,
        Err(Unreadable::Version(version)) => {
            return Err(InspectError::OtherVersion { path: data_path, version });
        }
        Err(Unreadable::Damaged) => return Err(InspectError::NoStore(data_path)),
    };
    let half_bytes = log.metadata().map_err(fault(&log_path))?.len() / 2;
    let disk = FileDisk::unmapped(log);
    let store = (superblock.store, superblock.epoch);
    let (_tail, journal) = Tail::replay(&disk, store, half_bytes)
        .map_err(fault(&log_path))?
        .map_err(|_damaged| InspectError::Journal(log_path))?;
    Ok(InspectedFiles { data: FileDisk::unmapped(data), superblock, journal, is_in_use })
}

fn segment_header(data: &FileDisk, superblock: &Superblock, number: u32) -> Option<SegmentHeader> {
    let mut bytes = [0; SMALL_BYTES];
    let start = SEGMENTS_START + u64::from(number) * superblock.segment_bytes;
    data.read(start, &mut bytes).ok()?;
    SegmentHeader::decode(&bytes).filter(|it| it.store == superblock.store && it.number == number)
}

fn trailer(data: &FileDisk, superblock: &Superblock, number: u32) -> Option<Trailer> {
    let mut bytes = [0; SMALL_BYTES];
    let end = SEGMENTS_START + (u64::from(number) + 1) * superblock.segment_bytes;
    data.read(end - SMALL_BYTES as u64, &mut bytes).ok()?;
    Trailer::decode(&bytes)
}

fn trailer_in(segment: &[u8]) -> Option<Trailer> {
    segment.last_chunk::<SMALL_BYTES>().and_then(|bytes| Trailer::decode(bytes))
}

fn tombstones_in<'a>(journal: &'a Replayed, header: &SegmentHeader) -> &'a [u32] {
    let known = journal.tombstones.get(&header.number).filter(|(lsn, _)| *lsn == header.lsn);
    known.map_or(&[], |(_, offsets)| offsets)
}
