//! `CrowdedUrls`: the URLs that have more variants than are stored.
//!
//! Clients choose URLs, so there is room for few. A URL without a place takes that of the one with
//! the lowest count, and inherits it (Space-Saving): what is counted is never too low.

use parking_lot::Mutex;

use crate::key::Key;

/// The URLs whose variants have made room for one another, most often first to last.
#[derive(Debug, Default)]
pub struct CrowdedUrls(Mutex<Vec<CrowdedUrl>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrowdedUrl {
    key_hash: u64,
    /// Without its query, which may hold what is secret.
    pub url: Box<str>,
    /// The variants that have made room, at most.
    pub displaced: u64,
}

impl CrowdedUrls {
    /// Counts a variant of this key that has made room for another one.
    pub(super) fn count(&self, key: &Key) {
        let mut urls = self.0.lock();
        if let Some(known) = urls.iter_mut().find(|known| known.key_hash == key.hash()) {
            known.displaced += 1;
            return;
        }
        let mut new = CrowdedUrl { key_hash: key.hash(), url: url_of(key), displaced: 1 };
        if urls.len() < URLS_MAX {
            urls.push(new);
        } else if let Some(least) = urls.iter_mut().min_by_key(|known| known.displaced) {
            new.displaced += least.displaced;
            *least = new;
        }
    }

    /// Returns the URLs, those with the highest counts first.
    pub fn list(&self) -> Vec<CrowdedUrl> {
        let mut urls = self.0.lock().clone();
        urls.sort_by_key(|known| std::cmp::Reverse(known.displaced));
        urls
    }
}

fn url_of(key: &Key) -> Box<str> {
    let url = key.to_string();
    let (path, query) = url.split_once('?').map_or((&*url, ""), |(path, _)| (path, "?..."));
    let cut = path.char_indices().nth(URL_CHARS_MAX);
    let path = cut.and_then(|(end, _)| path.get(..end)).unwrap_or(path);
    format!("{path}{query}").into()
}

const URLS_MAX: usize = 64;
const URL_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeySeed, Scheme};

    fn key(path: &str) -> Key {
        Key::new(KeySeed(7), Scheme::Https, b"a", path.as_bytes())
    }

    #[test]
    fn urls_are_named_without_their_queries_the_most_crowded_first() {
        let urls = CrowdedUrls::default();
        urls.count(&key("/a?token=secret"));
        for _ in 0..2 {
            urls.count(&key("/b"));
        }
        let list: Vec<_> =
            urls.list().iter().map(|it| (it.url.to_string(), it.displaced)).collect();
        assert_eq!(list, [("https://a/b".to_owned(), 2), ("https://a/a?...".to_owned(), 1)]);
    }

    #[test]
    fn a_flood_of_urls_does_not_hide_the_one_that_is_most_crowded() {
        let urls = CrowdedUrls::default();
        for number in 0..10_000 {
            urls.count(&key(&format!("/{}{number}", "x".repeat(1000))));
            if number % 20 == 0 {
                urls.count(&key("/a"));
            }
        }
        let list = urls.list();
        assert_eq!(list.len(), URLS_MAX);
        let known = list.iter().find(|it| &*it.url == "https://a/a").unwrap();
        assert!(known.displaced >= 500);
        assert!(list.iter().all(|it| it.url.len() <= URL_CHARS_MAX));
    }
}
