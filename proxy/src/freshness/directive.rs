//! The grammar of cache directives (RFC 9111 §5.2): `#( token [ "=" ( token / quoted-string ) ] )`.
//!
//! A reader for hostile bytes. It never fails: what is not a directive is skipped, and an argument
//! that breaks the grammar is reported as such, so that `private` with a broken list is still
//! `private`. No unescaping: neither digits nor field names contain a backslash.

use http::header::{AsHeaderName, HeaderMap, HeaderValue};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// In the case it was sent in; compare with [`Directive::is`].
    pub(crate) name: &'a [u8],
    pub(crate) argument: Argument<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    Absent,
    /// A token, or the inside of a quoted string.
    Text(&'a [u8]),
    Malformed,
}

impl Directive<'_> {
    /// Returns whether the directive has this name; names are case-insensitive (RFC 9111 §5.2).
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Returns the directives of every line of a field, in the order received.
pub(crate) fn directives<N: AsHeaderName>(
    headers: &HeaderMap,
    field: N,
) -> impl Iterator<Item = Directive<'_>> {
    headers
        .get_all(field)
        .into_iter()
        .map(HeaderValue::as_bytes)
        .flat_map(members)
        .filter_map(parse)
}

/// Splits a list at its commas (RFC 9110 §5.6.1), except those inside a quoted string.
///
/// A quote that is never closed quotes nothing: otherwise `x="a, no-store` would hide its
/// `no-store`. No quote after it is closed either, so that the end is looked for only once and the
/// time is linear.
pub(crate) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    let mut has_quoted = true;
    std::iter::from_fn(move || {
        let list = rest?;
        let end = member_end(list, &mut has_quoted);
        let (member, tail) = list.split_at_checked(end)?;
        rest = tail.split_first().map(|(_comma, next)| next);
        Some(member.trim_ascii())
    })
}

fn member_end(list: &[u8], has_quoted: &mut bool) -> usize {
    let mut position = 0;
    while let Some((&byte, rest)) = list.get(position..).and_then(<[u8]>::split_first) {
        let quoted = (byte == b'"' && *has_quoted).then(|| quoted_length(rest));
        position += match (byte, quoted) {
            (b',', _) => return position,
            (_, Some(Some(length))) => length + 2,
            (_, Some(None)) => {
                *has_quoted = false;
                1
            }
            (_, None) => 1,
        };
    }
    list.len()
}

/// Returns the length of a quoted string's inside, given what follows its opening quote (RFC 9110
/// §5.6.4).
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Reads one member of a list; without a name it is none.
pub(crate) fn parse(member: &[u8]) -> Option<Directive<'_>> {
    let name_end = member.iter().position(|byte| !is_tchar(*byte)).unwrap_or(member.len());
    let (name, rest) = member.split_at_checked(name_end)?;
    let argument = match rest.split_first() {
        None => Argument::Absent,
        Some((b'=', text)) => argument(text),
        Some(_) => Argument::Malformed,
    };
    (!name.is_empty()).then_some(Directive { name, argument })
}

fn argument(text: &[u8]) -> Argument<'_> {
    let quoted = text.strip_prefix(b"\"").map(|inside| inside.strip_suffix(b"\""));
    match quoted {
        Some(Some(inside)) if quoted_length(inside).is_none() => Argument::Text(inside),
        None if !text.is_empty() && text.iter().copied().all(is_tchar) => Argument::Text(text),
        Some(_) | None => Argument::Malformed,
    }
}

/// A character of a token (RFC 9110 §5.6.2).
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::CACHE_CONTROL;
    use proptest::prelude::{any, proptest};

    use super::{Argument, directives, members, parse};

    fn split(list: &str) -> Vec<&str> {
        members(list.as_bytes()).map(|member| std::str::from_utf8(member).unwrap()).collect()
    }

    #[test]
    fn a_comma_inside_quotes_does_not_separate() {
        assert_eq!(split(r#"private="a, b", max-age=1"#), [r#"private="a, b""#, "max-age=1"]);
        assert_eq!(split(r#"x="a\", b", y"#), [r#"x="a\", b""#, "y"]);
        assert_eq!(split(" , a ,, b,"), ["", "a", "", "b", ""]);
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_nothing() {
        assert_eq!(split(r#"x="a, no-store"#), [r#"x="a"#, "no-store"]);
        assert_eq!(split(r#"x="a\", no-store"#), [r#"x="a\""#, "no-store"]);
        assert_eq!(split(r#"x="\",\",no-store"#), [r#"x="\""#, r#"\""#, "no-store"]);
    }

    #[test]
    fn a_long_list_of_open_quotes_takes_linear_time() {
        let list = [&b"\""[..], &br#"\","#.repeat(1 << 20)].concat();
        assert_eq!(members(&list).count(), (1 << 20) + 1);
    }

    #[test]
    fn arguments_are_tokens_or_quoted_strings() {
        for (member, expected) in [
            ("max-age", Argument::Absent),
            ("max-age=60", Argument::Text(b"60")),
            ("max-age=\"60\"", Argument::Text(b"60")),
            ("max-age=\"\"", Argument::Text(b"")),
            ("max-age=", Argument::Malformed),
            ("max-age= 60", Argument::Malformed),
            ("max-age =60", Argument::Malformed),
            ("max-age=\"60", Argument::Malformed),
            ("max-age=60\"", Argument::Malformed),
            ("max-age=\"6\"0\"", Argument::Malformed),
            ("max-age 60", Argument::Malformed),
            ("max-age;60", Argument::Malformed),
        ] {
            let directive = parse(member.as_bytes()).unwrap();
            assert!(directive.is("Max-Age"), "{member}");
            assert_eq!(directive.argument, expected, "{member}");
        }
        assert_eq!(parse(b"=60"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn all_lines_count_in_the_order_received() {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_CONTROL, "a, b=1".parse().unwrap());
        headers.append(CACHE_CONTROL, "c".parse().unwrap());
        let names: Vec<_> =
            directives(&headers, CACHE_CONTROL).map(|directive| directive.name).collect();
        assert_eq!(names, [b"a", b"b", b"c"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_loss(list in any::<Vec<u8>>()) {
            let total: usize = members(&list).map(|member| member.len() + 1).sum();
            assert!(total <= list.len() + 1);
            members(&list).for_each(|member| { parse(member); });
        }
    }
}
