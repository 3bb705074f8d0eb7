//! `Redaction`: the values that no log shows.

use http::HeaderName;
use memchr::memchr;
use settings::{AccessLogSettings, NamePattern};

/// Names of query parameters and fields whose values are written as `***`.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction {
    parameters: Vec<NamePattern>,
    fields: Vec<String>,
}

impl Redaction {
    pub(super) fn new(settings: &AccessLogSettings) -> Self {
        let AccessLogSettings { redact_query, redact_headers, .. } = settings;
        Self { parameters: redact_query.clone(), fields: redact_headers.clone() }
    }

    pub(super) fn hides(&self, field: &HeaderName) -> bool {
        self.hides_named(field.as_str())
    }

    pub(super) fn hides_named(&self, field: &str) -> bool {
        self.fields.iter().any(|name| name == field)
    }

    /// Returns a query, without its `?`, as it is shown; `kept` holds it where a value is hidden.
    pub(super) fn query<'a>(&self, query: &'a [u8], kept: &'a mut Vec<u8>) -> &'a [u8] {
        let parts = || query.split(|byte| *byte == b'&');
        if !parts().any(|part| self.is_secret(part)) {
            return query;
        }
        kept.clear();
        for part in parts() {
            if !kept.is_empty() {
                kept.push(b'&');
            }
            match memchr(b'=', part).filter(|_| self.is_secret(part)) {
                Some(at) => {
                    kept.extend_from_slice(part.get(..=at).unwrap_or_default());
                    kept.extend_from_slice(HIDDEN);
                }
                None => kept.extend_from_slice(part),
            }
        }
        kept
    }

    /// Returns a URL as it is shown: its query like any other, and no fragment, which may hold a
    /// token.
    pub(super) fn url<'a>(&self, url: &'a [u8], kept: &'a mut Vec<u8>) -> &'a [u8] {
        let end = memchr(b'#', url).unwrap_or(url.len());
        let url = url.get(..end).unwrap_or_default();
        let Some(at) = memchr(b'?', url) else { return url };
        let (before, query) = url.split_at(at + 1);
        let mut shown = Vec::new();
        let query = self.query(query, &mut shown);
        kept.clear();
        kept.extend_from_slice(before);
        kept.extend_from_slice(query);
        kept
    }

    fn is_secret(&self, part: &[u8]) -> bool {
        let name = part.get(..memchr(b'=', part).unwrap_or(part.len())).unwrap_or_default();
        let is = |name: &[u8]| {
            self.parameters.iter().any(|pattern| {
                let own = pattern.name().as_bytes();
                let begun = name.get(..own.len()).is_some_and(|it| it.eq_ignore_ascii_case(own));
                begun && (pattern.is_prefix() || name.len() == own.len())
            })
        };
        if memchr(b'%', name).is_some() { is(&decoded(name)) } else { is(name) }
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut all = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let pair = (digit(text.get(at + 1)), digit(text.get(at + 2)));
        if let (b'%', (Some(high), Some(low))) = (byte, pair) {
            all.extend(u8::try_from(high * 16 + low));
            at += 3;
        } else {
            all.push(*byte);
            at += 1;
        }
    }
    all
}

pub(super) const HIDDEN: &[u8] = b"***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_query_are_hidden_however_they_are_spelt() {
        let mut redaction = Redaction::new(&AccessLogSettings::default());
        redaction.parameters.push(NamePattern::new("x_*"));
        for (query, shown) in [
            ("a=1&b", "a=1&b"),
            ("token=abc", "token=***"),
            ("a=1&Token=abc&b=2", "a=1&Token=***&b=2"),
            ("%74oken=abc&x_y=1&xy=1", "%74oken=***&x_y=***&xy=1"),
            ("token", "token"),
            ("tokens=1", "tokens=1"),
        ] {
            let mut kept = Vec::new();
            assert_eq!(redaction.query(query.as_bytes(), &mut kept), shown.as_bytes());
        }
        let mut kept = Vec::new();
        let url = redaction.url(b"https://h/p?code=1&a=2#token=3", &mut kept);
        assert_eq!(url, b"https://h/p?code=***&a=2");
    }
}
