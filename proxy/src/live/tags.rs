//! `TagUses`: what the purges of each tag cost: the renders that they caused, their bytes, and
//! stale responses served meanwhile.
//!
//! A purge notes the keys that it hits, in a table in which a later one may take the place of an
//! earlier one. The next miss of such a key is a render that the purge has caused.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::space_saving::SpaceSaving;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct TagUses {
    /// A tag was purged: before, misses look nowhere.
    is_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tags: SpaceSaving<TagCosts>,
    /// The names by their numbers, while they are among the heaviest.
    names: HashMap<u32, Box<str>>,
    next: u32,
    /// Keys that purges have hit. Empty until then.
    keys: Vec<PurgedKey>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PurgedKey {
    hash: u64,
    /// 0: nothing.
    tag: u32,
    is_soft: bool,
    is_rendered: bool,
    /// The origin was asked for a response since: what comes later is not for this purge.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagCosts {
    number: u32,
    /// By the number of ten minutes since 1970, modulo six.
    purges: [(u64, u32); 6],
    pub renders: u64,
    pub bytes: u64,
    pub stale_served: u64,
}

impl Default for TagUses {
    fn default() -> Self {
        let state = State {
            tags: SpaceSaving::new(TAGS_MAX),
            names: HashMap::new(),
            next: 1,
            keys: Vec::new(),
        };
        Self { is_on: AtomicBool::new(false), state: Mutex::new(state) }
    }
}

impl TagCosts {
    /// Returns the purges of the last hour.
    pub fn purges_of_hour(&self, now: Timestamp) -> u64 {
        let period = now.as_secs() / PERIOD_SECONDS;
        let recent = self.purges.iter().filter(|(at, _)| *at + 6 > period);
        recent.map(|(_, count)| u64::from(*count)).sum()
    }

    fn purge(&mut self, now: Timestamp) {
        let period = now.as_secs() / PERIOD_SECONDS;
        let place = usize::try_from(period % 6).unwrap_or_default();
        if let Some((at, count)) = self.purges.get_mut(place) {
            if *at != period {
                (*at, *count) = (period, 0);
            }
            *count = count.saturating_add(1);
        }
    }
}

impl TagUses {
    /// Notes a purge of a tag, and the keys of stored responses that it hits.
    pub fn purged(&self, tag: &str, is_soft: bool, keys: &[u64], now: Timestamp) {
        self.is_on.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        let State { tags, names, next, keys: table } = &mut *state;
        let costs = tags.add(tag, 1);
        costs.purge(now);
        if costs.number == 0 {
            costs.number = *next;
            *next = next.checked_add(1).unwrap_or(1);
            if names.len() >= 2 * TAGS_MAX {
                let known: HashSet<&str> = tags.iter().map(|(name, _)| name).collect();
                names.retain(|_, name| known.contains(&**name));
            }
        }
        let number = tags.get_mut(tag).map_or(0, |costs| costs.number);
        names.insert(number, tag.into());
        if table.is_empty() {
            table.resize(KEYS_MAX, PurgedKey::default());
        }
        for hash in keys {
            if let Some(place) = place(table, *hash) {
                let purged =
                    PurgedKey { hash: *hash, tag: number, is_soft, ..PurgedKey::default() };
                *place = purged;
            }
        }
    }

    /// Notes that the origin was asked for a response of this key, and so many bytes came.
    pub fn rendered(&self, key: u64, bytes: u64) {
        self.with(key, |purged, costs| {
            if !std::mem::replace(&mut purged.is_rendered, true) {
                costs.renders += 1;
                costs.bytes += bytes;
            }
            purged.is_over = true;
        });
    }

    /// Notes that a stale response of this key was served. The first one causes a render in the
    /// background.
    pub fn stale(&self, key: u64) {
        self.with(key, |purged, costs| {
            if purged.is_soft {
                costs.stale_served += 1;
                costs.renders += u64::from(!std::mem::replace(&mut purged.is_rendered, true));
            }
        });
    }

