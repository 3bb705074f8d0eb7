//! The journal's file, `store.log`: purges, positions, and which records in `store.dat` are dead.
//!
//! ```text
//! store.log   half A | half B
//! half        header, 64 B { magic, crc, store u64, epoch u32 } | frames, 8 B aligned | zeros, or what is left of an older epoch
//! frame       crc u32 | length u32 | number u64 | epoch u32 | kind u32 | payload
//! ```
//!
//! Frames of one epoch are numbered without a gap. When a half is full, what is still of use is
//! written to the other one, under the next epoch; the superblock says which epoch counts. Each
//! writing ends with a seal: so a damaged frame that was made durable is always followed by a sound
//! one, and recognised; what is damaged with nothing sound behind it was never acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use purge_protocol::UrlPrefix;
use purge_protocol::log::{LogId, Position};

use super::clocks::Clocks;
use super::codec::{Cursor, Put as _};
use super::marks;
use crate::invalidation::{
    Declaration, HostDeclaration, PastPurges, PurgeMark, PurgeTimes, Sequence, TagId,
};
use crate::key::no_vary_search::SearchVariance;
use crate::store::file::device::disk::Disk;
use process::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Purge(PurgeTimes, Vec<PurgeMark>),
    /// A position, or that there is none any more, at [`FORGOTTEN`].
    Position(Position),
    /// These records of a segment are dead, by their offsets in units; [`ALL`] among them: every
    /// one.
    Tombstones {
        segment: u32,
        lsn: u64,
        offsets: Vec<u32>,
    },
    /// A piece of `PastPurges`'s table, from this place on.
    Folded(u32, Vec<u64>),
    /// The end of a checkpoint: later frames were appended after it.
    CheckpointEnd,
    /// The end of one writing: all frames before it were written.
    Seal,
    /// Responses born before this sequence are validated before they are used.
    Unproven(u64),
    Revision(u64, String),
    Declaration(HostDeclaration),
    /// By which clocks times were written: all that is known by now.
    Clocks(Clocks),
}

pub(crate) const ALL: u32 = u32::MAX;
/// No log has this offset.
pub(crate) const FORGOTTEN: i64 = -1;

#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) past_purges: PastPurges,
    pub(crate) positions: BTreeMap<LogId, Position>,
    /// Responses born before this sequence are validated before they are used.
    pub(crate) unproven: u64,
    pub(crate) revisions: BTreeMap<String, u64>,
    pub(crate) declarations: Vec<HostDeclaration>,
    /// By segment: the incarnation and the offsets of dead records.
    pub(crate) tombstones: BTreeMap<u32, (u64, Vec<u32>)>,
    pub(crate) clocks: Clocks,
    is_checkpoint_complete: bool,
}

/// The error of a journal that cannot be relied upon: no stored response may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is damaged")]
pub(crate) struct Damaged;

#[derive(Debug)]
pub(crate) struct Tail {
    store: u64,
    half_bytes: u64,
    epoch: u32,
    at: u64,
    number: u64,
}

impl Frame {
    fn encode(&self, epoch: u32, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.put(&[0; 8]);
        out.put_u64(number);
        out.put_u32(epoch);
        let payload_start = out.len() + 4;
        match self {
            Self::Purge(past, marks) => {
                out.put_u32(1);
                for number in [past.hard.number(), past.soft.number(), past.soft_at.as_millis()] {
                    out.put_u64(number);
                }
                for mark in marks {
                    encode_mark(mark, out);
                }
            }
            Self::Position(position) => {
                out.put_u32(2);
                out.put(&serde_json::to_vec(position).unwrap_or_default());
            }
            Self::Tombstones { segment, lsn, offsets } => {
                out.put_u32(3);
                out.put_u32(*segment);
                out.put_u64(*lsn);
                for offset in offsets {
                    out.put_u32(*offset);
                }
            }
            Self::Folded(place, sequences) => {
                out.put_u32(4);
                out.put_u32(*place);
                for sequence in sequences {
                    out.put_u64(*sequence);
                }
            }
            Self::CheckpointEnd => out.put_u32(5),
            Self::Seal => out.put_u32(6),
            Self::Unproven(until) => {
                out.put_u32(7);
                out.put_u64(*until);
            }
            Self::Revision(revision, selector) => {
                out.put_u32(8);
                out.put_u64(*revision);
                out.put(selector.as_bytes());
            }
            Self::Clocks(clocks) => {
                out.put_u32(9);
                clocks.encode(out);
            }
            Self::Declaration(HostDeclaration { host, declaration }) => {
                out.put_u32(10);
                out.put_u64(declaration.since.number());
                out.put_limited(host);
                out.put(&declaration.variance.to_bytes());
            }
        }
        let length = u32::try_from(out.len() - payload_start).unwrap_or(u32::MAX);
        let write = |out: &mut Vec<u8>, at: usize, value: u32| {
            if let Some(place) = out.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        };
        write(out, start + 4, length);
        let crc = crc32c::crc32c(out.get(start + 4..).unwrap_or_default());
        write(out, start, crc);
        out.resize(out.len().next_multiple_of(8), 0);
    }

