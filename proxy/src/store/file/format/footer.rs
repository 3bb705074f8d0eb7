//! `Footer`: the end of a complete segment, which says what is in it.
//!
//! ```text
//! postings: who carries what, for purges | filter of the postings' identities
//! | extent lists: where the bodies of large responses are, each { entry u32, count u32, extents 20 B each } | entries | trailer
//! ```
//!
//! The parts behind the postings are read at the start, in one piece; the postings only when a
//! purge may have hit something.

use std::io;
use std::ops::Range;

use super::codec::{Cursor, Put as _};
use super::filter::Filter;
use super::postings::Postings;
use super::record::{FOOTER_ENTRY_BYTES, SMALL_BYTES, Trailer};
use crate::store::file::device::trusted::Trusted;
use crate::store::file::format::extent::{ExtentPlace, decode_extent, encode_extent};
use crate::store::file::format::record::FooterEntry;

#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentSpan {
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// The incarnation that the segment must be in.
    pub(crate) lsn: u64,
}

/// The entries, extent lists and postings of a segment that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Footer {
    pub(crate) entries: Vec<FooterEntry>,
    pub(crate) extent_lists: Vec<ExtentList>,
    /// Bytes of the extent lists in the file.
    list_bytes: u64,
    pub(crate) postings: Postings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtentList {
    /// The number of the response's entry. Extent lists are in this order.
    entry: u32,
    extents: Vec<ExtentPlace>,
}

/// The parts of a response that a footer keeps beside its entry: identities and extents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexTerms {
    pub(crate) ids: Vec<u64>,
    /// The extents of the body; empty if the body is behind its head.
    pub(crate) extents: Vec<ExtentPlace>,
}

/// The footer of a complete segment, without the postings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) entries: Vec<FooterEntry>,
    pub(crate) extent_lists: Vec<ExtentList>,
    pub(crate) filter: Filter,
}

impl Footer {
    pub(crate) fn push(&mut self, entry: FooterEntry, terms: IndexTerms) {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(entry);
        self.postings.add(number, &terms.ids);
        if !terms.extents.is_empty() {
            self.list_bytes += list_bytes(terms.extents.len());
            self.extent_lists.push(ExtentList { entry: number, extents: terms.extents });
        }
    }

    /// Returns an upper bound of the footer's bytes after one more response.
    pub(crate) fn bytes_with(&self, terms: &IndexTerms) -> u64 {
        let responses = self.entries.len() as u64 + 1;
        self.postings.bytes_with(terms.ids.len())
            + self.postings.filter_bytes_with(terms.ids.len(), responses)
            + self.list_bytes
            + list_bytes(terms.extents.len())
            + responses * FOOTER_ENTRY_BYTES as u64
            + SMALL_BYTES as u64
    }

    /// Encodes the footer of a segment whose records end at `tail`, and builds its filter.
    fn encode(&self, lsn: u64, tail: u64) -> (Vec<u8>, Filter) {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        self.postings.encode(&mut bytes);
        let posting_bytes = bytes.len();
        let posting_crc = crc32c::crc32c(&bytes);
        let filter = self.postings.filter(self.entries.len() as u64);
        filter.encode(&mut bytes);
        let filter_end = bytes.len();
        for list in &self.extent_lists {
            bytes.put_u32(list.entry);
            bytes.put_u32(length(list.extents.len()));
            list.extents.iter().for_each(|extent| encode_extent(extent, &mut bytes));
        }
        let spread_end = bytes.len();
        self.entries.iter().for_each(|entry| entry.encode(&mut bytes));
        let trailer = Trailer {
            lsn,
            max_version: self.entries.iter().map(|entry| entry.version).max().unwrap_or(0),
            count: length(self.entries.len()),
            crc: crc32c::crc32c(bytes.get(posting_bytes..).unwrap_or_default()),
            tail: u32::try_from(tail).unwrap_or(u32::MAX),
            filter_bytes: length(filter_end - posting_bytes),
            list_bytes: length(spread_end - filter_end),
            posting_bytes: length(posting_bytes),
            posting_crc,
        };
        bytes.extend_from_slice(&trailer.encode());
        (bytes, filter)
    }

    /// Writes the footer behind the records, which end at `tail`, and so completes the segment.
    /// Returns the filter.
    pub(crate) fn write(&self, disk: &Trusted, at: &SegmentSpan, tail: u64) -> io::Result<Filter> {
        let (bytes, filter) = self.encode(at.lsn, tail);
        let start = at.length.checked_sub(bytes.len() as u64).filter(|start| *start >= tail);
        let start = start.ok_or_else(|| io::Error::other("no room for the footer"))?;
        disk.write(at.start + start, &bytes)?;
        Ok(filter)
    }
}

impl Contents {
    /// Reads the footer of a complete segment; `None` if the segment is incomplete or the footer
    /// damaged.
    pub(crate) fn read(disk: &Trusted, at: &SegmentSpan) -> Option<Self> {
        let trailer = trailer_of(disk, at)?;
        let place = trailer.contents(at.length)?;
        Self::decode(&read(disk, at, &place)?, &trailer)
    }

