//! `UrlUses`: the URLs that cost most, and the reasons for which responses are not stored.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::slots::Slots;
use super::snapshot::{NotCached, UrlUse};
use super::space_saving::SpaceSaving;
use process::timestamp::Timestamp;

/// Requests of the last minute by URL, and of all time by reason. Each of the slots holds
/// [`URLS_MAX`] URLs.
#[derive(Debug, Default)]
pub struct UrlUses {
    urls: Mutex<Slots<SpaceSaving<Use>>>,
    reasons: Mutex<BTreeMap<&'static str, ReasonUse>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    requests: u64,
    misses: u64,
    bytes: u64,
    origin_nanos: u64,
}

#[derive(Debug, Default)]
struct ReasonUse {
    total: u64,
    recent: Slots<u64>,
    example: Box<str>,
}

/// A request that the origin was asked for, or one that stands for several hits.
#[derive(Clone, Copy, Debug)]
pub struct UrlRequest<'a> {
    pub url: &'a str,
    pub count: u64,
    pub is_miss: bool,
    pub bytes: u64,
    pub origin: Duration,
}

impl UrlUses {
    pub fn note(&self, request: UrlRequest<'_>, now: Timestamp) {
        let UrlRequest { url, count, is_miss, bytes, origin } = request;
        let millis = u64::try_from(origin.as_millis()).unwrap_or(u64::MAX);
        let weight = count.saturating_add(bytes / BYTES_WEIGHT).saturating_add(millis);
        let mut urls = self.urls.lock();
        let Some(slot) = urls.current(now, || SpaceSaving::new(URLS_MAX)) else { return };
        let entry = slot.add(url, weight);
        entry.requests += count;
        entry.misses += u64::from(is_miss);
        entry.bytes += bytes;
        entry.origin_nanos += u64::try_from(origin.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Notes that a response was not stored. The reasons are a closed set.
    pub fn note_not_cached(&self, reason: &'static str, url: &str, now: Timestamp) {
        let mut reasons = self.reasons.lock();
        let entry = reasons.entry(reason).or_default();
        entry.total += 1;
        if let Some(count) = entry.recent.current(now, || 0) {
            *count += 1;
        }
        if *entry.example != *url {
            entry.example = url.into();
        }
    }

    /// Returns the URLs of the last minute that cost most, the heaviest first.
    pub fn top(&self, now: Timestamp, most: usize) -> Vec<UrlUse> {
        let mut sums = BTreeMap::<String, (u64, Use)>::new();
        for slot in self.urls.lock().recent(now) {
            for (url, entry) in slot.iter() {
                let (weight, sum) = sums.entry(url.to_owned()).or_default();
                *weight += entry.weight;
                sum.requests += entry.value.requests;
                sum.misses += entry.value.misses;
                sum.bytes += entry.value.bytes;
                sum.origin_nanos += entry.value.origin_nanos;
            }
        }
        let mut all: Vec<_> = sums.into_iter().collect();
        all.sort_by_key(|(_, (weight, _))| std::cmp::Reverse(*weight));
        let shown = |(url, (_, sum)): (String, (u64, Use))| UrlUse {
            url,
            requests: sum.requests,
            misses: sum.misses,
            bytes: sum.bytes,
            origin_seconds: Duration::from_nanos(sum.origin_nanos).as_secs_f64(),
        };
        all.into_iter().take(most).map(shown).collect()
    }

    /// Returns the reasons, the most frequent of the last minute first. `window` is in seconds.
    pub fn not_cached(&self, now: Timestamp, window: u64) -> Vec<NotCached> {
        let reasons = self.reasons.lock();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let shown = |(reason, entry): (&&str, &ReasonUse)| NotCached {
            reason: (*reason).to_owned(),
            per_second: entry.recent.recent(now).sum::<u64>() as f64 / window.max(1) as f64,
            total: entry.total,
            example: Some(entry.example.to_string()),
        };
        let mut all: Vec<_> = reasons.iter().map(shown).collect();
        all.sort_by(|one, other| {
            let rates = other.per_second.total_cmp(&one.per_second);
            rates.then(other.total.cmp(&one.total))
        });
        all
    }
}

/// Returns a URL with the names of its parameters and without their values, cut to [`URL_BYTES`].
pub fn shown_url(scheme: &str, host: &str, path: &str) -> String {
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = [scheme, "://", host, path].concat();
    let mut between = '?';
    for parameter in query.into_iter().flat_map(|query| query.split('&')).take(PARAMETERS_MAX) {
        url.push(between);
        between = '&';
        match parameter.split_once('=') {
            Some((name, _)) => {
                url.push_str(name);
                url.push_str("=*");
            }
            // It may be a value that has no name.
            None if parameter.len() > NAME_BYTES => url.push('*'),
            None => url.push_str(parameter),
        }
    }
    url.truncate(url.floor_char_boundary(URL_BYTES));
    if url.contains(char::is_control) {
        url = url.replace(char::is_control, "?");
    }
    url
}

/// URLs in each ten seconds. They take 80 kB at most.
const URLS_MAX: usize = 256;
/// Bytes that weigh as much as one request; so does a millisecond of the origin's time.
const BYTES_WEIGHT: u64 = 64 << 10;
const URL_BYTES: usize = 256;
const PARAMETERS_MAX: usize = 16;
/// The longest parameter without a value that is taken for a name.
const NAME_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn miss(url: &str, millis: u64) -> UrlRequest<'_> {
        let origin = Duration::from_millis(millis);
        UrlRequest { url, count: 1, is_miss: true, bytes: 10, origin }
    }