    /// Reads the frame at the beginning of these bytes: its epoch, its number, itself, and its
    /// length with the padding.
    fn decode(bytes: &[u8]) -> Option<(u32, u64, Self, usize)> {
        let mut cursor = Cursor(bytes);
        let (crc, length) = (cursor.u32()?, cursor.u32()?);
        let end = FRAME_HEADER_BYTES.checked_add(usize::try_from(length).ok()?)?;
        if crc32c::crc32c(bytes.get(4..end)?) != crc {
            return None;
        }
        let (number, epoch, kind) = (cursor.u64()?, cursor.u32()?, cursor.u32()?);
        let frame = Self::decode_payload(kind, bytes.get(FRAME_HEADER_BYTES..end)?)?;
        Some((epoch, number, frame, end.next_multiple_of(8)))
    }

    fn decode_payload(kind: u32, payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        Some(match kind {
            1 => {
                let past = PurgeTimes {
                    hard: Sequence::from_number(cursor.u64()?),
                    soft: Sequence::from_number(cursor.u64()?),
                    soft_at: Timestamp::from_millis(cursor.u64()?),
                };
                let mut marks = Vec::new();
                while !cursor.is_at_end() {
                    marks.push(decode_mark(&mut cursor)?);
                }
                Self::Purge(past, marks)
            }
            2 => Self::Position(serde_json::from_slice(payload).ok()?),
            3 => {
                let (segment, lsn) = (cursor.u32()?, cursor.u64()?);
                let mut offsets = Vec::with_capacity(cursor.0.len() / 4);
                while !cursor.is_at_end() {
                    offsets.push(cursor.u32()?);
                }
                Self::Tombstones { segment, lsn, offsets }
            }
            4 => {
                let place = cursor.u32()?;
                let mut sequences = Vec::with_capacity(cursor.0.len() / 8);
                while !cursor.is_at_end() {
                    sequences.push(cursor.u64()?);
                }
                Self::Folded(place, sequences)
            }
            5 => Self::CheckpointEnd,
            6 => Self::Seal,
            7 => Self::Unproven(cursor.u64()?),
            8 => {
                let revision = cursor.u64()?;
                Self::Revision(revision, std::str::from_utf8(cursor.0).ok()?.to_owned())
            }
            9 => Self::Clocks(Clocks::decode(&mut cursor)?),
            10 => {
                let since = Sequence::from_number(cursor.u64()?);
                let host = cursor.long()?.into();
                let variance = SearchVariance::read_back(cursor.0)?;
                let declaration = Arc::new(Declaration { variance, since });
                Self::Declaration(HostDeclaration { host, declaration })
            }
            _ => return None,
        })
    }
}

fn encode_mark(mark: &PurgeMark, out: &mut Vec<u8>) {
    match mark {
        PurgeMark::Tag(id) => {
            out.put_u8(1);
            out.put_u128(id.bits());
        }
        PurgeMark::Prefix(prefix) => {
            let text = prefix.to_string();
            out.put_u8(2);
            out.put_limited(text.as_bytes());
        }
        PurgeMark::All => out.put_u8(3),
        PurgeMark::Condition(condition) => {
            out.put_u8(4);
            marks::encode_condition(condition, out);
        }
        PurgeMark::Deploy(deploy) => {
            out.put_u8(5);
            marks::encode_deploy(deploy, out);
        }
    }
}

fn decode_mark(cursor: &mut Cursor<'_>) -> Option<PurgeMark> {
    Some(match cursor.u8()? {
        1 => PurgeMark::Tag(TagId::from_bits(cursor.u128()?)),
        2 => {
            let text = std::str::from_utf8(cursor.long()?).ok()?;
            UrlPrefix::read_back(text).map_or(PurgeMark::All, PurgeMark::Prefix)
        }
        3 => PurgeMark::All,
        4 => PurgeMark::Condition(Arc::new(marks::decode_condition(cursor)?)),
        5 => PurgeMark::Deploy(marks::decode_deploy(cursor)?),
        _ => return None,
    })
}

