//! A tag: the text by which responses are purged together, and how fields list tags.
//!
//! `Surrogate-Key` (Fastly) and `xkey` (Varnish) separate by spaces, `Cache-Tag` (Akamai,
//! Cloudflare) by commas; both are accepted everywhere. An entity tag is a tag too, without its
//! quotes and without `W/`, and so is every tag that somebody quotes: `"site-7"`, `W/"site-7"` and
//! `site-7` are one tag, in responses as in purges. `*` is a plain character.

use std::fmt;

/// A purge tag: 1 to [`Tag::LENGTH_MAX`] bytes of visible text without white space and, unless it
/// is an entity tag, commas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// The reason why a text is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// There is nothing in it. The caller leaves it out.
    #[error("a tag is empty")]
    Empty,
    /// Too long. The caller refuses the purge, or does not store the response.
    #[error("a tag of {length} bytes exceeds the limit of {max}")]
    TooLong {
        /// Bytes of the text.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// White space, a comma, a control character or a byte that is not UTF-8. The caller refuses
    /// the purge.
    #[error(
        "a tag may hold neither white space nor commas nor control characters: {0:?}; write each \
        tag by itself, and an entity tag with a comma in double quotes"
    )]
    Character(String),
}

impl Tag {
    /// The longest tag that a purge request may name, in bytes.
    pub const LENGTH_MAX: usize = 1024;

    /// Reads one tag, or one entity tag: only the latter may hold commas, and is written in quotes
    /// then.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let written = text;
        let text = opaque(text.as_bytes())
            .and_then(|opaque| std::str::from_utf8(opaque).ok())
            .unwrap_or(written);
        let is_quoted = text.len() < written.len();
        match text.len() {
            0 => Err(TagError::Empty),
            length if length > Self::LENGTH_MAX => {
                Err(TagError::TooLong { length, max: Self::LENGTH_MAX })
            }
            _ if text.bytes().any(|byte| !(is_tag_byte(byte) || is_quoted && byte == b',')) => {
                Err(TagError::Character(text.to_owned()))
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the tags of one field line, split at white space and commas, in order, without quotes,
/// empty ones left out.
pub fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tags = value.split(|byte| is_separator(*byte));
    tags.map(|tag| opaque(tag).unwrap_or(tag)).filter(|tag| !tag.is_empty())
}

/// Returns the opaque part of an entity tag (RFC 9110 §8.8.3): `W/"site-1"` and `"site-1"` are both
/// `site-1`.
///
/// A text without quotes is returned as it is: operators write `ETag: site-1` by hand.
pub fn of_etag(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    opaque(value).unwrap_or_else(|| value.strip_prefix(b"W/").unwrap_or(value))
}

/// Returns the members of a list of entity tags as they are written. A comma in quotes does not
/// separate (RFC 9110 §8.8.3).
pub fn split_etags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let members = value.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    });
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Returns an entity tag as [`Tag::parse`] reads it: without its quotes, unless a comma needs them.
pub fn written_etag(value: &[u8]) -> &[u8] {
    let opaque = of_etag(value);
    if opaque.contains(&b',') { value.trim_ascii() } else { opaque }
}

/// Returns what stands between the quotes of an entity tag; `None` where there are none.
fn opaque(value: &[u8]) -> Option<&[u8]> {
    let value = value.strip_prefix(b"W/").unwrap_or(value);
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""))
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b',')
}

const fn is_tag_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b','
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_commas_separate() {
        let tags: Vec<_> = split(b"  a b,c ,, d\te ").collect();
        assert_eq!(tags, [&b"a"[..], b"b", b"c", b"d", b"e"]);
    }

    #[test]
    fn an_entity_tag_loses_its_quotes_and_weakness() {
        for text in [&b"\"site-1\""[..], b"W/\"site-1\"", b"site-1", b" \"site-1\" "] {
            assert_eq!(of_etag(text), b"site-1");
        }
        assert_eq!(of_etag(b"\""), b"\"");
    }

    #[test]
    fn a_tag_may_be_written_as_an_entity_tag() {
        for text in ["\"site-7\"", "W/\"site-7\"", "site-7"] {
            assert_eq!(Tag::parse(text).unwrap().as_str(), "site-7", "{text}");
            assert!(split(text.as_bytes()).eq([&b"site-7"[..]]), "{text}");
        }
        assert_eq!(Tag::parse("\"a,b\"").unwrap().as_str(), "a,b");
        assert_eq!(Tag::parse("\"\""), Err(TagError::Empty));
        assert!(matches!(Tag::parse("\"a b\""), Err(TagError::Character(_))));
        assert_eq!(Tag::parse("a\"b\"").unwrap().as_str(), "a\"b\"");
    }

    #[test]
    fn a_comma_in_an_entity_tag_does_not_separate() {
        let members: Vec<_> = split_etags(b"\"a,b\" , W/\"c\",, d").collect();
        assert_eq!(members, [&b"\"a,b\""[..], b"W/\"c\"", b"d"]);
    }

    #[test]
    fn a_star_is_a_plain_character() {
        assert_eq!(Tag::parse("*").unwrap().as_str(), "*");
    }

    #[test]
    fn a_tag_that_no_field_can_carry_is_refused() {
        assert_eq!(Tag::parse(""), Err(TagError::Empty));
        for text in ["a b", "a,b", "a\r\nb", "\u{7f}"] {
            assert!(matches!(Tag::parse(text), Err(TagError::Character(_))), "{text:?}");
        }
        assert!(matches!(
            Tag::parse(&"x".repeat(1025)),
            Err(TagError::TooLong { length: 1025, max: 1024 })
        ));
    }

    proptest::proptest! {
        #[test]
        fn split_yields_tags(value in "[ -~]{0,200}") {
            for tag in split(value.as_bytes()) {
                Tag::parse(std::str::from_utf8(tag).unwrap()).unwrap();
            }
        }
    }
}
