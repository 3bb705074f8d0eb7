//! The purges by prefix that `PastPurges` remembers, by host and beginning of the path.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use purge_protocol::UrlPrefix;

use super::PurgeTimes;
use super::Sequence;
use crate::invalidation::marks::Verdict;

/// The last purge of each prefix. Those that there is no room for are folded into the purge of
/// their whole host, and into that of everything only when there are too many hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    /// `None`: the prefixes of every host.
    hosts: HashMap<Option<Box<str>>, Paths>,
    count: usize,
    bytes: usize,
}

/// Beginnings of paths, in the order of their bytes.
type Paths = BTreeMap<Box<[u8]>, (UrlPrefix, PurgeTimes)>;

impl Prefixes {
    pub(super) fn note(&mut self, prefix: &UrlPrefix, past: PurgeTimes) {
        let host = prefix.host().map(Box::from);
        let paths = self.hosts.entry(host).or_default();
        if let Some((_, known)) = paths.get_mut(prefix.path().as_bytes()) {
            return known.join(past);
        }
        paths.insert(prefix.path().as_bytes().into(), (prefix.clone(), past));
        self.count += 1;
        self.bytes += bytes_of(prefix);
    }

    /// Bytes that they take where they are written.
    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Decides for a response of this URL, its path in the normal spelling, that was born then.
    pub(super) fn verdict(&self, born: Sequence, (host, path): (&[u8], &[u8])) -> Verdict {
        let mut verdict = Verdict::Valid;
        let host = std::str::from_utf8(host).ok().map(Box::from);
        for paths in [None, host].iter().filter_map(|host| self.hosts.get(host)) {
            for_each_beginning(paths, path, |past| verdict = verdict.worse(past.verdict(born)));
        }
        verdict
    }

    /// Folds prefixes until they fit in `bytes`. Returns the times of those that have become a
    /// purge of everything.
    pub(super) fn fold(&mut self, bytes_max: usize) -> PurgeTimes {
        let mut everything = PurgeTimes::default();
        if self.bytes <= bytes_max {
            return everything;
        }
        let folded = self.take_older_half(|prefix| prefix.path() != "/" || prefix.host().is_none());
        for (prefix, past) in folded {
            let whole = prefix.host().and_then(|host| UrlPrefix::parse(&format!("//{host}/")).ok());
            match whole {
                Some(whole) => self.note(&whole, past),
                None => everything.join(past),
            }
        }
        while self.bytes > bytes_max {
            let folded = self.take_older_half(|_| true);
            for (_, past) in folded {
                everything.join(past);
            }
        }
        everything
    }

    /// Takes those of these out that were last purged longest ago: half of them, and at least one.
    fn take_older_half(
        &mut self,
        is_meant: impl Fn(&UrlPrefix) -> bool,
    ) -> Vec<(UrlPrefix, PurgeTimes)> {
        let mut ages = Vec::new();
        self.for_each(|prefix, past| {
            if is_meant(prefix) {
                ages.push(past.latest());
            }
        });
        let middle = ages.len() / 2;
        if ages.is_empty() {
            return Vec::new();
        }
        let limit = *ages.select_nth_unstable(middle).1;
        let mut taken = Vec::new();
        self.retain(|prefix, past| {
            let stays = past.latest() > limit || !is_meant(prefix);
            if !stays {
                taken.push((prefix.clone(), past));
            }
            stays
        });
        taken
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&UrlPrefix, PurgeTimes) -> bool) {
        let (mut count, mut bytes) = (0, 0);
        self.hosts.retain(|_, paths| {
            paths.retain(|_, (prefix, past)| {
                let stays = stays(prefix, *past);
                count += usize::from(stays);
                bytes += if stays { bytes_of(prefix) } else { 0 };
                stays
            });
            !paths.is_empty()
        });
        (self.count, self.bytes) = (count, bytes);
    }

    pub(super) fn for_each(&self, mut show: impl FnMut(&UrlPrefix, PurgeTimes)) {
        #[expect(clippy::iter_over_hash_type, reason = "they are noted again in any order")]
        for paths in self.hosts.values() {
            for (prefix, past) in paths.values() {
                show(prefix, *past);
            }
        }
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.count
    }
}