impl Replayed {
    /// Returns the state of an empty journal with halves of so many bytes.
    pub(crate) fn empty(half_bytes: u64) -> Self {
        let past_purges = PastPurges::sized(usize::try_from(half_bytes).unwrap_or(usize::MAX));
        Self { past_purges, ..Self::default() }
    }

    fn apply(&mut self, frame: Frame) {
        match frame {
            Frame::Purge(past, marks) => {
                for mark in &marks {
                    self.past_purges.note(mark, past);
                }
            }
            Frame::Position(position) if position.next == FORGOTTEN => {
                self.positions.remove(&position.log);
            }
            Frame::Position(position) => {
                self.positions.insert(position.log.clone(), position);
            }
            Frame::Tombstones { segment, lsn, offsets } => {
                let known = self.tombstones.entry(segment).or_default();
                if known.0 < lsn {
                    *known = (lsn, Vec::new());
                }
                if known.0 == lsn {
                    known.1.extend(offsets);
                }
            }
            Frame::Folded(place, sequences) => self.past_purges.unfold(place as usize, &sequences),
            Frame::CheckpointEnd => self.is_checkpoint_complete = true,
            Frame::Seal => {}
            Frame::Unproven(until) => self.unproven = self.unproven.max(until),
            Frame::Revision(revision, selector) => {
                let known = self.revisions.entry(selector).or_default();
                *known = revision.max(*known);
            }
            Frame::Declaration(declaration) => self.declarations.push(declaration),
            Frame::Clocks(clocks) => self.clocks = clocks,
        }
    }
}

impl Tail {
    /// Begins an empty journal in a file of twice so many bytes. Frames do not name their store:
    /// its epochs begin where those of an earlier one, whose frames are still there, have most
    /// likely not been.
    pub(crate) fn format(disk: &dyn Disk, store: u64, half_bytes: u64) -> io::Result<Self> {
        let epoch = u32::try_from(store >> 33).unwrap_or(0);
        let mut tail = Self { store, half_bytes, epoch, at: 0, number: 0 };
        tail.checkpoint(disk, &[])?;
        disk.sync()?;
        Ok(tail)
    }

    /// Reads the journal of this store up to its end.
    pub(crate) fn replay(
        disk: &dyn Disk,
        (store, epoch): (u64, u32),
        half_bytes: u64,
    ) -> io::Result<Result<(Self, Replayed), Damaged>> {
        let mut bytes = vec![0; usize::try_from(half_bytes).map_err(io::Error::other)?];
        let mut tail = Self { store, half_bytes, epoch, at: 0, number: 0 };
        disk.read(tail.half_start(), &mut bytes)?;
        Ok(tail.read(&bytes).map(|replayed| (tail, replayed)).ok_or(Damaged))
    }

    fn read(&mut self, bytes: &[u8]) -> Option<Replayed> {
        if bytes.get(..HALF_HEADER_BYTES)? != self.half_header() {
            return None;
        }
        let mut replayed = Replayed::empty(self.half_bytes);
        let mut at = HALF_HEADER_BYTES;
        while let Some((epoch, number, frame, length)) = bytes.get(at..).and_then(Frame::decode)
            && epoch == self.epoch
            && number == self.number
        {
            replayed.apply(frame);
            self.number += 1;
            at += length;
        }
        self.at = at as u64;
        // Something sound behind the end: what lies between was written, and is lost.
        let epoch = self.epoch.to_le_bytes();
        let is_torn = (at..bytes.len()).step_by(8).any(|at| {
            let is_of_epoch = bytes.get(at + 16..at + 20) == Some(&epoch);
            let frame = bytes.get(at..).filter(|_| is_of_epoch).and_then(Frame::decode);
            frame.is_some_and(|(epoch, number, ..)| epoch == self.epoch && number >= self.number)
        });
        (replayed.is_checkpoint_complete && !is_torn).then_some(replayed)
    }

