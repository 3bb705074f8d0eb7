//! Values as TOML.

use std::fmt::Write as _;

/// Returns a text, in single quotes where that is easier to read.
pub(crate) fn text(text: &str) -> String {
    let is_plain = |letter: char| !letter.is_control();
    if text.contains(['\\', '"']) && !text.contains('\'') && text.chars().all(is_plain) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                let _written = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

pub(crate) fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| text(item)).collect();
    format!("[{}]", items.join(", "))
}

pub(crate) fn one_or_more(items: &[String]) -> String {
    match items {
        [one] => text(one),
        several => list(several),
    }
}

pub(crate) fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { text(name) }
}

/// Returns text for a comment: one line, without control characters.
pub(crate) fn comment(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