    #[test]
    fn urls_are_ordered_by_what_they_cost() {
        let uses = UrlUses::default();
        for second in 0..3 {
            uses.note(miss("http://h/slow", 400), Timestamp::from_secs(1000 + second * 10));
        }
        let hits = UrlRequest {
            url: "http://h/hot",
            count: 900,
            is_miss: false,
            bytes: 9000,
            origin: Duration::ZERO,
        };
        uses.note(hits, NOW);
        let top = uses.top(Timestamp::from_secs(1020), 10);
        let slow = UrlUse {
            url: "http://h/slow".to_owned(),
            requests: 3,
            misses: 3,
            bytes: 30,
            origin_seconds: 1.2,
        };
        assert_eq!(top[0], slow);
        assert_eq!((&*top[1].url, top[1].requests, top[1].misses), ("http://h/hot", 900, 0));
        assert_eq!(uses.top(Timestamp::from_secs(1020), 1).len(), 1);
        assert!(uses.top(Timestamp::from_secs(2000), 10).is_empty(), "only the last minute counts");
    }

    #[test]
    fn reasons_have_a_rate_a_total_and_the_last_url() {
        let uses = UrlUses::default();
        for url in ["http://h/a", "http://h/b"] {
            uses.note_not_cached("set_cookie", url, NOW);
        }
        uses.note_not_cached("private", "http://h/c", NOW);
        let shown = uses.not_cached(NOW, 10);
        let first = NotCached {
            reason: "set_cookie".to_owned(),
            per_second: 0.2,
            total: 2,
            example: Some("http://h/b".to_owned()),
        };
        assert_eq!(shown[0], first);
        let later = uses.not_cached(Timestamp::from_secs(2000), 10);
        assert_eq!((later[0].per_second, later[0].total), (0.0, 2));
    }

    #[test]
    fn values_of_parameters_are_not_shown() {
        let of = |path: &str| shown_url("https", "h", path);
        assert_eq!(of("/p?a=secret&b=&c"), "https://h/p?a=*&b=*&c");
        assert_eq!(of("/p?0123456789abcdef0123456789abcdef"), "https://h/p?*");
        assert_eq!(of("/p\u{1b}[2J"), "https://h/p?[2J");
        assert!(of(&format!("/{}", "é".repeat(500))).len() <= 256);
    }
}
