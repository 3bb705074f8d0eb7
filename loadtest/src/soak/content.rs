//! `Content`: bytes that follow from host, path, variant and generation, and that say so
//! themselves.
//!
//! ```text
//! soak g17 5012 1f00a2b3c4d5e6f7 a.soak.test x2 /v/42\n  | pseudo-random bytes
//!      generation  length  seed    host  variant  path
//! ```
//! The seed is a hash of all four; every byte behind the first line depends on it and on its own
//! position. So a byte of another exchange, of another generation or from another place is wrong
//! with a probability of 255/256, and a run of them surely.

use std::hash::Hasher as _;
use std::str;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    line: Vec<u8>,
    seed: u64,
    length: u64,
}

impl Content {
    /// Returns what the origin server says about a resource in one of its generations.
    pub(crate) fn of(host: &str, path: &str, variant: &str, generation: u64) -> Self {
        let seed = hash((host, path, variant, generation));
        let length = size_of(hash(path)) + generation % 97;
        let line = format!("soak g{generation} {length} {seed:016x} {host} x{variant} {path}\n");
        Self { line: line.into_bytes(), seed, length }
    }

    /// Returns bytes without a first line, as request bodies have them.
    pub(crate) const fn stream(seed: u64, length: u64) -> Self {
        Self { line: Vec::new(), seed, length }
    }

    /// Returns what a body that begins with these bytes has to be, going by its own first line.
    pub(crate) fn described_by(start: &[u8]) -> Option<Self> {
        let line = start.split(|byte| *byte == b'\n').next()?;
        let mut words = str::from_utf8(line).ok()?.split(' ');
        let generation = words.nth(1)?.strip_prefix('g')?.parse().ok()?;
        let host = words.nth(2)?;
        let variant = words.next()?.strip_prefix('x')?;
        Some(Self::of(host, words.next()?, variant, generation))
    }

    /// The number of bytes.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    #[cfg(test)]
    pub(crate) fn part(&self, offset: u64, length: u64) -> Vec<u8> {
        let length = length.min(self.length.saturating_sub(offset));
        (offset..offset + length).map(|position| self.byte(position)).collect()
    }

    pub(crate) fn all(&self) -> Vec<u8> {
        let mut all = self.line.clone();
        let mut word = (all.len() / WORD) as u64;
        all.truncate(all.len() / WORD * WORD);
        while (all.len() as u64) < self.length {
            all.extend_from_slice(&self.word(word));
            word += 1;
        }
        all.truncate(usize::try_from(self.length).unwrap_or(usize::MAX));
        for (byte, own) in all.iter_mut().zip(&self.line) {
            *byte = *own;
        }
        all
    }

    /// Returns whether these are its bytes from this position on.
    pub(crate) fn has_at(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut position = offset;
        let mut rest = bytes;
        while let Some((first, tail)) = rest.split_first() {
            let is_aligned =
                position.is_multiple_of(WORD as u64) && position >= self.line.len() as u64;
            if let (true, Some((eight, tail))) = (is_aligned, rest.split_at_checked(WORD)) {
                if eight != self.word(position / WORD as u64) {
                    return false;
                }
                rest = tail;
                position += WORD as u64;
                continue;
            }
            if *first != self.byte(position) {
                return false;
            }
            rest = tail;
            position += 1;
        }
        position <= self.length
    }

    fn byte(&self, position: u64) -> u8 {
        let own = usize::try_from(position).ok().and_then(|position| self.line.get(position));
        let place = usize::try_from(position % WORD as u64).unwrap_or(0);
        let word = || self.word(position / WORD as u64).get(place).copied();
        own.copied().or_else(word).unwrap_or_default()
    }

    /// The word at this index (Steele, Lea and Flood's mixing function of seed and index).
    fn word(&self, index: u64) -> [u8; WORD] {
        let mut mixed = self.seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }
}

const WORD: usize = 8;

/// Mostly a few KiB, now and then more than a socket takes at once.
const fn size_of(hash: u64) -> u64 {
    match hash % 32 {
        0 => 100_000 + hash % 200_000,
        1..=3 => 16_000 + hash % 32_000,
        4..=9 => 200,
        _ => 300 + hash % 4000,
    }
}

/// The hasher's keys are fixed: proxy, origin and clients agree, in every run.
#[expect(deprecated, reason = "SipHash with fixed keys, which is what is needed here")]
fn hash(value: impl std::hash::Hash) -> u64 {
    let mut hasher = std::hash::SipHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_the_bytes_leads_to_the_same() {
        for (path, generation) in [("/c/1", 3), ("/c/2", 96), ("/v/100000", 1 << 40)] {
            let content = Content::of("a.soak.test", path, "2", generation);
            let all = content.all();
            assert_eq!(all.len() as u64, content.length());
            assert_eq!(content.part(0, u64::MAX), all);
            assert_eq!(content.part(77, 55), all[77..132]);
            assert!(content.has_at(0, &all) && content.has_at(5, &all[5..99]));
            assert_eq!(Content::described_by(&all), Some(content));
        }
    }

    #[test]
    fn another_byte_place_generation_or_variant_is_noticed() {
        let content = Content::of("a.soak.test", "/c/7", "", 5);
        let mut all = content.all();
        assert!(!content.has_at(8, &all[..64]));
        for other in [
            Content::of("b.soak.test", "/c/7", "", 5),
            Content::of("a.soak.test", "/c/7", "1", 5),
            Content::of("a.soak.test", "/c/7", "", 6),
        ] {
            assert!(!other.has_at(0, &all));
        }
        all.push(0);
        assert!(!content.has_at(0, &all), "one byte too many");
        *all.last_mut().unwrap() = 1;
        all[150] ^= 1;
        assert!(!content.has_at(0, &all));
    }
}
