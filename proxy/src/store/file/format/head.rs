//! The head of a stored response as it is in the file: key, variant, place in the order of purges,
//! tags, freshness, fields.
//!
//! ```text
//! scheme u8 | host u16+ | path u32+ | [rules u64] | names u16, each u16+ | values u32+ | tags u16, each u128 | soft purge u64
//! | status u16 | part u8 [first u64, last u64, complete u64] | freshness 4 x u64
//! | lines u16, each { hidden u8, name u16+, value u32+ } | body length u64
//! | extents u32, each { segment u32, offset u32, length u32, lsn u64 }          (u16+: length, then so many bytes)
//! ```

use std::num::NonZeroU64;
use std::sync::Arc;

use http::{HeaderName, StatusCode};

use super::codec::{Cursor, Put as _};
use super::record::{RECORD_HEADER_BYTES, RecordHeader};
use crate::field::content_range::ContentRange;
use crate::freshness::Freshness;
use crate::invalidation::{Invalidation, TagId};
use crate::key::vary::Variant;
use crate::key::{Key, KeyRules, KeySeed, Scheme};
use crate::store::file::format::extent::{ExtentPlace, decode_extent, encode_extent};
use crate::store::file::format::record::{RecordKind, blocks_match};
use crate::store::{Body, Content, Fields, NewEntry, Stored, StoredResponse};
use process::timestamp::Timestamp;

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) variant: Option<Variant>,
    pub(crate) tags: Vec<TagId>,
    /// The time of a soft purge that came before the response was written.
    pub(crate) soft_purged: Option<Timestamp>,
    /// Without its body.
    pub(crate) response: StoredResponse,
    pub(crate) body_bytes: u64,
    /// The extents of the body; empty if the body is behind the head.
    pub(crate) extents: Vec<ExtentPlace>,
}

/// Adds the head of a response to the meta of its record; `None`: something in it is too large to
/// be kept.
pub(crate) fn encode(
    stored: &Stored,
    response: &StoredResponse,
    extents: &[ExtentPlace],
    out: &mut Vec<u8>,
) -> Option<()> {
    let rules = stored.key.rules();
    let flag = if rules.is_some() { WITH_RULES } else { 0 };
    out.put_u8(stored.key.scheme() as u8 | flag);
    out.put_short(stored.key.host())?;
    out.put_long(stored.key.path())?;
    if let Some(KeyRules(rules)) = rules {
        out.put_u64(rules.get());
    }
    let (names, values) =
        stored.variant.as_ref().map_or((&[][..], &[][..]), |it| (it.names(), it.values()));
    out.put_u16(u16::try_from(names.len()).ok()?);
    names.iter().try_for_each(|name| out.put_short(name.as_str().as_bytes()))?;
    out.put_long(values)?;
    let tags: Vec<TagId> = stored.provenance.ids().collect();
    out.put_u16(u16::try_from(tags.len()).ok()?);
    for tag in &tags {
        out.put_u128(tag.bits());
    }
    out.put_u64(stored.provenance.soft_purged().map_or(NEVER, Timestamp::as_millis));
    out.put_u16(response.status.as_u16());
    match response.part.as_deref() {
        None => out.put_u8(0),
        Some(part) => {
            out.put_u8(1);
            let complete = part.complete().unwrap_or(u64::MAX);
            for word in [part.first(), part.last(), complete] {
                out.put_u64(word);
            }
        }
    }
    for word in response.freshness.to_words() {
        out.put_u64(word);
    }
    encode_fields(&response.fields, out)?;
    out.put_u64(response.body.length());
    out.put_u32(u32::try_from(extents.len()).ok()?);
    for extent in extents {
        encode_extent(extent, out);
    }
    Some(())
}

fn encode_fields(fields: &Fields, out: &mut Vec<u8>) -> Option<()> {
    let place = out.len();
    out.put_u16(0);
    let (mut count, mut is_complete) = (0_u16, true);
    fields.for_each(|name, value, is_hidden| {
        out.put_u8(u8::from(is_hidden));
        let written = out.put_short(name.as_bytes()).and_then(|()| out.put_long(value));
        is_complete &= written.is_some() && count < u16::MAX;
        count = count.saturating_add(1);
    });
    out.get_mut(place..place + 2)?.copy_from_slice(&count.to_le_bytes());
    is_complete.then_some(())
}

/// Reads the head of a record of which this follows the header; `None`: it is damaged.
pub(crate) fn of_record(header: &RecordHeader, rest: &[u8], seed: KeySeed) -> Option<Head> {
    let meta = rest.get(..usize::try_from(header.meta_bytes).ok()?)?;
    let head = meta.get(usize::try_from(header.table_bytes()).ok()?..)?;
    (crc32c::crc32c(meta) == header.meta_crc).then(|| decode(head, seed)).flatten()
}