    fn decode(bytes: &[u8], trailer: &Trailer) -> Option<Self> {
        if crc32c::crc32c(bytes) != trailer.crc {
            return None;
        }
        let mut cursor = Cursor(bytes);
        let filter = Filter::decode(cursor.bytes(usize::try_from(trailer.filter_bytes).ok()?)?)?;
        let mut rest = Cursor(cursor.bytes(usize::try_from(trailer.list_bytes).ok()?)?);
        let mut extent_lists = Vec::new();
        while !rest.is_at_end() {
            let (entry, count) = (rest.u32()?, rest.u32()?);
            let mut extents = Vec::new();
            for _ in 0..count {
                extents.push(decode_extent(&mut rest)?);
            }
            extent_lists.push(ExtentList { entry, extents });
        }
        let mut entries = Vec::with_capacity(bytes.len() / FOOTER_ENTRY_BYTES);
        while !cursor.is_at_end() {
            entries.push(FooterEntry::decode(&mut cursor)?);
        }
        Some(Self { entries, extent_lists, filter })
    }
}

/// Reads the postings of a complete segment for the identities that are wanted.
pub(crate) fn postings_of(
    disk: &Trusted,
    at: &SegmentSpan,
    is_wanted: impl Fn(u64) -> bool,
) -> Option<Postings> {
    let trailer = trailer_of(disk, at)?;
    let bytes = read(disk, at, &trailer.postings(at.length)?)?;
    let is_sound = crc32c::crc32c(&bytes) == trailer.posting_crc;
    is_sound.then(|| Postings::decode(&bytes, is_wanted)).flatten()
}

/// Returns the extents of the response with this entry; none if its body is behind its head.
pub(crate) fn extents_of(extent_lists: &[ExtentList], entry: u32) -> &[ExtentPlace] {
    let place = extent_lists.binary_search_by_key(&entry, |list| list.entry);
    place.ok().and_then(|place| extent_lists.get(place)).map_or(&[], |list| &list.extents)
}

fn trailer_of(disk: &Trusted, at: &SegmentSpan) -> Option<Trailer> {
    let mut bytes = [0; SMALL_BYTES];
    disk.read(at.start + at.length - SMALL_BYTES as u64, &mut bytes).ok()?;
    Trailer::decode(&bytes).filter(|trailer| trailer.lsn == at.lsn)
}

fn read(disk: &Trusted, at: &SegmentSpan, place: &Range<u64>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(place.end - place.start).ok()?];
    disk.read(at.start + place.start, &mut bytes).ok()?;
    Some(bytes)
}

const fn list_bytes(extents: usize) -> u64 {
    (8 + extents * EXTENT_BYTES) as u64
}

/// Reads a footer for a fuzzer, as if its checksum were right: the first two bytes say how much is
/// filter and extent lists.
pub(crate) fn read_any(bytes: &[u8]) {
    let Some((sizes, rest)) = bytes.split_first_chunk::<2>() else { return };
    let [filter_bytes, list_bytes] = sizes.map(|size| u32::from(size) * 4);
    let trailer = Trailer {
        lsn: 1,
        max_version: 1,
        count: 1,
        crc: crc32c::crc32c(rest),
        tail: 0,
        filter_bytes,
        list_bytes,
        posting_bytes: 0,
        posting_crc: 0,
    };
    drop(Contents::decode(rest, &trailer));
    drop(Postings::decode(bytes, |_| true));
}

const EXTENT_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(number: u32) -> FooterEntry {
        FooterEntry {
            key_hash: u64::from(number) * 7,
            version: u64::from(number) + 1,
            born: 2,
            offset: 64 + number,
            units: 3,
            is_large: number.is_multiple_of(3),
            expires: 9,
            variant: 0,
        }
    }

    fn terms(number: u32, ids: &[u64], extents: u32) -> IndexTerms {
        let extents = if number.is_multiple_of(3) { extents } else { 0 };
        let place = |at| ExtentPlace { segment: at, lsn: 5, offset: number, length: 1000 };
        IndexTerms { ids: ids.to_vec(), extents: (0..extents).map(place).collect() }
    }

    proptest! {
        #[test]
        fn a_footer_is_read_back_and_takes_no_more_room_than_was_kept_for_it(
            lists in proptest::collection::vec((proptest::collection::vec(0..60_u64, 0..8), 1..5_u32), 0..40),
        ) {
            let (mut footer, mut room) = (Footer::default(), u64::MAX);
            for (number, (ids, extents)) in (0_u32..).zip(&lists) {
                let terms = terms(number, ids, *extents);
                room = footer.bytes_with(&terms);
                footer.push(entry(number), terms);
            }
            let (bytes, filter) = footer.encode(3, 4096);
            prop_assert!(bytes.len() as u64 <= room);
            let segment = [vec![0; 4096], bytes].concat();
            let length = segment.len() as u64;
            let trailer = Trailer::decode(&segment[segment.len() - SMALL_BYTES..]).unwrap();
            let part = |range: Range<u64>| {
                &segment[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
            };
            let contents = Contents::decode(part(trailer.contents(length).unwrap()), &trailer);
            let contents = contents.unwrap();
            prop_assert_eq!(&contents.entries, &footer.entries);
            prop_assert_eq!(&contents.filter, &filter);
            let postings = part(trailer.postings(length).unwrap());
            prop_assert_eq!(postings.len() + 4096, usize::try_from(trailer.postings(length).unwrap().end).unwrap());
            prop_assert_eq!(&Postings::decode(postings, |_| true).unwrap(), &footer.postings);
            for (number, (ids, extents)) in (0_u32..).zip(&lists) {
                let terms = terms(number, ids, *extents);
                prop_assert_eq!(extents_of(&contents.extent_lists, number), &terms.extents);
                prop_assert!(ids.iter().all(|id| filter.may_hold(*id)));
            }
        }
    }
}
