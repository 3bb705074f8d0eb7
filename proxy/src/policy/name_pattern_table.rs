//! `NamePatternTable`: what a list of names and beginnings of names says about one name.

use std::cmp::Reverse;

use settings::NamePattern;

/// Patterns with a value each, compiled. Of those that match a name the longest decides.
#[derive(Clone, Debug)]
pub(super) struct NamePatternTable<T> {
    /// For each first byte, where its entries begin; the end of all is behind them.
    starts: Box<[u16]>,
    /// By first byte; names before beginnings of names, long ones before short ones.
    entries: Box<[Entry<T>]>,
    /// The value of `*`.
    any: Option<T>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    name: Box<[u8]>,
    is_prefix: bool,
    value: T,
}

impl<T> NamePatternTable<T> {
    /// Compiles patterns. Of one pattern twice, that which is not built in decides, then the
    /// earlier one. No file has more than 65,535.
    pub(super) fn new<'p>(patterns: impl IntoIterator<Item = (&'p NamePattern, T)>) -> Self {
        let (anything, mut named): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(|(pattern, _)| pattern.name().is_empty());
        let anything = anything.into_iter().filter(|(pattern, _)| pattern.is_prefix());
        let any = anything.min_by_key(|(pattern, _)| pattern.is_built_in());
        let any = any.map(|(_, value)| value);
        named.sort_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)));
        named.dedup_by(|(later, _), (earlier, _)| {
            later.name() == earlier.name() && later.is_prefix() == earlier.is_prefix()
        });
        named.truncate(usize::from(u16::MAX));
        let start = |byte: usize| {
            let is_before = |pattern: &NamePattern| usize::from(first_byte(pattern)) < byte;
            let start = named.partition_point(|(pattern, _)| is_before(pattern));
            u16::try_from(start).unwrap_or(u16::MAX)
        };
        let starts = (0..=FIRST_BYTES).map(start).collect();
        let entry = |(pattern, value): (&NamePattern, T)| Entry {
            name: pattern.name().as_bytes().into(),
            is_prefix: pattern.is_prefix(),
            value,
        };
        Self { starts, entries: named.into_iter().map(entry).collect(), any }
    }

    /// Returns the value of the pattern that decides about a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&T> {
        self.find(name).or(self.any.as_ref())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.any.is_none()
    }

    fn find(&self, name: &[u8]) -> Option<&T> {
        let first = usize::from(*name.first()?);
        let (start, end) = (*self.starts.get(first)?, *self.starts.get(first + 1)?);
        let entries = self.entries.get(usize::from(start)..usize::from(end))?;
        let is_match = |entry: &&Entry<T>| {
            if entry.is_prefix { name.starts_with(&entry.name) } else { *name == *entry.name }
        };
        entries.iter().find(is_match).map(|entry| &entry.value)
    }
}

fn first_byte(pattern: &NamePattern) -> u8 {
    pattern.name().bytes().next().unwrap_or_default()
}

/// The order of entries, of which the first that matches decides.
fn rank(pattern: &NamePattern) -> (u8, bool, Reverse<usize>, &str, bool) {
    let length = Reverse(pattern.name().len());
    (first_byte(pattern), pattern.is_prefix(), length, pattern.name(), pattern.is_built_in())
}

const FIRST_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[NamePattern]) -> NamePatternTable<usize> {
        NamePatternTable::new(patterns.iter().zip(0..))
    }

    #[test]
    fn of_the_patterns_that_match_the_longest_decides() {
        let texts = ["a*", "ab", "ab*", "*", "abc*", "b*", "bb"];
        let patterns: Vec<_> = texts.map(NamePattern::new).into();
        let table = table(&patterns);
        for (name, expected) in [
            ("a", "a*"),
            ("ab", "ab"),
            ("abb", "ab*"),
            ("abcd", "abc*"),
            ("b", "b*"),
            ("bb", "bb"),
            ("bbb", "b*"),
            ("c", "*"),
            ("", "*"),
            ("\u{e4}", "*"),
        ] {
            assert_eq!(table.get(name.as_bytes()).map(|at| texts[*at]), Some(expected), "{name}");
        }
        let nothing = NamePatternTable::<()>::new([]);
        assert!(nothing.is_empty() && nothing.get(b"a").is_none());
    }

    #[test]
    fn what_is_written_goes_before_what_is_built_in() {
        let mut patterns = NamePattern::built_in("@session").unwrap();
        let written = patterns.len();
        patterns.push(NamePattern::new("PHPSESSID"));
        patterns.push(NamePattern::new("PHPSESSID"));
        let table = table(&patterns);
        assert_eq!(table.get(b"PHPSESSID"), Some(&written));
        assert!(table.get(b"JSESSIONID").is_some_and(|at| *at < written));
        assert_eq!(table.get(b"phpsessid"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_table_says_what_a_search_through_all_patterns_says(
            texts in proptest::collection::vec("[ab]{0,3}\\*?", 0..12), name in "[abc]{0,4}",
        ) {
            let patterns: Vec<_> = texts.iter().map(|text| NamePattern::new(text)).collect();
            let is_match = |pattern: &NamePattern| if pattern.is_prefix() {
                name.starts_with(pattern.name())
            } else {
                name == pattern.name() && !name.is_empty()
            };
            let matching = patterns.iter().filter(|pattern| is_match(pattern));
            let best = matching.max_by_key(|pattern| (!pattern.is_prefix(), pattern.name().len()));
            let found = table(&patterns).get(name.as_bytes()).map(|at| patterns[*at].to_string());
            proptest::prop_assert_eq!(found, best.map(ToString::to_string));
        }
    }
}
