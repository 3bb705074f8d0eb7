//! The superblock: what a store is, how it is divided, and how often it was opened. Two copies are
//! written in turn, each in one sector, so that no crash damages one; the newer one counts.

use std::io;

use super::codec::{Cursor, Put as _};
use crate::store::file::device::disk::Disk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The identity of the store: segments and journal of another are never taken for its own.
    pub(crate) store: u64,
    /// Rises with each writing of the superblock.
    pub(crate) generation: u64,
    /// Rises with each opening of the store, and with each 2^32 versions: sequences, versions and
    /// incarnations of one opening are above those of all before.
    pub(crate) openings: u32,
    pub(crate) epoch: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) segments: u32,
    /// The secrets of the hashes of keys and of the identities of tags.
    pub(crate) key_seed: u64,
    pub(crate) tag_seed: u64,
    /// Closed in order: nothing was being written.
    pub(crate) is_clean: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Another program, or another version of this one, has written it.
    Version(u32),
    Damaged,
}

impl Superblock {
    fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(128);
        rest.put_u64(self.store);
        rest.put_u64(self.generation);
        rest.put_u32(self.openings);
        rest.put_u32(self.epoch);
        rest.put_u64(self.segment_bytes);
        rest.put_u32(self.segments);
        rest.put_u32(u32::from(self.is_clean));
        rest.put_u64(self.key_seed);
        rest.put_u64(self.tag_seed);
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(VERSION);
        bytes.put_u32(crc32c::crc32c(&rest));
        bytes.put(&rest);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        Self::read(bytes).unwrap_or(Err(Unreadable::Damaged))
    }

    fn read(bytes: &[u8]) -> Option<Result<Self, Unreadable>> {
        let mut cursor = Cursor(bytes);
        if cursor.bytes(MAGIC.len())? != MAGIC {
            return None;
        }
        let version = cursor.u32()?;
        if version != VERSION {
            return Some(Err(Unreadable::Version(version)));
        }
        let crc = cursor.u32()?;
        if crc32c::crc32c(cursor.0.get(..BODY_BYTES)?) != crc {
            return None;
        }
        Some(Ok(Self {
            store: cursor.u64()?,
            generation: cursor.u64()?,
            openings: cursor.u32()?,
            epoch: cursor.u32()?,
            segment_bytes: cursor.u64()?,
            segments: cursor.u32()?,
            is_clean: cursor.u32()? == 1,
            key_seed: cursor.u64()?,
            tag_seed: cursor.u64()?,
        }))
    }

    /// Reads both copies. They are one generation apart, but for a store that was made a moment
    /// ago: where one is damaged, it may be the newer one, and the older one names a journal that
    /// lacks the last purges.
    pub(crate) fn load(disk: &dyn Disk) -> io::Result<Result<Self, Unreadable>> {
        let mut copies = [[0; COPY_BYTES]; COPIES];
        for (place, copy) in copies.iter_mut().enumerate() {
            disk.read((place * COPY_BYTES) as u64, copy)?;
        }
        let [one, two] = &copies;
        let is_first = |it: &Self, other: &[u8]| it.generation == 1 && is_blank(other);
        Ok(match (Self::decode(one), Self::decode(two)) {
            (Ok(one), Ok(two)) if one.generation == two.generation + 1 => Ok(one),
            (Ok(one), Ok(two)) if two.generation == one.generation + 1 => Ok(two),
            (Ok(it), Err(_)) if is_first(&it, two) => Ok(it),
            (Err(_), Ok(it)) if is_first(&it, one) => Ok(it),
            (Err(Unreadable::Version(version)), Err(_))
            | (Err(_), Err(Unreadable::Version(version))) => Err(Unreadable::Version(version)),
            _ => Err(Unreadable::Damaged),
        })
    }

    /// Writes the next generation over the older copy and makes it durable.
    pub(crate) fn store(&mut self, disk: &dyn Disk) -> io::Result<()> {
        self.generation += 1;
        disk.write(self.generation % COPIES as u64 * COPY_BYTES as u64, &self.encode())?;
        disk.sync()
    }

    /// Makes both copies unreadable: what is left of the store is never used again.
    pub(crate) fn destroy(disk: &dyn Disk) -> io::Result<()> {
        for place in 0..COPIES {
            disk.write((place * COPY_BYTES) as u64, &[0; COPY_BYTES])?;
        }
        disk.sync()
    }
}

fn is_blank(copy: &[u8]) -> bool {
    copy.iter().all(|byte| *byte == 0)
}

/// Reads a superblock for a fuzzer, as it is and as if its magic, version and checksum were right.
pub(crate) fn read_any(bytes: &[u8]) {
    let _as_it_is = Superblock::decode(bytes);
    let mut sealed = MAGIC.to_vec();
    sealed.put_u32(VERSION);
    sealed.put_u32(crc32c::crc32c(bytes.get(..BODY_BYTES).unwrap_or(bytes)));
    sealed.put(bytes);
    let superblock = Superblock::decode(&sealed);
    assert_eq!(superblock.is_ok(), bytes.len() >= BODY_BYTES);
    assert!(
        superblock.is_err()
            || superblock.is_ok_and(|it| Superblock::decode(&it.encode()) == superblock)
    );
}

const MAGIC: &[u8; 16] = b"shellac store\r\n\0";
/// The format of everything in the store's files. Another one is refused, never converted: it is a
/// cache.
const VERSION: u32 = 2;
const COPY_BYTES: usize = 4096;
const COPIES: usize = 2;
const BODY_BYTES: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_is_read_back_and_no_flipped_bit_goes_unnoticed() {
        let superblock = Superblock {
            store: 1,
            generation: 2,
            openings: 3,
            epoch: 4,
            segment_bytes: 5,
            segments: 6,
            key_seed: 7,
            tag_seed: 8,
            is_clean: true,
        };
        let bytes = superblock.encode();
        assert_eq!(bytes.len(), 24 + BODY_BYTES);
        assert_eq!(Superblock::decode(&bytes), Ok(superblock));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&bytes).is_err(), "bit {bit}");
        }
    }
}
