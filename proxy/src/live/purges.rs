//! `RecentPurges`: the last purges, with what they named and how many responses they hit.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use purge_protocol::Selector;
use purge_protocol::request::Target;
use tokio::sync::watch;

use super::snapshot::RecentPurge;

#[derive(Debug)]
pub struct RecentPurges {
    state: Mutex<RememberedPurges>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
}

/// Selectors of a purge, the last ones if there are too many.
pub type NamedTargets = Arc<[(Selector, Target)]>;

/// Room for the selectors that are copied of a batch of purges, the newest first.
#[derive(Debug)]
pub struct SelectorRoom {
    selectors: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct RememberedPurges {
    /// The newest last.
    purges: VecDeque<RememberedPurge>,
    /// Selectors of all of them, and their bytes.
    selectors: usize,
    bytes: usize,
}

#[derive(Debug)]
struct RememberedPurge {
    purge: RecentPurge,
    named: NamedTargets,
    /// Bytes of `named`.
    bytes: usize,
}

impl Default for RecentPurges {
    fn default() -> Self {
        Self { state: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Default for SelectorRoom {
    fn default() -> Self {
        Self { selectors: COPIED_MAX, bytes: COPIED_BYTES_MAX }
    }
}

impl SelectorRoom {
    /// Copies the last ones of a purge's selectors, as far as there is room. Of purges that are
    /// older than one that had no room nothing is copied.
    pub fn copy(&mut self, selectors: &[(Selector, Target)]) -> NamedTargets {
        let newest = selectors.iter().rev();
        let copied = newest.take_while(|pair| self.take(bytes_of(pair))).count();
        selectors.get(selectors.len() - copied..).unwrap_or_default().into()
    }

    fn take(&mut self, bytes: usize) -> bool {
        let has_room = self.selectors > 0 && bytes <= self.bytes;
        self.selectors = if has_room { self.selectors - 1 } else { 0 };
        self.bytes = self.bytes.saturating_sub(bytes);
        has_room
    }
}

impl RememberedPurges {
    fn forget_selectors(&mut self, selectors: usize, bytes: usize) {
        self.selectors -= selectors;
        self.bytes -= bytes;
    }
}

impl RecentPurges {
    /// Notes a purge of these, and tells those who watch. It is given its number.
    pub fn note(&self, purge: RecentPurge, named: NamedTargets) {
        let bytes = named.iter().map(bytes_of).sum();
        let mut state = self.state.lock();
        let state = &mut *state;
        let id = *self.newest.borrow() + 1;
        if state.purges.len() == PURGES_MAX
            && let Some(forgotten) = state.purges.pop_front()
        {
            state.forget_selectors(forgotten.named.len(), forgotten.bytes);
        }
        state.selectors += named.len();
        state.bytes += bytes;
        let purge = RecentPurge { id, ..shortened(purge) };
        state.purges.push_back(RememberedPurge { purge, named, bytes });
        for oldest in 0..state.purges.len() {
            if state.selectors <= SELECTORS_MAX && state.bytes <= SELECTOR_BYTES_MAX {
                break;
            }
            let Some(oldest) = state.purges.get_mut(oldest) else { break };
            let named = std::mem::take(&mut oldest.named);
            let bytes = std::mem::take(&mut oldest.bytes);
            state.forget_selectors(named.len(), bytes);
        }
        self.newest.send_replace(id);
    }

    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Returns those after a number, the oldest first.
    pub fn after(&self, id: u64) -> Vec<RecentPurge> {
        let state = self.state.lock();
        let purges = state.purges.iter().map(|it| &it.purge);
        purges.filter(|purge| purge.id > id).cloned().collect()
    }

    /// Returns the last ones, the newest first.
    pub fn last(&self, most: usize) -> Vec<RecentPurge> {
        let state = self.state.lock();
        state.purges.iter().rev().take(most).map(|it| it.purge.clone()).collect()
    }

    /// Returns the selectors of those whose selectors are remembered, the newest first, each with
    /// the number of its purge.
    pub fn selectors(&self) -> Vec<(u64, NamedTargets)> {
        let state = self.state.lock();
        let newest = state.purges.iter().rev();
        newest
            .filter(|it| !it.named.is_empty())
            .map(|it| (it.purge.id, Arc::clone(&it.named)))
            .collect()
    }

    /// Returns the purge with this number, if it is remembered.
    pub fn find(&self, id: u64) -> Option<RecentPurge> {
        let state = self.state.lock();
        Some(state.purges.iter().rev().find(|it| it.purge.id == id)?.purge.clone())
    }
}

/// A purge with the texts that its sender chose cut to a length.
fn shortened(purge: RecentPurge) -> RecentPurge {
    let short = |text: Option<String>| {
        text.map(|text| match text.get(..text.floor_char_boundary(TEXT_BYTES)) {
            Some(start) if start.len() < text.len() => format!("{start}..."),
            _ => text,
        })
    };
    RecentPurge { event: short(purge.event), reason: short(purge.reason), ..purge }
}

/// Bytes of a selector: its text, and the target that it is resolved to.
fn bytes_of(pair: &(Selector, Target)) -> usize {
    struct TextLength(usize);
    impl fmt::Write for TextLength {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut text = TextLength(0);
    let _cannot_fail = fmt::write(&mut text, format_args!("{}", pair.0));
    size_of_val(pair) + 2 * text.0
}

/// Purges that are remembered.
pub const PURGES_MAX: usize = 1000;
/// Selectors that are remembered, of the newest of these, and their bytes.
const SELECTORS_MAX: usize = 10_000;
const SELECTOR_BYTES_MAX: usize = 4 << 20;
/// Selectors that are copied of one batch, and their bytes.
const COPIED_MAX: usize = 1000;
const COPIED_BYTES_MAX: usize = 256 << 10;
/// Bytes of each text that a sender chooses.
const TEXT_BYTES: usize = 500;

#[cfg(test)]
mod tests {
    use purge_protocol::Tag;

    use super::*;

    fn named(selector: &str) -> RecentPurge {
        RecentPurge { selector: selector.to_owned(), ..RecentPurge::default() }
    }

    fn everything(count: usize) -> NamedTargets {
        vec![(Selector::All(true), Target::All); count].into()
    }

    #[test]
    fn the_newest_comes_first_and_what_follows_a_number_in_order() {
        let purges = RecentPurges::default();
        for name in ["a", "b", "c"] {
            purges.note(named(name), NamedTargets::default());
        }
        let names = |purges: Vec<RecentPurge>| {
            purges.into_iter().map(|purge| purge.selector).collect::<Vec<_>>()
        };
        assert_eq!(names(purges.last(2)), ["c", "b"]);
        assert_eq!(names(purges.after(1)), ["b", "c"]);
        assert_eq!(*purges.newest().borrow(), 3);
    }

    #[test]
    fn a_thousand_are_remembered() {
        let purges = RecentPurges::default();
        for number in 0..1500 {
            purges.note(named(&number.to_string()), everything(1));
        }
        let all = purges.last(usize::MAX);
        assert_eq!((all.len(), &*all[0].selector, all[999].id), (1000, "1499", 501));
        assert_eq!(purges.selectors().len(), 1000);
        assert_eq!(purges.find(501).unwrap().selector, "500");
        assert_eq!(purges.find(500), None);
    }

    #[test]
    fn the_selectors_of_the_oldest_make_room_and_the_purges_stay() {
        let purges = RecentPurges::default();
        for count in [SELECTORS_MAX - 1, 1, 1, SELECTORS_MAX - 2] {
            purges.note(named("a"), everything(count));
        }
        let left: Vec<_> =
            purges.selectors().iter().map(|(id, named)| (*id, named.len())).collect();
        assert_eq!(left, [(4, SELECTORS_MAX - 2), (3, 1), (2, 1)]);
        purges.note(named("b"), everything(SELECTORS_MAX + 1));
        assert!(purges.selectors().is_empty(), "more than all together may have");
        assert_eq!(purges.last(usize::MAX).len(), 5);
        purges.note(named("c"), everything(1));
        assert_eq!(purges.selectors().len(), 1);
    }

    fn tags(lengths: impl IntoIterator<Item = usize>) -> Vec<(Selector, Target)> {
        let tag = |(number, length): (usize, usize)| {
            let text = format!("{number:0>length$}");
            (Selector::Tag(text.clone()), Target::Tag(Tag::parse(&text).unwrap()))
        };
        lengths.into_iter().enumerate().map(tag).collect()
    }

    #[test]
    fn of_a_batch_the_newest_selectors_are_copied_up_to_a_number_and_to_bytes() {
        let mut room = SelectorRoom::default();
        let (old, new) = (tags([4; 50]), tags([4; COPIED_MAX - 10]));
        assert_eq!(*room.copy(&new), *new);
        assert_eq!(*room.copy(&old), old[40..], "the last ones of the one before");
        assert!(room.copy(&old).is_empty());

        let long = tags([1024; 1000]);
        let copied = SelectorRoom::default().copy(&long);
        assert_eq!(*copied, long[1000 - copied.len()..]);
        let bytes = copied.len() * 2 * 1024;
        assert!((COPIED_BYTES_MAX / 2..=COPIED_BYTES_MAX).contains(&bytes), "{bytes}");
        let mut room = SelectorRoom::default();
        assert_eq!(room.copy(&tags([1024; 150])).len(), copied.len());
        assert!(room.copy(&tags([1])).is_empty(), "older than one without room");
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes_whatever_purges_name() {
        let purges = RecentPurges::default();
        let text = || Some("é".repeat(1 << 20));
        for _ in 0..100 {
            let purge = RecentPurge { event: text(), reason: text(), ..named("a") };
            purges.note(purge, SelectorRoom::default().copy(&tags([1024; 200])));
        }
        let bytes: usize =
            purges.selectors().iter().flat_map(|(_, named)| named.iter()).map(bytes_of).sum();
        assert!((SELECTOR_BYTES_MAX / 2..=SELECTOR_BYTES_MAX).contains(&bytes), "{bytes}");
        let purge = purges.find(100).unwrap();
        let texts = [purge.event.unwrap(), purge.reason.unwrap()];
        assert_eq!(texts.map(|text| text.len()), [TEXT_BYTES + 3; 2]);
        assert_eq!(purges.last(usize::MAX).len(), 100);
    }
}
