//! A stored response with its content, as it goes from one process to another: head, content,
//! checksum.
//!
//! ```text
//! head u32+ | content u64+ | crc u32          (u32+: length, then so many bytes)
//! ```

use bytes::Bytes;

use super::codec::{Cursor, Put as _};
use super::head::{self, Head};
use crate::key::KeySeed;
use crate::store::{Body, Stored};

/// Adds a response that is in memory; `None`: it cannot be handed over.
pub(crate) fn encode(stored: &Stored, out: &mut Vec<u8>) -> Option<()> {
    let response = stored.response()?;
    if matches!(response.body, Body::Deferred(_)) {
        return None;
    }
    let mut bytes = Vec::new();
    head::encode(stored, response, &[], &mut bytes)?;
    let start = out.len();
    out.put_long(&bytes)?;
    out.put_u64(response.body.length());
    response.body.pieces().iter().for_each(|piece| out.put(piece));
    let crc = crc32c::crc32c(out.get(start..)?);
    out.put_u32(crc);
    Some(())
}

/// Takes the next response; `None`: the bytes are damaged, and all that follow.
pub(crate) fn decode(cursor: &mut Cursor<'_>, seed: KeySeed) -> Option<(Head, Bytes)> {
    let all = cursor.0;
    let head = cursor.long()?;
    let length = cursor.u64()?;
    let content = cursor.bytes(usize::try_from(length).ok()?)?;
    let sum = crc32c::crc32c(all.get(..all.len() - cursor.0.len())?);
    if cursor.u32()? != sum {
        return None;
    }
    let head = head::decode(head, seed)?;
    (head.body_bytes == length && head.extents.is_empty())
        .then(|| (head, Bytes::copy_from_slice(content)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::invalidation::Invalidation;
    use crate::store::contract::{self, Page, draft};

    fn pages() -> Vec<u8> {
        let invalidation = Arc::new(Invalidation::new(7));
        let mut out = Vec::new();
        for (path, content) in [("/a", &b"one"[..]), ("/b", b"")] {
            let entry = draft(&invalidation, Page { tags: &["t"], ..Page::at(path) });
            let body = Body::join(vec![Bytes::copy_from_slice(content)]);
            encode(&Stored::new(entry, body, 0), &mut out).unwrap();
        }
        out
    }

    #[test]
    fn pages_are_read_back_as_they_were() {
        let bytes = pages();
        let mut cursor = Cursor(&bytes);
        let (first, content) = decode(&mut cursor, KeySeed(3)).unwrap();
        assert_eq!((first.key, &content[..]), (contract::key("/a"), &b"one"[..]));
        assert_eq!(first.tags.len(), 1);
        let (second, content) = decode(&mut cursor, KeySeed(3)).unwrap();
        assert_eq!((second.key, content.len()), (contract::key("/b"), 0));
        assert!(cursor.is_at_end());
    }

    #[test]
    fn damaged_pages_are_none() {
        let bytes = pages();
        for place in 0..bytes.len() / 2 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x40;
            let mut cursor = Cursor(&damaged);
            let is_first_sound = decode(&mut cursor, KeySeed(3)).is_some();
            let is_second_sound = is_first_sound && decode(&mut cursor, KeySeed(3)).is_some();
            assert!(!(is_first_sound && is_second_sound), "at {place}");
            let cut = &bytes[..place];
            let mut cursor = Cursor(cut);
            while decode(&mut cursor, KeySeed(3)).is_some() {}
        }
    }
}
