//! The versions that were stored, and the state of each.

use bytes::Bytes;

use super::{Aim, PATHS, PREFIXES, Slot, TAGS, Tag};
use crate::store::file::device::simulated::Crash;
use process::timestamp::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) slot: Slot,
    pub(super) tag: Tag,
    /// The second at which its head arrived: unique, so it names the version.
    pub(super) second: u64,
    pub(super) body: Bytes,
    /// The time from which on nothing can use it, by a clock that is never wrong.
    pub(super) until: Timestamp,
    pub(super) fresh_until: Timestamp,
    pub(super) state: State,
    /// A soft purge of it was acknowledged: it must not look fresh.
    pub(super) is_soft: bool,
    pub(super) is_certain: bool,
    pub(super) is_durable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Newest,
    /// Replaced or removed, but not yet for good: after a loss of power it may be there.
    Replaced,
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) versions: Vec<Version>,
}

impl Truth {
    pub(super) fn of_second(&self, second: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.second == second)
    }

    pub(super) fn in_slot(&mut self, slot: Slot) -> impl Iterator<Item = &mut Version> {
        self.versions.iter_mut().filter(move |version| version.slot == slot)
    }

    /// Notes that the response in this slot was replaced or removed.
    pub(super) fn replace(&mut self, slot: Slot) {
        for version in self.in_slot(slot).filter(|version| version.state == State::Newest) {
            version.state = State::Replaced;
        }
    }

    pub(super) fn purge(&mut self, aim: Aim) {
        self.meant_by(aim).for_each(|version| version.state = State::Gone);
    }

    pub(super) fn soften(&mut self, aim: Aim) {
        self.meant_by(aim).for_each(|version| version.is_soft = true);
    }

    fn meant_by(&mut self, aim: Aim) -> impl Iterator<Item = &mut Version> {
        for version in self.versions.iter_mut().filter(|version| aim.may_cover(version.slot)) {
            version.is_certain = false;
        }
        self.versions.iter_mut().filter(move |version| aim.covers(version.slot, version.tag))
    }

    pub(super) fn excuse_all(&mut self) {
        self.versions.iter_mut().for_each(|version| version.is_certain = false);
    }

    pub(super) fn sync(&mut self) {
        for version in &mut self.versions {
            version.is_durable |= version.state == State::Newest;
            if version.state == State::Replaced {
                version.state = State::Gone;
            }
        }
    }

    pub(super) fn crash(&mut self, crash: Crash, now: Timestamp) {
        for version in &mut self.versions {
            version.is_certain &=
                version.until > now && (crash == Crash::Kill || version.is_durable);
        }
    }

    /// Takes the version that was found after a crash for the truth; a missing one never comes
    /// back.
    pub(super) fn found(&mut self, slot: Slot, second: Option<u64>) {
        for version in self.in_slot(slot) {
            let is_it = Some(version.second) == second;
            version.state = if is_it { State::Newest } else { State::Gone };
            version.is_durable = is_it;
        }
    }
}

impl Version {
    pub(super) fn may_be_shown(&self, after: Option<Crash>) -> bool {
        match self.state {
            State::Newest => true,
            State::Replaced => after == Some(Crash::Power),
            State::Gone => false,
        }
    }
}

impl Aim {
    pub(super) fn covers(self, slot: Slot, tag: Tag) -> bool {
        match self {
            Self::Tag(purged) => TAGS[purged] == TAGS[tag.0],
            Self::Url(path) => PATHS[path] == slot.path(),
            Self::Prefix(prefix) => slot.path().starts_with(PREFIXES[prefix]),
            Self::Page(path) => slot.page() == without_query(PATHS[path]),
            Self::Path(path) => without_query(slot.path()) == without_query(PATHS[path]),
            Self::Both(purged, prefix) => {
                Self::Tag(purged).covers(slot, tag) && Self::Prefix(prefix).covers(slot, tag)
            }
            Self::Except(kept) => TAGS[kept] != TAGS[tag.0],
            Self::Host | Self::All => true,
        }
    }

    /// Returns whether more is taken than is meant: of a response in the file, its key does not
    /// tell that it is of another page.
    fn may_cover(self, slot: Slot) -> bool {
        matches!(self, Self::Page(path) if without_query(slot.path()) == without_query(PATHS[path]))
    }

    pub(super) fn selector(self) -> purge_protocol::Selector {
        use purge_protocol::{Expression, Selector};
        let url = |path: usize| format!("http://shop.example{}", PATHS[path]);
        match self {
            Self::Page(path) => Selector::Page(url(path)),
            Self::Path(path) => Selector::Path(url(path)),
            Self::Both(tag, prefix) => Selector::Expression(Expression {
                all_of: vec![
                    format!("tag:{}", TAGS[tag]),
                    format!("prefix:shop.example{}", PREFIXES[prefix]),
                ],
                ..Expression::default()
            }),
            Self::Except(tag) => Selector::Expression(Expression {
                any_of: vec!["host:shop.example".to_owned()],
                none_of: vec![format!("tag:{}", TAGS[tag])],
                ..Expression::default()
            }),
            Self::Tag(tag) => Selector::Tag(TAGS[tag].to_owned()),
            Self::Url(path) => Selector::Url(format!("http://shop.example{}", PATHS[path])),
            Self::Prefix(prefix) => Selector::Prefix(format!("shop.example{}", PREFIXES[prefix])),
            Self::Host => Selector::Host("shop.example".to_owned()),
            Self::All => Selector::All(true),
        }
    }
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap()
}