    fn with(&self, key: u64, note: impl FnOnce(&mut PurgedKey, &mut TagCosts)) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        let State { tags, names, keys, .. } = &mut *state;
        let Some(purged) = place(keys, key) else { return };
        if purged.tag == 0 || purged.is_over || purged.hash != key {
            return;
        }
        let Some(name) = names.get(&purged.tag) else { return };
        if let Some(costs) = tags.get_mut(name) {
            let renders = costs.renders;
            note(purged, costs);
            let more = costs.renders - renders;
            tags.add(name, more);
        }
    }

    /// Returns the tag by whose purge stored responses of this key were last hit, as far as that is
    /// remembered.
    pub fn last_of(&self, key: u64) -> Option<String> {
        let mut state = self.state.lock();
        let State { names, keys, .. } = &mut *state;
        let purged = *place(keys, key)?;
        let name = (purged.hash == key).then(|| names.get(&purged.tag))??;
        Some(name.to_string())
    }

    /// Returns the tags that were purged, the heaviest first.
    pub fn list(&self, most: usize) -> Vec<(String, TagCosts)> {
        let state = self.state.lock();
        let mut all: Vec<_> = state.tags.iter().collect();
        all.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.weight));
        let shown = all.into_iter().take(most);
        shown.map(|(name, entry)| (name.to_owned(), entry.value)).collect()
    }
}

fn place(table: &mut [PurgedKey], hash: u64) -> Option<&mut PurgedKey> {
    let place = hash.checked_rem(table.len() as u64)?;
    table.get_mut(usize::try_from(place).ok()?)
}

/// Tags that are remembered.
pub const TAGS_MAX: usize = 1000;
/// Keys of one purge that are remembered: of a larger one nothing is said about renders.
pub const KEYS_OF_PURGE_MAX: u64 = 10_000;
/// Keys that are remembered: 1 MiB, once a tag was purged.
const KEYS_MAX: usize = 1 << 16;
const PERIOD_SECONDS: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(100_000);

    fn costs(uses: &TagUses, tag: &str) -> TagCosts {
        uses.list(10).into_iter().find(|(name, _)| name == tag).unwrap().1
    }

    #[test]
    fn a_miss_of_a_purged_key_is_a_render_of_that_tag_once() {
        let uses = TagUses::default();
        uses.rendered(7, 10);
        assert!(uses.list(10).is_empty(), "nothing was purged");
        uses.purged("a", false, &[7, 8], NOW);
        uses.purged("b", false, &[9], NOW);
        for key in [7, 7, 8, 10] {
            uses.rendered(key, 100);
        }
        assert_eq!((costs(&uses, "a").renders, costs(&uses, "a").bytes), (2, 200));
        assert_eq!(costs(&uses, "b").renders, 0);
        assert_eq!(uses.list(1)[0].0, "a", "it cost more");
    }

    #[test]
    fn the_tag_that_a_key_was_purged_by_is_remembered_beyond_its_render() {
        let uses = TagUses::default();
        assert_eq!(uses.last_of(7), None);
        uses.purged("a", false, &[7, 8], NOW);
        uses.rendered(7, 10);
        uses.purged("b", true, &[8], NOW);
        assert_eq!([7, 8].map(|key| uses.last_of(key)), [Some("a".into()), Some("b".into())]);
        assert_eq!([0, 9].map(|key| uses.last_of(key)), [None, None]);
    }

    #[test]
    fn stale_responses_count_for_the_soft_purge_and_one_render_follows() {
        let uses = TagUses::default();
        uses.purged("soft", true, &[7], NOW);
        uses.purged("hard", false, &[8], NOW);
        for key in [7, 7, 7, 8] {
            uses.stale(key);
        }
        let soft = costs(&uses, "soft");
        assert_eq!((soft.stale_served, soft.renders), (3, 1));
        assert_eq!(costs(&uses, "hard").stale_served, 0);
    }

    #[test]
    fn purges_are_counted_for_an_hour() {
        let uses = TagUses::default();
        for minutes in [10, 11, 30, 59] {
            let at = Timestamp::from_secs(100_000 + minutes * 60);
            uses.purged("a", false, &[], at);
        }
        let at = |minutes: u64| {
            costs(&uses, "a").purges_of_hour(Timestamp::from_secs(100_000 + minutes * 60))
        };
        assert_eq!([at(59), at(80), at(200)], [4, 2, 0]);
    }

    #[test]
    fn the_lightest_tag_makes_room() {
        let uses = TagUses::default();
        uses.purged("heavy", false, &[1], NOW);
        uses.purged("heavy", false, &[1], NOW);
        for number in 0..5000 {
            uses.purged(&format!("tag-{number}"), false, &[number], NOW);
        }
        let all = uses.list(usize::MAX);
        assert_eq!(all.len(), TAGS_MAX);
        assert!(uses.state.lock().names.len() <= 2 * TAGS_MAX);
    }
}
