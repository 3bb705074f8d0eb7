//! Entity tags of compressed forms: `"a"` becomes `W/"a~br"`, and back where a client asks with it.
//!
//! The form is another representation with other bytes, so it has another tag (RFC 9110 §8.8.3.3);
//! a weak one, because the same content compressed again may have other bytes.

use http::HeaderMap;
use http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use settings::Coding;

use super::{ALL, name};

/// Returns the entity tag of the compressed form of what has this one.
pub fn coded(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let bytes = tag.as_bytes().trim_ascii();
    let opaque = bytes.strip_prefix(b"W/").unwrap_or(bytes);
    let opaque = opaque.strip_prefix(b"\"").unwrap_or(opaque);
    let opaque = opaque.strip_suffix(b"\"").unwrap_or(opaque);
    let name = name(coding).as_bytes();
    HeaderValue::from_bytes(&[b"W/\"", opaque, b"~", name, b"\""].concat()).ok()
}

/// Adds the origin's own tags to those of compressed forms in a client's preconditions, for a
/// request that the origin evaluates. Ours stay: the origin may be a cache like this one.
///
/// The strength of the origin's tag is not known. `If-None-Match` compares weakly: both are listed,
/// for origins that compare bytes. `If-Match` compares strongly: only a strong one could match.
pub fn add_origins(fields: &mut HeaderMap) {
    add_in(fields, &IF_NONE_MATCH, |opaque| [b"\"", opaque, b"\", W/\"", opaque, b"\""].concat());
    add_in(fields, &IF_MATCH, |opaque| [b"\"", opaque, b"\""].concat());
}

/// Gives a 304 of the origin the tag that its client asked with, if that is of a compressed form.
/// Returns whether it is.
pub fn show_in_304(request: &HeaderMap, response: &mut HeaderMap) -> bool {
    let Some(tag) = response.get(ETAG) else { return false };
    let lines = request.get_all(IF_NONE_MATCH).into_iter().map(HeaderValue::as_bytes);
    let mut asked = lines.flat_map(members).filter(|member| origins(member).is_some());
    let known = asked.find_map(|member| {
        let mut forms = ALL.into_iter().filter_map(|coding| coded(tag, coding));
        forms.find(|form| form.as_bytes() == member)
    });
    known.map(|known| response.insert(ETAG, known)).is_some()
}

fn add_in(fields: &mut HeaderMap, name: &HeaderName, written: impl Fn(&[u8]) -> Vec<u8>) {
    let is_coded = |line: &HeaderValue| members(line.as_bytes()).any(|tag| origins(tag).is_some());
    if !fields.get_all(name).iter().any(is_coded) {
        return;
    }
    let lines: Vec<HeaderValue> = fields.get_all(name).iter().cloned().collect();
    fields.remove(name);
    for line in lines {
        let tags = members(line.as_bytes()).map(|tag| match origins(tag) {
            Some(opaque) => [tag, b", ", &written(opaque)].concat(),
            None => tag.to_vec(),
        });
        let text = tags.collect::<Vec<_>>().join(&b", "[..]);
        fields.append(name, HeaderValue::from_bytes(&text).unwrap_or(line));
    }
}

/// Returns what is between the quotes of the origin's tag, if this is one of ours.
fn origins(member: &[u8]) -> Option<&[u8]> {
    let opaque = member.strip_prefix(b"W/\"")?.strip_suffix(b"\"")?;
    ALL.into_iter()
        .find_map(|coding| opaque.strip_suffix(name(coding).as_bytes())?.strip_suffix(b"~"))
}

/// Splits a list at commas outside of quotes.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    #[test]
    fn a_form_has_a_weak_tag_of_its_own() {
        for (tag, expected) in [
            (r#""a""#, r#"W/"a~br""#),
            (r#"W/"a""#, r#"W/"a~br""#),
            ("site-1", r#"W/"site-1~br""#),
            (r#""a,b""#, r#"W/"a,b~br""#),
        ] {
            assert_eq!(coded(&value(tag), Coding::Br).unwrap(), expected);
        }
    }

    #[test]
    fn the_origin_is_asked_by_its_own_tags_as_well() {
        for (field, asked, expected) in [
            ("if-none-match", r#"W/"a~gzip""#, r#"W/"a~gzip", "a", W/"a""#),
            ("if-none-match", r#""x", W/"a,b~br""#, r#""x", W/"a,b~br", "a,b", W/"a,b""#),
            ("if-none-match", r#""a~br""#, r#""a~br""#),
            ("if-none-match", r#"W/"a""#, r#"W/"a""#),
            ("if-none-match", "*", "*"),
            ("if-none-match", r#"W/"a~b"#, r#"W/"a~b"#),
            ("if-match", r#"W/"a~br", "c""#, r#"W/"a~br", "a", "c""#),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(HeaderName::from_static(field), value(asked));
            add_origins(&mut fields);
            assert_eq!(fields[field], expected, "{asked}");
        }
    }

    #[test]
    fn a_304_shows_the_tag_that_its_client_asked_with() {
        for (asked, expected) in [
            (r#"W/"x~br", W/"a~zstd""#, r#"W/"a~zstd""#),
            (r#"W/"b~zstd""#, r#""a""#),
            (r#""a""#, r#""a""#),
        ] {
            let request = HeaderMap::from_iter([(IF_NONE_MATCH, value(asked))]);
            let mut response = HeaderMap::from_iter([(ETAG, value(r#""a""#))]);
            let is_shown = show_in_304(&request, &mut response);
            assert_eq!(
                (response[ETAG].as_bytes(), is_shown),
                (expected.as_bytes(), expected.starts_with('W'))
            );
        }
    }
}
