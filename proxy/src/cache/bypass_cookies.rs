//! `BypassCookies`: for which cookies requests bypass the cache, by name.
//!
//! Clients choose names, so there is room for few. A name without a place takes that of the least
//! frequent one, and inherits its weight (Space-Saving): whatever makes up more than one part in
//! `NAMES_MAX` of all keeps its place through any flood of names. A name is shown once it makes up
//! one part in a hundred; what was counted before then, and for names that lost their place, is
//! `other`. So every sum only grows.

use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::metrics::family::{Family, Sample};
use crate::policy::cookies::BypassCookie;
use process::timestamp::Timestamp;

#[derive(Debug, Default)]
pub struct BypassCookies(Mutex<NameCounts>);

#[derive(Debug, Default)]
struct NameCounts {
    names: Vec<CountedName>,
    total: u64,
    /// Not shown under a name.
    other: u64,
    /// Since the last hint.
    recent: u64,
    hinted: Option<Timestamp>,
}

#[derive(Debug)]
struct CountedName {
    name: Box<str>,
    is_listed: bool,
    weight: u64,
    /// Since it has its place.
    seen: u64,
    /// Since the last hint.
    recent: u64,
    /// Since it is shown.
    shown: Option<u64>,
}

/// The cookie that kept most requests from the cache in the last minute.
#[derive(Debug, PartialEq, Eq)]
struct Hint {
    name: Box<str>,
    requests: u64,
    all: u64,
}

impl BypassCookies {
    /// Counts the cookies for which a request bypasses the cache. Once a minute it logs which one
    /// that no list names does so most.
    pub fn count<'a>(
        &self,
        cookies: impl IntoIterator<Item = BypassCookie<'a>>,
        clock: impl FnOnce() -> Timestamp,
    ) {
        let hint = {
            let mut counts = self.0.lock();
            cookies.into_iter().for_each(|cookie| counts.add(cookie));
            counts.hint(clock())
        };
        if let Some(Hint { name, requests, all }) = hint {
            tracing::info!(
                cookie = %name,
                requests,
                all,
                "most requests that a cookie keeps from the cache have this one: name it in \
                cookies.drop if pages do not depend on it, in cookies.vary_on if they do in a few \
                ways, in cookies.bypass_on if they are one user's"
            );
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let counts = self.0.lock();
        let shown = counts.names.iter().filter_map(|named| Some((named, named.shown?)));
        let label =
            |name: &str, listed: &str| [("cookie", name.to_owned()), ("listed", listed.to_owned())];
        let mut samples: Vec<_> = shown
            .map(|(named, count)| {
                let listed = if named.is_listed { "yes" } else { "no" };
                Sample::counter(label(&named.name, listed), count)
            })
            .collect();
        samples.push(Sample::counter(label("other", "no"), counts.other));
        let help = "Cookies with which requests bypassed the cache; listed: in cookies.bypass_on";
        vec![Family::labelled("shellac_bypass_cookies", help, samples.into_iter())]
    }

    /// Returns the counts by name, the highest first.
    pub fn document(&self) -> Value {
        let counts = self.0.lock();
        let shown = counts.names.iter().filter_map(|named| Some((named.shown?, &named.name)));
        let mut shown: Vec<_> = shown.collect();
        shown.sort_by(|one, two| two.cmp(one));
        let mut document = Map::new();
        for (count, name) in shown {
            document.insert(name.to_string(), count.into());
        }
        if counts.other > 0 {
            document.insert("other".to_owned(), counts.other.into());
        }
        Value::Object(document)
    }
}

impl NameCounts {
    fn add(&mut self, cookie: BypassCookie<'_>) {
        let (name, is_listed) = match cookie {
            BypassCookie::Listed(pattern) => (pattern.into(), true),
            BypassCookie::Unlisted(name) => (readable(name), false),
        };
        self.total += 1;
        self.recent += 1;
        let place = self.place(name, is_listed);
        let total = self.total;
        let (shown, least) = self.shown();
        let Some(named) = self.names.get_mut(place) else { return };
        named.weight += 1;
        named.seen += 1;
        named.recent += 1;
        if let Some(count) = &mut named.shown {
            *count += 1;
            return;
        }
        let is_frequent = named.seen.saturating_mul(SHOWN_SHARE) >= total;
        let least = least.filter(|_| shown >= SHOWN_MAX);
        if is_frequent && least.is_none_or(|(_, seen)| seen < named.seen) {
            named.shown = Some(1);
            let hidden = least.and_then(|(place, _)| self.names.get_mut(place)?.shown.take());
            self.other += hidden.unwrap_or_default();
        } else {
            self.other += 1;
        }
    }

    /// Returns the place of a name, which it gets if it has none.
    fn place(&mut self, name: Box<str>, is_listed: bool) -> usize {
        let is_same = |named: &CountedName| named.name == name && named.is_listed == is_listed;
        if let Some(place) = self.names.iter().position(is_same) {
            return place;
        }
        let new = |weight| CountedName { name, is_listed, weight, seen: 0, recent: 0, shown: None };
        if self.names.len() < NAMES_MAX {
            self.names.push(new(0));
            return self.names.len() - 1;
        }
        let rarest = self.names.iter().enumerate().min_by_key(|(_, named)| named.weight);
        let place = rarest.map_or(0, |(place, _)| place);
        if let Some(named) = self.names.get_mut(place) {
            self.other += named.shown.unwrap_or_default();
            *named = new(named.weight);
        }
        place
    }

