//! A walk through what is in the file only, in the order of the hashes of keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::load::restore;
use super::parts::TierParts;
use crate::invalidation::TagId;
use crate::store::file::read::response;
use crate::store::file::volume::Volume;
use crate::store::file::volume::index::IndexEntry;
use crate::store::{Promote, Stored};

/// Reads responses from this hash on, for as long as the visitor wants.
pub(super) fn walk(
    parts: &TierParts,
    mut from: u64,
    tag: Option<TagId>,
    visitor: &mut dyn FnMut(&Arc<Stored>) -> ControlFlow<()>,
) {
    loop {
        let (entries, next) = entries_from(parts.volume(), from, tag);
        for entry in entries {
            let record = response::read(parts.volume(), &entry);
            if let Some(stored) = restore(parts, &entry, record, Promote::Never)
                && visitor(&stored).is_break()
            {
                return;
            }
        }
        match next {
            Some(next) => from = next,
            None => return,
        }
    }
}

/// Returns the next entries in the order of their hashes, and the hash from which the walk goes on
/// if there are more.
fn entries_from(volume: &Volume, from: u64, tag: Option<TagId>) -> (Vec<IndexEntry>, Option<u64>) {
    let mut lowest = BTreeMap::<(u64, u32), IndexEntry>::new();
    volume.index.visit(&mut |entry| {
        let order = (entry.key_hash, entry.version);
        let is_full = lowest.len() >= ENTRIES_AT_ONCE;
        let is_wanted = entry.key_hash >= from
            && !entry.is_in_memory()
            && (!is_full || lowest.last_key_value().is_some_and(|(last, _)| order < *last))
            && may_carry(volume, &entry, tag);
        if is_wanted {
            lowest.insert(order, entry);
            if is_full {
                lowest.pop_last();
            }
        }
    });
    // There may be more under the last hash: the walk goes on with all of that.
    let ends = [lowest.first_key_value(), lowest.last_key_value()];
    let next = match ends.map(|end| end.map(|((hash, _), _)| *hash)) {
        [Some(first), Some(last)] if lowest.len() >= ENTRIES_AT_ONCE => {
            Some(if first == last { last.saturating_add(1) } else { last })
        }
        _ => None,
    };
    let mut entries: Vec<_> = lowest.into_values().collect();
    entries.retain(|entry| next.is_none_or(|next| entry.key_hash < next));
    (entries, next)
}

/// Returns whether what is known of the segment in memory does not exclude the tag.
fn may_carry(volume: &Volume, entry: &IndexEntry, tag: Option<TagId>) -> bool {
    let (Some(tag), Some(place)) = (tag, entry.place()) else { return true };
    let filter = volume.segments.at(place.segment).filter.lock();
    filter.as_ref().is_none_or(|filter| filter.may_hold(tag.hash()))
}

/// Entries that are sorted at once: some hundred KiB.
const ENTRIES_AT_ONCE: usize = 4096;
