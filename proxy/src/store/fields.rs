//! `Fields`: the header fields of a stored response in one exact-size copy.
//!
//! Values that hyper parsed are slices of its connection's read buffer: storing one would keep the
//! whole buffer. A `HeaderMap` of 12 fields takes 1.4 KiB; this takes 8 bytes a field beside the
//! bytes themselves.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::RwLock;

use crate::compression::form::ContentForm;

/// Field lines in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Unique in this process, so that what was rendered from it can be recognised.
    number: u64,
    lines: Box<[Line]>,
    /// The values one after the other; before a value, its name if that is not interned.
    text: Bytes,
    form: ContentForm,
}

/// One line: which name, and where its value ends. It begins where the line before ends.
#[derive(Clone, Copy, Debug)]
struct Line {
    name: NameId,
    /// Bytes of the name in `text`, zero when it is interned; the highest bit: not shown to
    /// clients.
    name_length: u16,
    end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// All fields, as the origin sent them: for validation and for judging anew.
    All,
    Public,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NameId(u16);

impl Fields {
    /// Copies the fields and remembers which of them clients do not see.
    pub fn copy_of(map: &HeaderMap, is_hidden: &dyn Fn(&HeaderName) -> bool) -> Self {
        let mut text = Vec::with_capacity(map.iter().map(|(_, value)| value.len()).sum());
        let mut lines = Vec::with_capacity(map.len());
        for (name, value) in map {
            let id = NAMES.intern(name);
            if id == NameId::INLINE && name.as_str().len() >= usize::from(HIDDEN) {
                continue; // no renderer has such a name, and nobody could be told of it
            }
            let name_length = if id == NameId::INLINE { name.as_str().len() } else { 0 };
            if id == NameId::INLINE {
                text.extend_from_slice(name.as_str().as_bytes());
            }
            text.extend_from_slice(value.as_bytes());
            let Ok(end) = u32::try_from(text.len()) else { break };
            let hidden = if is_hidden(name) { HIDDEN } else { 0 };
            let name_length = u16::try_from(name_length).unwrap_or(0) & !HIDDEN;
            lines.push(Line { name: id, name_length: name_length | hidden, end });
        }
        let text = text.into_boxed_slice().into();
        Self { number: unique_number(), lines: lines.into(), text, form: ContentForm::of(map) }
    }

    /// Makes fields of lines with name, value and whether it is hidden, as [`Self::for_each`] shows
    /// them.
    pub fn of_lines<'a>(lines: impl Iterator<Item = (HeaderName, &'a [u8], bool)>) -> Option<Self> {
        let (mut map, mut hidden) = (HeaderMap::new(), Vec::new());
        for (name, value, is_hidden) in lines {
            if is_hidden {
                hidden.push(name.clone());
            }
            map.append(name, HeaderValue::from_bytes(value).ok()?);
        }
        Some(Self::copy_of(&map, &|name| hidden.contains(name)))
    }

    /// Shows every line: name, value, and whether it is hidden from clients.
    pub fn for_each(&self, mut show: impl FnMut(&str, &[u8], bool)) {
        let names = NAMES.table.read();
        let mut start = 0;
        for line in &self.lines {
            let (end, name_length) = (line.end as usize, usize::from(line.name_length & !HIDDEN));
            let inline = self.text.get(start..start + name_length).unwrap_or_default();
            let name = match names.names.get(usize::from(line.name.0)) {
                Some(name) => name.as_str(),
                None => std::str::from_utf8(inline).unwrap_or_default(),
            };
            let value = self.text.get(start + name_length..end).unwrap_or_default();
            show(name, value, line.name_length & HIDDEN != 0);
            start = end;
        }
    }

    /// The form of the content that these fields go with.
    pub const fn form(&self) -> ContentForm {
        self.form
    }

    /// Returns a number that no other fields of this process have.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the fields as a map with room for `additional` more; the values share the stored
    /// bytes.
    pub fn to_map(&self, show: Show, additional: usize) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len() + additional);
        let names = NAMES.table.read();
        let mut start = 0;
        for line in &self.lines {
            let end = line.end as usize;
            let value_start = start + usize::from(line.name_length & !HIDDEN);
            if show == Show::Public && line.name_length & HIDDEN != 0 {
                start = end;
                continue;
            }
            let name = match names.names.get(usize::from(line.name.0)) {
                Some(name) => Some(name.clone()),
                None => self
                    .text
                    .get(start..value_start)
                    .and_then(|name| HeaderName::from_bytes(name).ok()),
            };
            if let (Some(name), Ok(value)) =
                (name, HeaderValue::from_maybe_shared(self.text.slice(value_start.min(end)..end)))
            {
                map.append(name, value);
            }
            start = end;
        }
        map
    }

    pub fn heap_bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>() + self.text.len()
    }
}

/// Field names seen so far, by number. Origins use few; a hostile one finds the table full and its
/// names stored inline.
struct Names {
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    names: Vec<HeaderName>,
    ids: HashMap<HeaderName, NameId>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names { table: RwLock::default() });

impl Names {
    fn intern(&self, name: &HeaderName) -> NameId {
        if name.as_str().len() > NAME_BYTES_MAX {
            return NameId::INLINE;
        }
        if let Some(id) = self.table.read().ids.get(name) {
            return *id;
        }
        let mut table = self.table.write();
        let known = table.ids.get(name).copied();
        if let Some(id) = known {
            return id;
        }
        let Some(id) =
            u16::try_from(table.names.len()).ok().filter(|id| *id < NAMES_MAX).map(NameId)
        else {
            return NameId::INLINE;
        };
        let own =
            HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_same| name.clone());
        table.names.push(own.clone());
        table.ids.insert(own, id);
        id
    }
}

impl NameId {
    const INLINE: Self = Self(u16::MAX);
}

/// Returns a number for one form of content, unique in this process.
pub fn unique_number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// The bit of [`Line::name_length`] that hides a line; longer names than 32 KiB are left out.
const HIDDEN: u16 = 1 << 15;

const NAME_BYTES_MAX: usize = 64;
/// Names in the table: 400 KiB at worst.
const NAMES_MAX: u16 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_with_repeated_lines() {
        let mut map = HeaderMap::new();
        for (name, value) in
            [("content-type", "text/html"), ("link", "<a>"), ("x-odd", ""), ("link", "<b>")]
        {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map.append("x-bytes", HeaderValue::from_bytes(b"\xff\x80").unwrap());
        assert_eq!(Fields::copy_of(&map, &|_| false).to_map(Show::Public, 2), map);
    }

    #[test]
    fn a_hidden_field_is_kept_but_not_shown() {
        let map = HeaderMap::from_iter([
            (HeaderName::from_static("surrogate-key"), HeaderValue::from_static("a")),
            (HeaderName::from_static("x-shown"), HeaderValue::from_static("b")),
        ]);
        let fields = Fields::copy_of(&map, &|name| name == "surrogate-key");
        assert_eq!(fields.to_map(Show::All, 0), map);
        assert_eq!(fields.to_map(Show::Public, 0).keys().collect::<Vec<_>>(), ["x-shown"]);
    }

    #[test]
    fn a_flood_of_names_is_stored_without_the_table() {
        let mut map = HeaderMap::new();
        for number in 0..3000 {
            let name = HeaderName::try_from(format!("x-flood-{number}")).unwrap();
            map.insert(name, HeaderValue::from(number));
        }
        assert_eq!(Fields::copy_of(&map, &|_| false).to_map(Show::All, 0), map);
        assert!(NAMES.table.read().names.len() <= usize::from(NAMES_MAX));
    }
}
