//! `Key`: the primary cache key (RFC 9111 §2) and its hash.
//!
//! ```text
//! scheme u8 | length of host u16 LE | host | path and query | rules u64 LE, if the scheme says so
//! ```
//! Every part is length-prefixed or last, so no two requests share bytes by accident. The bytes are
//! those that are forwarded to the origin; a hit compares them in full, the hash only finds the
//! place.
//!
//! Rules that look at more of a request than its URL keep responses apart: what such a rule has
//! shaped never answers a request that it does not match, and the other way round.

pub mod accept_image;
pub mod declared_vary;
pub mod derived;
pub mod device_class;
pub mod language_choice;
pub mod no_vary_search;
pub mod vary;
mod accept_encoding;
mod accept_language;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use purge_protocol::spelling;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A primary key. Cloning copies; up to 88 bytes live in place.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    hash: u64,
    bytes: SmallVec<[u8; 88]>,
}

/// A hash of the rules for which a response is kept apart from others of its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRules(pub NonZeroU64);

/// The secret of this process's key hashes, so that clients cannot craft colliding URLs.
#[derive(Clone, Copy, Debug)]
pub struct KeySeed(pub u64);

impl Key {
    /// Joins the parts. `host` is canonical and shorter than 64 KiB; `path` holds path and query.
    pub fn new(seed: KeySeed, scheme: Scheme, host: &[u8], path: &[u8]) -> Self {
        let host_length = u16::try_from(host.len()).unwrap_or(u16::MAX);
        let mut bytes = SmallVec::new();
        bytes.push(scheme as u8);
        bytes.extend_from_slice(&host_length.to_le_bytes());
        bytes.extend_from_slice(host);
        bytes.extend_from_slice(path);
        Self { hash: xxh3_64_with_seed(&bytes, seed.0), bytes }
    }

    /// Adds the rules for which a response is kept apart from others of its URL.
    #[must_use]
    pub fn with_rules(mut self, seed: KeySeed, rules: Option<KeyRules>) -> Self {
        if let (Some(rules), false, Some(scheme)) =
            (rules, self.has_rules(), self.bytes.first().copied())
        {
            if let Some(first) = self.bytes.first_mut() {
                *first = scheme | WITH_RULES;
            }
            self.bytes.extend_from_slice(&rules.0.get().to_le_bytes());
            self.hash = xxh3_64_with_seed(&self.bytes, seed.0);
        }
        self
    }

    /// The rules for which a response is kept apart from others of its URL.
    pub fn rules(&self) -> Option<KeyRules> {
        let bytes = self.has_rules().then(|| self.bytes.last_chunk::<RULES_BYTES>()).flatten()?;
        NonZeroU64::new(u64::from_le_bytes(*bytes)).map(KeyRules)
    }

    /// The seeded hash of all its bytes.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    pub fn scheme(&self) -> Scheme {
        if self.bytes.first().is_some_and(|first| first & !WITH_RULES == Scheme::Https as u8) {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    pub fn host(&self) -> &[u8] {
        self.bytes.get(HEAD_BYTES..self.path_start()).unwrap_or_default()
    }

    pub fn path(&self) -> &[u8] {
        let end = if self.has_rules() { self.bytes.len() - RULES_BYTES } else { self.bytes.len() };
        self.bytes.get(self.path_start()..end).unwrap_or_default()
    }

    /// Everything but the scheme, the path in its normal spelling: what a purge by URL names.
    pub fn url(&self) -> [Cow<'_, [u8]>; 2] {
        let host = self.bytes.get(1..self.path_start()).unwrap_or_default();
        [Cow::Borrowed(host), spelling::normal(self.path())]
    }

    /// Bytes it occupies beyond its own size.
    pub fn heap_bytes(&self) -> usize {
        if self.bytes.spilled() { self.bytes.capacity() } else { 0 }
    }

    fn has_rules(&self) -> bool {
        self.bytes.first().is_some_and(|first| first & WITH_RULES != 0)
    }

    fn path_start(&self) -> usize {
        let length = match self.bytes.get(1..HEAD_BYTES) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        HEAD_BYTES + usize::from(length)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = String::from_utf8_lossy(self.host());
        let path = String::from_utf8_lossy(self.path());
        write!(f, "{}://{host}{path}", self.scheme().as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Bytes before the host.
const HEAD_BYTES: usize = 3;

/// In the first byte: there are rules after the path.
const WITH_RULES: u8 = 2;
const RULES_BYTES: usize = size_of::<u64>();

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: KeySeed = KeySeed(7);

    #[test]
    fn the_parts_come_back() {
        let key = Key::new(SEED, Scheme::Https, b"shop.example:8443", b"/p/42?x=1");
        assert_eq!(key.scheme(), Scheme::Https);
        assert_eq!(key.host(), b"shop.example:8443");
        assert_eq!(key.path(), b"/p/42?x=1");
        assert_eq!(key.to_string(), "https://shop.example:8443/p/42?x=1");
    }

    #[test]
    fn a_byte_moved_between_host_and_path_makes_another_key() {
        assert_ne!(
            Key::new(SEED, Scheme::Http, b"a/b", b"/c"),
            Key::new(SEED, Scheme::Http, b"a", b"/b/c")
        );
    }

    #[test]
    fn a_url_has_one_name_for_both_schemes() {
        let plain = Key::new(SEED, Scheme::Http, b"a", b"/");
        let secure = Key::new(SEED, Scheme::Https, b"a", b"/");
        assert_ne!(plain, secure);
        assert_eq!(plain.url(), secure.url());
    }

    #[test]
    fn rules_make_another_key_of_the_same_url() {
        let plain = Key::new(SEED, Scheme::Https, b"a", b"/p?x");
        let rules = NonZeroU64::new(0x2f2f_2f2f).map(KeyRules);
        let apart = plain.clone().with_rules(SEED, rules);
        assert!(apart != plain && apart.hash() != plain.hash());
        assert_eq!(
            (apart.path(), apart.host(), apart.scheme()),
            (plain.path(), plain.host(), plain.scheme())
        );
        assert_eq!((apart.url(), apart.rules(), plain.rules()), (plain.url(), rules, None));
        let other = NonZeroU64::new(1).map(KeyRules);
        assert_ne!(apart, plain.clone().with_rules(SEED, other));
        assert_eq!(plain.clone().with_rules(SEED, None), plain);
    }

    #[test]
    fn spellings_of_one_url_are_several_keys_and_one_url() {
        let keys = ["/%d0%bd?q=it's", "/%D0%BD?q=it%27s", "/%D0%bd?%71=it's"]
            .map(|path| Key::new(SEED, Scheme::Http, b"a", path.as_bytes()));
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        assert!(keys.iter().all(|key| key.url() == keys[0].url()));
        let other = Key::new(SEED, Scheme::Http, b"a", b"/%D0%BE?q=it's");
        assert_ne!(keys[0].url(), other.url());
    }

    proptest::proptest! {
        #[test]
        fn different_parts_make_different_keys(
            one in ("[a-z]{0,8}", "/[ -~]{0,8}"), two in ("[a-z]{0,8}", "/[ -~]{0,8}"),
        ) {
            let key = |parts: &(String, String)| Key::new(SEED, Scheme::Http, parts.0.as_bytes(), parts.1.as_bytes());
            proptest::prop_assert_eq!(one == two, key(&one) == key(&two));
        }
    }
}