pub(crate) fn is_sound(header: &RecordHeader, record: &[u8], seed: KeySeed) -> bool {
    let at = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (body_start, end) = (at(header.body_start()), at(header.record_bytes()));
    let meta = record.get(RECORD_HEADER_BYTES..body_start).unwrap_or_default();
    let body = record.get(body_start..end).unwrap_or_default();
    let head = meta.get(at(header.table_bytes())..).unwrap_or_default();
    crc32c::crc32c(meta) == header.meta_crc
        && blocks_match(meta, 0, body)
        && (header.kind == RecordKind::Extent || decode(head, seed).is_some())
}

/// In the byte of the scheme: the rules of the key follow the path.
const WITH_RULES: u8 = 2;

/// Reads a head; `None`: it is damaged, though its checksum is right.
pub(crate) fn decode(bytes: &[u8], seed: KeySeed) -> Option<Head> {
    let mut cursor = Cursor(bytes);
    let first = cursor.u8()?;
    let scheme = match first & !WITH_RULES {
        0 => Scheme::Http,
        1 => Scheme::Https,
        _ => return None,
    };
    let key = Key::new(seed, scheme, cursor.short()?, cursor.long()?);
    let rules = match first & WITH_RULES {
        0 => None,
        _ => Some(KeyRules(NonZeroU64::new(cursor.u64()?)?)),
    };
    let key = key.with_rules(seed, rules);
    let count = cursor.u16()?;
    let names = (0..count)
        .map(|_| HeaderName::from_bytes(cursor.short()?).ok())
        .collect::<Option<Vec<_>>>()?;
    let values = cursor.long()?;
    let variant = (!names.is_empty()).then(|| Variant::of_parts(names, values));
    let count = cursor.u16()?;
    let tags =
        (0..count).map(|_| cursor.u128().map(TagId::from_bits)).collect::<Option<Vec<_>>>()?;
    let soft_purged =
        Some(cursor.u64()?).filter(|millis| *millis != NEVER).map(Timestamp::from_millis);
    let status = StatusCode::from_u16(cursor.u16()?).ok()?;
    let part = match cursor.u8()? {
        0 => None,
        _ => Some(Box::new(decode_part(&mut cursor)?)),
    };
    let words = [cursor.u64()?, cursor.u64()?, cursor.u64()?, cursor.u64()?];
    let fields = decode_fields(&mut cursor)?;
    let body_bytes = cursor.u64()?;
    let extents = decode_extents(&mut cursor)?;
    let freshness = Freshness::from_words(words);
    let response = StoredResponse { status, fields, freshness, body: Body::Empty, part };
    let is_whole = extents.is_empty()
        || extents.iter().map(|it| u64::from(it.length)).sum::<u64>() == body_bytes;
    let head = Head { key, variant, tags, soft_purged, response, body_bytes, extents };
    (cursor.is_at_end() && is_whole).then_some(head)
}

fn decode_part(cursor: &mut Cursor<'_>) -> Option<ContentRange> {
    let (first, last, complete) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
    ContentRange::new(first, last, Some(complete).filter(|complete| *complete != u64::MAX))
}

fn decode_fields(cursor: &mut Cursor<'_>) -> Option<Fields> {
    let count = cursor.u16()?;
    let mut lines = Vec::new();
    for _ in 0..count {
        let is_hidden = cursor.u8()? == 1;
        let name = HeaderName::from_bytes(cursor.short()?).ok()?;
        lines.push((name, cursor.long()?, is_hidden));
    }
    Fields::of_lines(lines.into_iter())
}

fn decode_extents(cursor: &mut Cursor<'_>) -> Option<Vec<ExtentPlace>> {
    let count = cursor.u32()?;
    let mut extents = Vec::new();
    for _ in 0..count {
        extents.push(decode_extent(cursor)?);
    }
    Some(extents)
}

/// Reads a head for a fuzzer. What was read is written and read again as it is.
pub(crate) fn read_any(bytes: &[u8]) {
    let Some(first) = decode(bytes, KeySeed(1)).and_then(encode_again) else { return };
    let second = decode(&first, KeySeed(1)).and_then(encode_again);
    assert!(second == Some(first), "a head is read back as it was written");
}

/// Encodes a head that was read, as if it were stored.
fn encode_again(mut head: Head) -> Option<Vec<u8>> {
    let invalidation = Arc::new(Invalidation::new(1));
    let provenance = invalidation.begin_fetch().provenance(head.tags);
    if let Some(at) = head.soft_purged {
        provenance.mark_soft_purged(at);
    }
    let _until = head.response.freshness.useless_after();
    head.response.body = Body::Pieces { pieces: Arc::default(), length: head.body_bytes };
    let content = Content::Response(head.response.clone());
    let draft = NewEntry { key: head.key, variant: head.variant, provenance, content };
    let stored = Stored::new(draft, Body::Empty, 0);
    let mut out = Vec::new();
    encode(&stored, &head.response, &head.extents, &mut out).map(|()| out)
}

const NEVER: u64 = u64::MAX;
