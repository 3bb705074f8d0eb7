//! One page: its fields, as a renderer behind a framework would send them, and its body, a function
//! of its number.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::random::Random;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    number: u64,
    body_bytes: usize,
    tags: u64,
}

impl Page {
    pub(crate) fn numbered(number: u64, body_bytes: usize, tags: u64) -> Self {
        Self { number, body_bytes, tags }
    }

    pub(crate) fn of_size(body_bytes: usize) -> Self {
        Self { number: 0, body_bytes, tags: 3 }
    }

    pub(crate) fn fields(&self, lifetime_seconds: u64) -> HeaderMap {
        let written = [
            (CACHE_CONTROL, format!("public, max-age={lifetime_seconds}")),
            (ETAG, format!("\"{}-{}\"", self.number, self.body_bytes)),
            (HeaderName::from_static("surrogate-key"), self.tags()),
        ];
        let constant = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (LAST_MODIFIED, "Sun, 01 Nov 2026 08:00:00 GMT"),
            (CONTENT_LANGUAGE, "en"),
            (LINK, "</assets/app.css>; rel=preload; as=style"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (HeaderName::from_static("x-powered-by"), "loadtest"),
        ];
        let written =
            written.into_iter().filter_map(|(name, value)| Some((name, value.try_into().ok()?)));
        let constant =
            constant.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
        constant.chain(written).collect()
    }

    /// Names the page itself first, then groups of pages, each a hundred names wide.
    fn tags(&self) -> String {
        let mut tags = format!("product-{}", self.number);
        for group in 1..self.tags.max(1) {
            // Formatting into a String cannot fail.
            match group {
                1 => write!(tags, " category-{}", self.number % 100),
                _ => write!(tags, " group-{group}-{}", (self.number / group) % 100),
            }
            .unwrap_or_default();
        }
        tags
    }

    /// Returns the body: HTML-like text that compresses little, of exactly the page's size.
    pub(crate) fn body(&self) -> Bytes {
        let mut body =
            format!("<!doctype html>\n<title>Page {}</title>\n", self.number).into_bytes();
        let mut random = Random::nth(2, self.number);
        body.reserve(self.body_bytes);
        while body.len() < self.body_bytes {
            body.extend_from_slice(&hexadecimal(random.bits()));
        }
        body.truncate(self.body_bytes);
        body.into()
    }
}

fn hexadecimal(bits: u64) -> [u8; 17] {
    let mut text = [b'\n'; 17];
    for (position, digit) in text.iter_mut().take(16).enumerate() {
        let nibble = u8::try_from((bits >> (4 * position)) & 0xF).unwrap_or_default();
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_exactly_the_size_asked_for_and_depends_on_the_number() {
        for bytes in [0, 1, 40, 1024, 102_400] {
            assert_eq!(Page::numbered(3, bytes, 1).body().len(), bytes);
        }
        assert_eq!(Page::numbered(3, 1024, 1).body(), Page::numbered(3, 1024, 1).body());
        assert_ne!(Page::numbered(3, 1024, 1).body(), Page::numbered(4, 1024, 1).body());
    }

    #[test]
    fn the_fields_are_those_of_a_cacheable_page() {
        let fields = Page::numbered(4203, 1024, 4).fields(60);

        assert_eq!(fields.len(), 9);
        assert_eq!(fields[CACHE_CONTROL], "public, max-age=60");
        assert_eq!(fields[ETAG], "\"4203-1024\"");
        assert_eq!(fields["surrogate-key"], "product-4203 category-3 group-2-1 group-3-1");
    }
}