    /// Writes frames and a seal behind them; says `false` if there is no room.
    pub(crate) fn append(&mut self, disk: &dyn Disk, frames: &[Frame]) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let mut number = self.number;
        for frame in frames.iter().chain([&Frame::Seal]) {
            frame.encode(self.epoch, number, &mut bytes);
            number += 1;
        }
        if self.at + bytes.len() as u64 > self.half_bytes {
            return Ok(false);
        }
        disk.write(self.half_start() + self.at, &bytes)?;
        self.at += bytes.len() as u64;
        self.number = number;
        Ok(true)
    }

    /// Begins the next epoch in the other half with these frames. The caller syncs, and then names
    /// it in the superblock; until then the old one counts.
    pub(crate) fn checkpoint(&mut self, disk: &dyn Disk, frames: &[Frame]) -> io::Result<()> {
        let mut next =
            Self { epoch: self.epoch + 1, at: HALF_HEADER_BYTES as u64, number: 0, ..*self };
        // First make what is left of an older epoch end at once.
        disk.write(next.half_start(), &[0; HALF_HEADER_BYTES + FRAME_HEADER_BYTES])?;
        let whole = [frames, &[Frame::CheckpointEnd]].concat();
        if !next.append(disk, &whole)? {
            return Err(io::Error::other("the journal is too small for what it has to remember"));
        }
        disk.write(next.half_start(), &next.half_header())?;
        *self = next;
        Ok(())
    }

    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    const fn half_start(&self) -> u64 {
        self.epoch as u64 % 2 * self.half_bytes
    }

    fn half_header(&self) -> [u8; HALF_HEADER_BYTES] {
        let mut rest = Vec::new();
        rest.put_u64(self.store);
        rest.put_u32(self.epoch);
        let mut bytes = HALF_MAGIC.to_vec();
        bytes.put_u32(crc32c::crc32c(&rest));
        bytes.put(&rest);
        bytes.resize(HALF_HEADER_BYTES, 0);
        bytes.try_into().unwrap_or([0; HALF_HEADER_BYTES])
    }
}

pub(crate) fn frames_of(past_purges: &PastPurges) -> Vec<Frame> {
    let mut frames = Vec::new();
    past_purges.for_each(|mark, past| frames.push(Frame::Purge(past, vec![mark])));
    let pieces = past_purges.folded().chunks(FOLDED_PIECE).enumerate();
    for (number, piece) in pieces.filter(|(_, piece)| piece.iter().any(|it| *it > 0)) {
        let place = u32::try_from(number * FOLDED_PIECE).unwrap_or(u32::MAX);
        frames.push(Frame::Folded(place, piece.to_vec()));
    }
    frames
}

/// Reads a frame for a fuzzer, and a journal whose frames are cut out of these bytes: a kind, a
/// length, and so much payload.
pub(crate) fn read_any(bytes: &[u8]) {
    if let Some((epoch, number, frame, length)) = Frame::decode(bytes) {
        assert!(length <= bytes.len().next_multiple_of(8) && is_read_back(&frame, epoch, number));
    }
    let mut tail = Tail { store: 1, half_bytes: 64 << 10, epoch: 1, at: 0, number: 0 };
    let mut half = tail.half_header().to_vec();
    let mut cursor = Cursor(bytes);
    let mut frames = 0;
    while let (Some(kind), Some(length)) = (cursor.u8(), cursor.u8()) {
        let payload = cursor.bytes(usize::from(length)).unwrap_or_default();
        if let Some(frame) = Frame::decode_payload(u32::from(kind), payload) {
            assert!(is_read_back(&frame, 1, frames), "a frame is read back as it was written");
            frame.encode(tail.epoch, frames, &mut half);
            frames += 1;
        }
    }
    Frame::CheckpointEnd.encode(tail.epoch, frames, &mut half);
    half.extend_from_slice(bytes);
    let replayed = tail.read(&half);
    assert!(replayed.is_none() || tail.number > frames, "no frame is skipped");
    if let Some(replayed) = replayed {
        let again = frames_of(&replayed.past_purges);
        assert!(again.iter().all(|frame| is_read_back(frame, 2, 0)));
    }
}

fn is_read_back(frame: &Frame, epoch: u32, number: u64) -> bool {
    let mut bytes = Vec::new();
    frame.encode(epoch, number, &mut bytes);
    let read = Frame::decode(&bytes);
    read.is_some_and(|(.., read, length)| read == *frame && length == bytes.len())
}

const HALF_MAGIC: &[u8; 8] = b"shellog1";
const HALF_HEADER_BYTES: usize = 64;
const FRAME_HEADER_BYTES: usize = 24;
const FOLDED_PIECE: usize = 4096;
