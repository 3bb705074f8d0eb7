//! Compression of responses that the origin sends without a content coding (RFC 9110 §8.4), pure:
//! the coding that a request gets, the responses it is for, and the fields that change with it.
//!
//! ```text
//! request   Accept-Encoding ─► one coding, or none: key and origin see the same   (accepted)
//! response  type, length, Cache-Control ─► compressible or not                     (here)
//!           head of the plain form ─► head of the compressed form, and back        (form, etags)
//!           bytes ─► bytes                                                         (encoder)
//! ```
//!
//! `fetch::encode` runs the encoders, and stores what they make beside the plain form.

pub mod accepted;
pub mod encoder;
pub mod etags;
pub mod form;
pub mod metrics;

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderValue, RANGE,
};
use http::{HeaderName, StatusCode};
use settings::{Coding, CompressionLevels, CompressionMode, CompressionSettings, TypePattern};

use self::accepted::Accepted;

/// The rules of one policy.
#[derive(Clone, Debug)]
pub struct Compression {
    encodings: Vec<Coding>,
    types: Vec<TypePattern>,
    min_bytes: u64,
    max_bytes: u64,
    pub levels: CompressionLevels,
    pub max_running: usize,
}

impl Compression {
    /// Returns the rules; `None` where nothing is compressed.
    pub fn new(settings: &CompressionSettings) -> Option<Self> {
        let CompressionSettings { encodings, types, min_bytes, max_bytes, levels, .. } = settings;
        (settings.mode == CompressionMode::On).then(|| Self {
            encodings: encodings.clone(),
            types: types.clone(),
            min_bytes: *min_bytes,
            max_bytes: *max_bytes,
            levels: *levels,
            max_running: settings.max_running,
        })
    }

    /// Reduces `Accept-Encoding` to the coding that the response gets: the field is in the key, and
    /// forwarded, in this form. Parts are always of the plain form, so that they can be put
    /// together by its strong validator.
    pub fn reduce(&self, fields: &mut HeaderMap) {
        if !fields.contains_key(ACCEPT_ENCODING) {
            return;
        }
        let wants_plain = fields.contains_key(RANGE) || forbids_transforming(fields);
        match Accepted::of(fields).choose(&self.encodings) {
            _ if wants_plain => drop(fields.remove(ACCEPT_ENCODING)),
            accepted::Choice::Plain => drop(fields.remove(ACCEPT_ENCODING)),
            accepted::Choice::Coded(coding) => {
                fields.insert(ACCEPT_ENCODING, HeaderValue::from_static(name(coding)));
            }
            accepted::Choice::Unknown => {}
        }
    }

    /// Returns the coding that a request gets whose field was [reduced](Self::reduce).
    pub fn wanted(&self, fields: &HeaderMap) -> Option<Coding> {
        let field = fields.get(ACCEPT_ENCODING)?.as_bytes();
        self.encodings.iter().copied().find(|coding| name(*coding).as_bytes() == field)
    }

    /// Returns whether a response may be compressed. `length` is that of its whole content, if it
    /// is known.
    pub fn applies_to(&self, status: StatusCode, head: &HeaderMap, length: Option<u64>) -> bool {
        let has_content = !status.is_informational()
            && !matches!(
                status,
                StatusCode::NO_CONTENT
                    | StatusCode::RESET_CONTENT
                    | StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
            );
        let sizes = self.min_bytes.max(1)..=self.max_bytes;
        let is_in_range = length.is_none_or(|length| sizes.contains(&length));
        has_content
            && is_in_range
            && !head.contains_key(CONTENT_ENCODING)
            && !head.contains_key(CONTENT_RANGE)
            && self.includes_type(head)
            && !forbids_transforming(head)
    }

