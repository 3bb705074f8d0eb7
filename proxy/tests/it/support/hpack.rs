//! Field sections of HTTP/2 (RFC 7541). They are written as plain literals, so that a malformed one
//! can be sent, and read in full.

use std::collections::VecDeque;

/// A name and a value.
pub(crate) type Field = (String, Vec<u8>);

/// Writes fields as literals without indexing (RFC 7541 §6.2.2), not compressed.
pub(crate) fn encode<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            put_number(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// Writes a number with a prefix of seven bits (RFC 7541 §5.1).
fn put_number(block: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(0x7f) else {
        return block.push(u8::try_from(number).unwrap());
    };
    block.push(0x7f);
    while rest >= 0x80 {
        block.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// Reads the field sections of one connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The newest entry first.
    dynamic: VecDeque<Field>,
}

impl Decoder {
    /// Reads one section; panics where it is malformed.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Vec<Field> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(first) = rest.first().copied() {
            if first & 0x80 != 0 {
                let index = number(&mut rest, 7);
                fields.push(self.entry(index));
            } else if first & 0xe0 == 0x20 {
                number(&mut rest, 5); // the table's size: ours is never smaller than the sender's
            } else {
                let is_indexed = first & 0xc0 == 0x40;
                let index = number(&mut rest, if is_indexed { 6 } else { 4 });
                let name = match index {
                    0 => String::from_utf8(string(&mut rest)).unwrap(),
                    _ => self.entry(index).0,
                };
                let field = (name, string(&mut rest));
                if is_indexed {
                    self.remember(field.clone());
                }
                fields.push(field);
            }
        }
        fields
    }

    fn entry(&self, index: usize) -> Field {
        match STATIC.get(index - 1) {
            Some((name, value)) => ((*name).to_owned(), value.as_bytes().to_vec()),
            None => self.dynamic[index - 1 - STATIC.len()].clone(),
        }
    }

    fn remember(&mut self, field: Field) {
        self.dynamic.push_front(field);
        let size = |entry: &Field| entry.0.len() + entry.1.len() + 32;
        while self.dynamic.iter().map(size).sum::<usize>() > TABLE_BYTES_MAX {
            self.dynamic.pop_back();
        }
    }
}

fn number(rest: &mut &[u8], prefix: u32) -> usize {
    let mask = (1_usize << prefix) - 1;
    let mut number = usize::from(byte(rest)) & mask;
    if number == mask {
        for shift in (0..).step_by(7) {
            let next = usize::from(byte(rest));
            number += (next & 0x7f) << shift;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    number
}

fn string(rest: &mut &[u8]) -> Vec<u8> {
    let is_compressed = rest[0] & 0x80 != 0;
    let length = number(rest, 7);
    let (text, after) = rest.split_at(length);
    *rest = after;
    if is_compressed { decompress(text) } else { text.to_vec() }
}

fn byte(rest: &mut &[u8]) -> u8 {
    let (first, after) = rest.split_first().unwrap();
    *rest = after;
    *first
}

/// The code is canonical: those of one length follow on each other (RFC 7541 appendix B).
fn decompress(bytes: &[u8]) -> Vec<u8> {
    let (mut text, mut code, mut length) = (Vec::new(), 0_usize, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        (code, length) = (code << 1 | usize::from(bit), length + 1);
        let row = CODES.iter().find(|(of_length, ..)| *of_length == length);
        let symbol = row.and_then(|(_, first, symbols)| {
            code.checked_sub(*first).and_then(|at| symbols.as_bytes().get(at))
        });
        if let Some(symbol) = symbol {
            text.push(*symbol);
            (code, length) = (0, 0);
        }
    }
    assert!(length < 8, "a byte beyond ASCII");
    text
}

/// Bits, the first code, and the bytes it and those after it stand for.
const CODES: [(usize, usize, &str); 11] = [
    (5, 0x0, "012aceiost"),
    (6, 0x14, " %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, "&*,;XZ"),
    (10, 0x3f8, "!\"()?"),
    (11, 0x7fa, "'+|"),
    (12, 0xffa, "#>"),
    (13, 0x1ff8, "\0$@[]~"),
    (14, 0x3ffc, "^}"),
    (15, 0x7ffc, "<`{"),
    (19, 0x7fff0, "\\"),
];

const TABLE_BYTES_MAX: usize = 4096;

/// RFC 7541 appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
