//! Text of clients in lines of a log: no byte of it can end a line, or a quoted value.

/// Adds text as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn push_json(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    let mut rest = text;
    loop {
        let (run, special) = rest.split_at(plain_length(rest));
        line.extend_from_slice(run);
        let Some((&byte, after)) = special.split_first() else { break };
        rest = after;
        match byte {
            b'"' => line.extend_from_slice(b"\\\""),
            b'\\' => line.extend_from_slice(b"\\\\"),
            0x80.. => {
                let (length, is_valid) = character(special);
                match special.get(..length).filter(|_| is_valid) {
                    Some(character) => line.extend_from_slice(character),
                    None => line.extend_from_slice("\u{fffd}".as_bytes()),
                }
                rest = special.get(length..).unwrap_or_default();
            }
            _ => {
                line.extend_from_slice(b"\\u00");
                push_hex(line, byte);
            }
        }
    }
    line.push(b'"');
}

/// Adds text as Apache and Varnish escape it: quotes, backslashes and what is not printable.
pub(super) fn push_text(line: &mut Vec<u8>, text: &[u8]) {
    for byte in text.iter().copied() {
        match byte {
            b'"' => line.extend_from_slice(b"\\\""),
            b'\\' => line.extend_from_slice(b"\\\\"),
            0x20..0x7f => line.push(byte),
            _ => {
                line.extend_from_slice(b"\\x");
                push_hex(line, byte);
            }
        }
    }
}

pub(super) fn push_number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_hex(line: &mut Vec<u8>, byte: u8) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' - 10 + value };
    line.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
}

/// Returns the length of the plain beginning, which it looks for in eight bytes at a time.
fn plain_length(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    if words.is_empty() {
        return rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
    }
    // The last eight bytes, of which some have been looked at.
    let end = text.last_chunk().map_or(0, |last| special_bytes(u64::from_le_bytes(*last)));
    if end == 0 { text.len() } else { text.len() - 8 + end.trailing_zeros() as usize / 8 }
}

/// Returns the highest bit of each byte that is not plain. Above the lowest of these, others may be
/// set as well.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let control = below(word, 0x20);
    let quoted = is(b'"') | is(b'\\');
    let delete_or_not_ascii = word | word.wrapping_add(ONES);
    (control | quoted | delete_or_not_ascii) & (ONES << 7)
}

const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f && byte != b'"' && byte != b'\\'
}

/// Returns the length of the character at the beginning, and whether it is one.
fn character(text: &[u8]) -> (usize, bool) {
    let (first, _) = text.split_at(text.len().min(4));
    match std::str::from_utf8(first) {
        Ok(text) => (text.chars().next().map_or(1, char::len_utf8), true),
        Err(error) if error.valid_up_to() > 0 => {
            let valid = first.get(..error.valid_up_to()).unwrap_or_default();
            let text = std::str::from_utf8(valid).unwrap_or_default();
            (text.chars().next().map_or(1, char::len_utf8), true)
        }
        Err(_) => (1, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut line = Vec::new();
        push_json(&mut line, text);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn plain_text_ends_at_the_first_byte_that_is_not_plain() {
        for special in 0..=u8::MAX {
            for at in 0..19 {
                let mut text = [b'~'; 19];
                text[at] = special;
                let expected = if is_plain(special) { 19 } else { at };
                assert_eq!(plain_length(&text), expected, "{special} at {at}");
                text[18] = 0xff;
                assert_eq!(plain_length(&text), expected.min(18), "{special} at {at}, 255");
            }
        }
    }

    #[test]
    fn no_text_of_a_client_ends_a_line_or_a_value() {
        assert_eq!(json(b"a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(json(b"\r\n\x00\x7f"), r#""\u000d\u000a\u0000\u007f""#);
        assert_eq!(json("pr\u{e9}, \u{1f600}".as_bytes()), "\"pr\u{e9}, \u{1f600}\"");
        assert_eq!(json(b"\xff\xe2\x82"), "\"\u{fffd}\u{fffd}\u{fffd}\"");
        for text in [&b"\xff\x00\"\\\n"[..], "\u{2028}x".as_bytes(), &[0x80; 9]] {
            serde_json::from_str::<String>(&json(text)).unwrap();
        }
        let mut line = Vec::new();
        push_text(&mut line, b"a\"\n\xff\\");
        assert_eq!(line, b"a\\\"\\x0a\\xff\\\\");
    }
}
