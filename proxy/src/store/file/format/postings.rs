//! `Postings`: which responses of a segment carry what, by identity: what a purge by tag, host or
//! prefix has hit is found without reading their heads.
//!
//! ```text
//! for each identity, in order:  id u64 | count u32 | numbers of entries in the footer, u32 each
//! ```
//!
//! An identity is half of a tag's: two tags that share it, one pair in 2^64, would be purged
//! together.
//!
//! A prefix is no tag. A response is therefore listed under the directories of its path as well: a
//! prefix that ends with one of them is found like a tag; of one that goes on behind it, or is
//! deeper than [`DEPTH_MAX`], the heads that may be meant are read.

use std::collections::HashMap;

use purge_protocol::spelling;
use smallvec::SmallVec;

use super::codec::{Cursor, Put as _};
use super::filter::{self, Filter};
use crate::invalidation::{TagId, TagTable};
use crate::key::Key;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Postings {
    by_id: HashMap<u64, Numbers>,
    links: usize,
}

type Numbers = SmallVec<[u32; 2]>;

impl Postings {
    /// Adds an entry that carries these. Entries come in order.
    pub(crate) fn add(&mut self, entry: u32, ids: &[u64]) {
        for id in ids {
            let numbers = self.by_id.entry(*id).or_default();
            if numbers.last() != Some(&entry) {
                numbers.push(entry);
                self.links += 1;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns the bytes in the file after so many more links.
    pub(crate) fn bytes_with(&self, more: usize) -> u64 {
        (self.by_id.len() * 12 + self.links * 4 + more * 16) as u64
    }

    /// Returns the bytes of the filter after so many more links.
    pub(crate) fn filter_bytes_with(&self, more: usize, responses: u64) -> u64 {
        filter::bytes_for((self.by_id.len() + more) as u64, responses)
    }

    pub(crate) fn filter(&self, responses: u64) -> Filter {
        Filter::of(self.by_id.keys().copied(), self.by_id.len() as u64, responses)
    }

    pub(crate) fn holders(&self, ids: &[u64]) -> Vec<u32> {
        let of = |id| self.by_id.get(id).map_or(&[][..], |numbers| numbers);
        let Some((first, others)) = ids.split_first() else { return Vec::new() };
        let is_held = |number: &u32| others.iter().all(|id| of(id).binary_search(number).is_ok());
        of(first).iter().copied().filter(is_held).collect()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut all: Vec<_> = self.by_id.iter().collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        for (id, numbers) in all {
            out.put_u64(*id);
            out.put_u32(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
            numbers.iter().for_each(|number| out.put_u32(*number));
        }
    }

    /// Reads those of the identities that are wanted; `None`: it is damaged.
    pub(crate) fn decode(bytes: &[u8], is_wanted: impl Fn(u64) -> bool) -> Option<Self> {
        let (mut cursor, mut postings) = (Cursor(bytes), Self::default());
        while !cursor.is_at_end() {
            let (id, count) = (cursor.u64()?, cursor.u32()?);
            let numbers = cursor.bytes(usize::try_from(count).ok()?.checked_mul(4)?)?;
            if is_wanted(id) {
                let mut cursor = Cursor(numbers);
                let numbers: Numbers = (0..count).map_while(|_| cursor.u32()).collect();
                postings.links += numbers.len();
                postings.by_id.insert(id, numbers);
            }
        }
        Some(postings)
    }
}

/// Returns the identities that a response of this key with these tags is listed under.
pub(crate) fn ids_of(table: &TagTable, key: &Key, tags: impl Iterator<Item = TagId>) -> Vec<u64> {
    let mut ids: Vec<u64> = tags.map(TagId::hash).collect();
    ids.push(table.host(key.host()).hash());
    let path = spelling::normal(key.path());
    let directories = directories(&path).take(DEPTH_MAX);
    ids.extend(directories.map(|directory| table.directory(directory).hash()));
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Returns the directories of a path, the shortest first, without the root.
pub(crate) fn directories(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let path = path.get(..end).unwrap_or_default();
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(at, _)| path.get(..=at))
}

/// Directories of a path that its response is listed under.
pub(crate) const DEPTH_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(lists: &[Vec<u64>]) -> Postings {
        let mut postings = Postings::default();
        for (number, ids) in lists.iter().enumerate() {
            postings.add(u32::try_from(number).unwrap(), ids);
        }
        postings
    }

    proptest! {
        #[test]
        fn what_is_wanted_is_read_back_and_takes_no_more_than_was_said(
            lists in proptest::collection::vec(proptest::collection::vec(0..40_u64, 0..6), 0..30),
            last in proptest::collection::vec(0..80_u64, 0..6), wanted in 0..40_u64,
        ) {
            let mut postings = listed(&lists);
            let (most, filter_most) =
                (postings.bytes_with(last.len()), postings.filter_bytes_with(last.len(), 31));
            postings.add(30, &last);
            let mut bytes = Vec::new();
            postings.encode(&mut bytes);
            prop_assert_eq!(bytes.len() as u64, postings.bytes_with(0));
            prop_assert!(bytes.len() as u64 <= most);
            let mut filter = Vec::new();
            postings.filter(31).encode(&mut filter);
            prop_assert!(filter.len() as u64 <= filter_most);
            let all = Postings::decode(&bytes, |_| true).unwrap();
            prop_assert_eq!(&all, &postings);
            let some = Postings::decode(&bytes, |id| id == wanted).unwrap();
            let truth: Vec<u32> = (0_u32..).zip(&lists)
                .filter(|(_, ids)| ids.contains(&wanted)).map(|(number, _)| number)
                .chain(last.contains(&wanted).then_some(30)).collect();
            prop_assert_eq!(some.holders(&[wanted]), truth);
            prop_assert!(some.by_id.len() <= 1);
        }

        #[test]
        fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
            Postings::decode(&bytes, |_| true);
        }
    }

    #[test]
    fn who_carries_all_of_several_is_found() {
        let postings = listed(&[vec![1, 2], vec![2], vec![2, 3, 1], vec![3]]);
        assert_eq!(postings.holders(&[1, 2]), [0, 2]);
        assert_eq!(postings.holders(&[2, 3]), [2]);
        assert_eq!(postings.holders(&[2, 9]), [0; 0]);
        assert_eq!(postings.holders(&[]), [0; 0]);
    }

    #[test]
    fn the_directories_of_a_path_end_with_a_slash_and_before_the_query() {
        let all = |path: &'static str| -> Vec<&str> {
            directories(path.as_bytes()).map(|it| std::str::from_utf8(it).unwrap()).collect()
        };
        assert_eq!(all("/a/bc/d?x=/y/"), ["/a/", "/a/bc/"]);
        assert_eq!(all("/a/"), ["/a/"]);
        assert!(all("/a").is_empty() && all("/").is_empty() && all("").is_empty());
    }
}