    fn includes_type(&self, head: &HeaderMap) -> bool {
        let mut lines = head.get_all(CONTENT_TYPE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return false };
        let essence = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii().to_ascii_lowercase();
        // Each event or message is to be sent at once, and is small.
        let is_stream = essence == b"text/event-stream" || essence.starts_with(b"application/grpc");
        !is_stream && self.types.iter().any(|pattern| pattern.matches(&essence))
    }
}

/// Returns the name of a coding in `Content-Encoding`.
pub const fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Br => "br",
        Coding::Gzip => "gzip",
        Coding::Zstd => "zstd",
    }
}

pub const ALL: [Coding; 3] = [Coding::Br, Coding::Gzip, Coding::Zstd];

//= https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.6
//# The no-transform response directive indicates that an intermediary
//# (regardless of whether it implements a cache) MUST NOT transform the
//# content, as defined in Section 7.7 of [HTTP].
/// Returns whether a message says `no-transform`.
fn forbids_transforming(fields: &HeaderMap) -> bool {
    let members = |name: HeaderName| {
        let lines = fields.get_all(name).into_iter().map(HeaderValue::as_bytes);
        lines.flat_map(|line| line.split(|byte| *byte == b','))
    };
    members(CACHE_CONTROL).any(|member| member.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Compression {
        let settings = CompressionSettings { mode: CompressionMode::On, ..Default::default() };
        Compression::new(&settings).unwrap()
    }

    fn head(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn nothing_is_compressed_unless_it_is_switched_on() {
        assert!(Compression::new(&CompressionSettings::default()).is_none());
    }

    #[test]
    fn a_request_is_reduced_to_the_one_coding_that_it_gets() {
        for (fields, expected) in [
            (&[][..], None),
            (&[("accept-encoding", "gzip, deflate, br, zstd")], Some("br")),
            (&[("accept-encoding", "gzip, deflate")], Some("gzip")),
            (&[("accept-encoding", "deflate")], None),
            (&[("accept-encoding", "br, gzip"), ("range", "bytes=0-1")], None),
            (&[("accept-encoding", "br"), ("cache-control", "max-age=0, No-Transform")], None),
            (&[("accept-encoding", "identity;q=0, x")], Some("identity;q=0, x")),
        ] {
            let mut request = head(fields);
            on().reduce(&mut request);
            let reduced = request.get("accept-encoding").map(|value| value.to_str().unwrap());
            assert_eq!(reduced, expected, "{fields:?}");
            let wanted = on().wanted(&request).map(name);
            assert_eq!(wanted, expected.filter(|it| ["br", "gzip"].contains(it)), "{fields:?}");
        }
    }

    #[test]
    fn text_of_some_length_is_compressed_and_nothing_else() {
        for (status, fields, length, expected) in [
            (200, &[("content-type", "Text/HTML; charset=utf-8")][..], Some(1024), true),
            (200, &[("content-type", "text/html")], None, true),
            (200, &[("content-type", "text/html")], Some(1023), false),
            (200, &[("content-type", "text/html")], Some((64 << 20) + 1), false),
            (404, &[("content-type", "application/problem+json")], None, true),
            (200, &[("content-type", "image/svg+xml")], None, true),
            (200, &[("content-type", "application/wasm")], None, true),
            (200, &[("content-type", "image/png")], None, false),
            (200, &[("content-type", "text/event-stream")], None, false),
            (200, &[("content-type", "application/grpc+json")], None, false),
            (200, &[], None, false),
            (200, &[("content-type", "text/html"), ("content-type", "text/css")], None, false),
            (200, &[("content-type", "text/css"), ("content-encoding", "gzip")], None, false),
            (
                200,
                &[("content-type", "text/css"), ("cache-control", "a, no-transform")],
                None,
                false,
            ),
            (206, &[("content-type", "text/css")], None, false),
            (204, &[("content-type", "text/css")], None, false),
            (304, &[("content-type", "text/css")], None, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let applies = on().applies_to(status, &head(fields), length);
            assert_eq!(applies, expected, "{status} {fields:?} {length:?}");
        }
    }
}
