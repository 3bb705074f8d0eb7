//! `ContentForm`: the form in which content is stored, and the fields that go with it.

use http::HeaderMap;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, VARY,
};
use settings::Coding;

use super::{ALL, etags, name};

/// The form of stored content. A stored head says it in `FORM`, which no client is shown and no
/// origin can send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentForm {
    #[default]
    AsReceived,
    /// As it was received; compressed forms of it may be stored beside it.
    Compressible,
    /// Compressed by this proxy.
    Compressed(Coding),
}

impl ContentForm {
    /// Returns the form of content with this stored head.
    pub fn of(head: &HeaderMap) -> Self {
        let Some(mark) = head.get(FORM) else { return Self::AsReceived };
        let coding = mark.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        let coding = ALL.into_iter().find(|known| name(*known).as_bytes() == coding);
        coding.map_or(Self::Compressible, Self::Compressed)
    }

    /// Makes the head of this form of what was received with this head. Not shown to clients is
    /// what [`Self::restore`] needs.
    pub fn describe(self, head: &mut HeaderMap) {
        let Self::Compressed(coding) = self else {
            if self == Self::Compressible {
                head.insert(FORM, HeaderValue::from_static(COMPRESSIBLE));
                vary_on_encoding(head);
            }
            return;
        };
        let tag = head.get(ETAG).cloned();
        let mark =
            [name(coding).as_bytes(), b" ", tag.as_ref().map_or(&b""[..], |tag| tag.as_bytes())];
        show(coding, head);
        if let Ok(mark) = HeaderValue::from_bytes(&mark.concat()) {
            head.insert(FORM, mark);
        }
    }

    /// Makes the head of this form what was received, but for `Vary` and for digests, which a
    /// compressed form has not.
    pub fn restore(head: &mut HeaderMap) {
        let form = Self::of(head);
        let Some(mark) = head.remove(FORM) else { return };
        if let Self::Compressed(_) = form {
            head.remove(CONTENT_ENCODING);
            let tag = mark.as_bytes().iter().position(|byte| *byte == b' ');
            let tag = tag.and_then(|space| mark.as_bytes().get(space + 1..));
            match tag.filter(|tag| !tag.is_empty()).map(HeaderValue::from_bytes) {
                Some(Ok(tag)) => drop(head.insert(ETAG, tag)),
                _ => drop(head.remove(ETAG)),
            }
        }
    }
}

/// Makes the head that a client gets with the compressed form of content with this head.
pub fn show(coding: Coding, head: &mut HeaderMap) {
    for name in OF_THE_PLAIN_BYTES {
        head.remove(name);
    }
    head.insert(CONTENT_ENCODING, HeaderValue::from_static(name(coding)));
    vary_on_encoding(head);
    if let Some(tag) = head.get(ETAG) {
        match etags::coded(tag, coding) {
            Some(tag) => drop(head.insert(ETAG, tag)),
            None => drop(head.remove(ETAG)),
        }
    }
}

/// Adds `Accept-Encoding` to `Vary`, unless it is there.
pub fn vary_on_encoding(head: &mut HeaderMap) {
    if !varies_on_encoding(head) {
        head.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Returns whether `Vary` names `Accept-Encoding`, or everything.
pub fn varies_on_encoding(head: &HeaderMap) -> bool {
    let lines = head.get_all(VARY).into_iter().map(HeaderValue::as_bytes);
    let mut members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    members.any(|member| {
        let member = member.trim_ascii();
        member == b"*" || member.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str().as_bytes())
    })
}

/// The field of a stored head that says its form: `plain`, or a coding and the origin's entity tag.
pub const FORM: HeaderName = HeaderName::from_static("shellac-form");

/// The field of the stored head of a compressed form that has a hash of the plain content.
pub const MADE_OF: HeaderName = HeaderName::from_static("shellac-made-of");

const COMPRESSIBLE: &str = "plain";

/// Fields that are wrong once the bytes are others.
const OF_THE_PLAIN_BYTES: [HeaderName; 4] = [
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn the_head_of_a_compressed_form_describes_its_own_bytes() {
        let mut coded = head(&[
            ("etag", r#""a""#),
            ("content-type", "text/html"),
            ("content-length", "5"),
            ("content-md5", "x"),
            ("content-digest", "sha-256=:x:"),
            ("repr-digest", "sha-256=:x:"),
            ("vary", "Cookie"),
        ]);
        ContentForm::Compressed(Coding::Br).describe(&mut coded);
        let expected = head(&[
            ("etag", r#"W/"a~br""#),
            ("content-type", "text/html"),
            ("content-encoding", "br"),
            ("vary", "Cookie"),
            ("vary", "Accept-Encoding"),
            ("shellac-form", r#"br "a""#),
        ]);
        assert_eq!(coded, expected);
        assert_eq!(ContentForm::of(&coded), ContentForm::Compressed(Coding::Br));
    }

    #[test]
    fn the_origins_tag_comes_back_from_every_form() {
        for tag in [Some(r#""a""#), Some(r#"W/"a b""#), Some("site-1"), None] {
            for form in
                [ContentForm::Compressible].into_iter().chain(ALL.map(ContentForm::Compressed))
            {
                let mut fields =
                    head(&[("content-type", "text/html"), ("vary", "accept-encoding")]);
                fields.extend(tag.map(|tag| (ETAG, HeaderValue::from_static(tag))));
                let received = fields.clone();
                form.describe(&mut fields);
                assert_eq!(ContentForm::of(&fields), form);
                ContentForm::restore(&mut fields);
                assert_eq!(fields, received, "{form:?}");
            }
        }
    }

    #[test]
    fn vary_names_the_field_once() {
        for vary in ["*", "Accept-Encoding", "Cookie, ACCEPT-encoding"] {
            let mut fields = head(&[]);
            fields.insert(VARY, HeaderValue::from_static(vary));
            vary_on_encoding(&mut fields);
            assert_eq!(fields.get_all(VARY).iter().count(), 1, "{vary}");
        }
    }
}