    /// Returns how many names are shown, and which one of them was seen least.
    fn shown(&self) -> (usize, Option<(usize, u64)>) {
        let all = self.names.iter().enumerate().filter(|(_, named)| named.shown.is_some());
        let least = all.clone().map(|(place, named)| (place, named.seen));
        (all.count(), least.min_by_key(|(_, seen)| *seen))
    }

    /// Returns what is to be logged, once a minute, if a cookie that no list names kept a request
    /// from the cache.
    fn hint(&mut self, now: Timestamp) -> Option<Hint> {
        if self.hinted.is_some_and(|last| now.since(last) < HINT_INTERVAL) {
            return None;
        }
        let unlisted = self.names.iter().filter(|named| !named.is_listed && named.recent > 0);
        let most = unlisted.max_by_key(|named| named.recent)?;
        let hint = Hint { name: most.name.clone(), requests: most.recent, all: self.recent };
        self.hinted = Some(now);
        self.recent = 0;
        self.names.iter_mut().for_each(|named| named.recent = 0);
        Some(hint)
    }
}

/// Returns a name as text for logs and labels, whatever its bytes.
fn readable(name: &[u8]) -> Box<str> {
    let cut = name.get(..NAME_BYTES_MAX);
    let text = cut.unwrap_or(name).escape_ascii().to_string().replace("\\\"", "\\x22");
    (if cut.is_some() && name.len() > NAME_BYTES_MAX { text + "..." } else { text }).into()
}

const NAMES_MAX: usize = 64;
/// Names that are shown at once.
const SHOWN_MAX: usize = 32;
/// One part in so many of all makes a name worth showing.
const SHOWN_SHARE: u64 = 100;
const NAME_BYTES_MAX: usize = 64;
const HINT_INTERVAL: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn add(counts: &mut NameCounts, name: &str, times: u64) {
        (0..times).for_each(|_| counts.add(BypassCookie::Unlisted(name.as_bytes())));
    }

    fn shown(counts: &NameCounts, name: &str) -> Option<u64> {
        counts.names.iter().find(|named| &*named.name == name)?.shown
    }

    fn sum(counts: &NameCounts) -> u64 {
        counts.other + counts.names.iter().filter_map(|named| named.shown).sum::<u64>()
    }

    #[test]
    fn the_first_cookie_is_shown_at_once() {
        let mut counts = NameCounts::default();
        add(&mut counts, "theme", 1);
        counts.add(BypassCookie::Listed("SESS*"));
        assert_eq!((shown(&counts, "theme"), shown(&counts, "SESS*")), (Some(1), Some(1)));
    }

    #[test]
    fn a_flood_of_names_fills_no_memory_and_hides_no_frequent_one() {
        let mut counts = NameCounts::default();
        for number in 0..10_000 {
            add(&mut counts, &format!("flood{number}"), 1);
            if number % 20 == 0 {
                add(&mut counts, "theme", 1);
            }
        }
        assert_eq!(counts.names.len(), NAMES_MAX);
        assert!(shown(&counts, "theme").is_some_and(|count| count > 300));
        let flooded = counts.names.iter().filter(|named| named.shown.is_some()).count();
        assert!(flooded <= SHOWN_MAX, "{flooded}");
        assert_eq!(sum(&counts), counts.total);
    }

    #[test]
    fn no_count_ever_falls() {
        let mut counts = NameCounts::default();
        let mut before = 0;
        for number in 0_u64..5_000 {
            add(&mut counts, &format!("n{}", number * number % 97), 1 + number % 3);
            assert!(counts.other >= before);
            assert_eq!(sum(&counts), counts.total);
            before = counts.other;
        }
    }

    #[test]
    fn a_hostile_name_is_harmless_as_a_label() {
        assert_eq!(&*readable(b"a\"b\n\xff\\"), "a\\x22b\\n\\xff\\\\");
        assert_eq!(readable(&[b'a'; 1000]).len(), NAME_BYTES_MAX + 3);
    }

    #[test]
    fn the_hint_comes_once_a_minute_and_names_what_no_list_does() {
        let mut counts = NameCounts::default();
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        counts.add(BypassCookie::Listed("PHPSESSID"));
        assert_eq!(counts.hint(at(1)), None, "it is meant to bypass");
        add(&mut counts, "theme", 2);
        let hint = counts.hint(at(2)).unwrap();
        assert_eq!((&*hint.name, hint.requests, hint.all), ("theme", 2, 3));
        add(&mut counts, "theme", 1);
        add(&mut counts, "lang", 5);
        assert_eq!(counts.hint(at(61)), None);
        let hint = counts.hint(at(62)).unwrap();
        assert_eq!((&*hint.name, hint.requests, hint.all), ("lang", 5, 6));
        assert_eq!(counts.hint(at(200)), None, "nothing since");
    }
}