/// Shows the past of every known beginning of this path: in a few steps, however many others there
/// are.
fn for_each_beginning(paths: &Paths, path: &[u8], mut show: impl FnMut(PurgeTimes)) {
    // The greatest that is not above the end. It shares its first bytes with the path: no beginning
    // is longer than those.
    let mut end = path;
    loop {
        let range = (Bound::Unbounded, Bound::Included(end));
        let Some((known, (_, past))) = paths.range::<[u8], _>(range).next_back() else { return };
        let shared = known.iter().zip(path).take_while(|(one, other)| one == other).count();
        let mut longest = shared;
        if shared == known.len() {
            show(*past);
            let Some(shorter) = shared.checked_sub(1) else { return };
            longest = shorter;
        }
        end = path.get(..longest).unwrap_or_default();
    }
}

fn bytes_of(prefix: &UrlPrefix) -> usize {
    prefix.text_bytes() + PREFIX_BYTES
}

/// Bytes of a written prefix beside its text.
const PREFIX_BYTES: usize = 72;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use purge_protocol::PurgeMode;

    use super::*;
    use process::timestamp::Timestamp;

    fn hard(sequence: u64) -> PurgeTimes {
        PurgeTimes::of(PurgeMode::Hard, Sequence(sequence), Timestamp::from_secs(5))
    }

    fn prefix(text: &str) -> UrlPrefix {
        UrlPrefix::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn every_beginning_of_a_path_is_found_and_nothing_else(
            known in prop::collection::vec("(//h|//g)?(/[ab]{1,2}){1,3}/?", 0..20),
            path in "(/[ab]{0,2}){1,4}",
        ) {
            let mut prefixes = Prefixes::default();
            for (sequence, text) in (1..).zip(&known) {
                prefixes.note(&prefix(text), hard(sequence));
            }
            for born in 0..=known.len() as u64 {
                let is_hit = (1..).zip(&known).any(|(sequence, text)| {
                    sequence > born && prefix(text).covers(b"h", path.as_bytes())
                });
                let verdict = prefixes.verdict(Sequence(born), (b"h", path.as_bytes()));
                prop_assert_eq!(verdict == Verdict::Purged, is_hit);
            }
        }
    }

    #[test]
    fn the_oldest_are_folded_and_not_those_that_came_first() {
        let mut prefixes = Prefixes::default();
        for number in 0..100 {
            prefixes.note(&prefix(&format!("//h/{number}/")), hard(number + 1));
        }
        prefixes.note(&prefix("//h/0/"), hard(200)); // the first one is the newest now
        let everything = prefixes.fold(prefixes.bytes() - 1);
        assert_eq!(everything, PurgeTimes::default());
        assert_eq!(prefixes.verdict(Sequence(199), (b"h", b"/0/")), Verdict::Purged);
        assert_eq!(prefixes.verdict(Sequence(199), (b"h", b"/1/")), Verdict::Valid);
        assert_eq!(prefixes.verdict(Sequence(60), (b"h", b"/x/")), Verdict::Valid);
        assert_eq!(
            prefixes.verdict(Sequence(40), (b"h", b"/x/")),
            Verdict::Purged,
            "what is folded is wider"
        );
    }

    #[test]
    fn a_folded_prefix_is_wider_on_its_own_host_only() {
        let mut prefixes = Prefixes::default();
        for number in 0..1000 {
            prefixes.note(&prefix(&format!("//busy/{number}/")), hard(number + 1));
            assert_eq!(prefixes.fold(4096), PurgeTimes::default());
            assert!(prefixes.bytes() <= 4096);
        }
        assert_eq!(prefixes.verdict(Sequence(0), (b"quiet", b"/")), Verdict::Valid);
        for number in 0..1000_u64 {
            let path = format!("/{number}/");
            assert_eq!(
                prefixes.verdict(Sequence(number), (b"busy", path.as_bytes())),
                Verdict::Purged
            );
        }
    }

    #[test]
    fn too_many_hosts_are_a_purge_of_everything_that_is_older() {
        let mut prefixes = Prefixes::default();
        let mut everything = PurgeTimes::default();
        for number in 0..200 {
            prefixes.note(&prefix(&format!("//host-{number}/a")), hard(number + 1));
            everything.join(prefixes.fold(4096));
        }
        assert!(prefixes.bytes() <= 4096 && prefixes.len() > 10);
        assert!(
            everything.hard > Sequence(50) && everything.hard < Sequence(195),
            "{everything:?}"
        );
    }
}
