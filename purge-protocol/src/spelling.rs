//! The one spelling of a path under which a purge finds every other (RFC 3986 §6.2.2).
//!
//! A client may write `/caf%C3%A9`, `/caf%c3%a9` or `/c%61f%C3%A9`. They are separate cache
//! entries, because origins may tell them apart and each is forwarded as it was sent; but a purge
//! that names one of them means all. So the mark of a purged URL is that of the normal spelling:
//! escapes of visible ASCII characters are decoded, the others are in upper case. Escapes of `/`,
//! `?`, `#` and `%` stay, as these characters divide a URL; a `%` that begins no escape is `%25`.

use std::borrow::Cow;

/// Returns the normal spelling of a path with its query. Most paths are in it, and are returned as
/// they are.
pub fn normal(path: &[u8]) -> Cow<'_, [u8]> {
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let mut spelled = Vec::with_capacity(path.len());
    spell(path, |bytes| spelled.extend_from_slice(bytes));
    Cow::Owned(spelled)
}

/// Returns whether a path is in its normal spelling.
pub fn is_normal(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).all(|at| {
        let digits = path.get(at + 1..).unwrap_or_default();
        let is_upper = !digits.iter().take(2).any(u8::is_ascii_lowercase);
        is_upper && escape(digits).is_some_and(stays)
    })
}

/// Hands out the normal spelling of a path, piece by piece.
pub fn spell(path: &[u8], mut piece: impl FnMut(&[u8])) {
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (plain, found) = rest.split_at_checked(at).unwrap_or((rest, b""));
        piece(plain);
        let digits = found.get(1..).unwrap_or_default();
        let escaped = escape(digits);
        match escaped {
            Some(byte) if stays(byte) => piece(&escape_of(byte)),
            Some(byte) => piece(&[byte]),
            None => piece(&escape_of(b'%')),
        }
        rest = digits.get(if escaped.is_some() { 2.. } else { 0.. }).unwrap_or_default();
    }
    piece(rest);
}

/// Returns the spellings in which a path is probably stored: as it is written, the normal one, and
/// its escapes in lower and in upper case, each once.
pub fn usual(path: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut spellings = vec![Cow::Borrowed(path)];
    if memchr::memchr(b'%', path).is_some() {
        let cased = |change: fn(&mut u8)| {
            let mut path = path.to_vec();
            let escapes: Vec<_> = memchr::memchr_iter(b'%', &path).collect();
            for at in escapes {
                let digits = path.iter_mut().skip(at + 1).take(2);
                digits.take_while(|digit| digit.is_ascii_hexdigit()).for_each(change);
            }
            Cow::Owned(path)
        };
        let others =
            [normal(path), cased(u8::make_ascii_lowercase), cased(u8::make_ascii_uppercase)];
        for other in others {
            if !spellings.contains(&other) {
                spellings.push(other);
            }
        }
    }
    spellings
}

/// Returns whether a byte is written as an escape in the normal spelling.
const fn stays(byte: u8) -> bool {
    !byte.is_ascii_graphic() || matches!(byte, b'/' | b'?' | b'#' | b'%')
}

/// Percent-encodes what no client can send in a path or query, as browsers do: bytes that are not
/// ASCII, spaces, `<` and `>`. Control characters stay, for the caller to refuse.
pub fn encode(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|byte| !is_encoded(byte)) {
        return Cow::Borrowed(path);
    }
    let mut encoded = Vec::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if is_encoded(byte) {
            encoded.extend_from_slice(&escape_of(byte));
        } else {
            encoded.push(byte);
        }
    }
    Cow::Owned(String::from_utf8(encoded).unwrap_or_default()) // ASCII only
}

const fn is_encoded(byte: u8) -> bool {
    matches!(byte, b' ' | b'<' | b'>' | 0x80..)
}

/// Returns the byte whose two digits stand at the beginning.
fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| {
        let digit = char::from(*digits.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(0)? << 4 | digit(1)?)
}

fn escape_of(byte: u8) -> [u8; 3] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    [b'%', digit(byte >> 4), digit(byte & 0xf)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(path: &str) -> String {
        String::from_utf8(normal(path.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn one_path_has_one_spelling() {
        for path in ["/%d0%bd", "/%D0%BD", "/%D0%bd", &encode("/н")] {
            assert_eq!(spelled(path), "/%D0%BD", "{path}");
        }
        assert_eq!(spelled("/%7euser/it%27s?a=%5b1%5D"), "/~user/it's?a=[1]");
        assert_eq!(spelled("/{id}|%7Bid%7d%7C"), "/{id}|{id}|");
    }

    #[test]
    fn an_escape_that_divides_stays() {
        assert_eq!(spelled("/a%2fb%3F%23%25%20%00"), "/a%2Fb%3F%23%25%20%00");
    }

    #[test]
    fn a_percent_sign_that_begins_no_escape_is_itself() {
        assert_eq!(spelled("/100%"), spelled("/100%25"));
        assert_eq!(spelled("/%4%31%zz"), "/%2541%25zz");
    }

    #[test]
    fn bytes_that_no_client_sends_are_encoded_as_browsers_do() {
        assert_eq!(encode("/café au lait?q=<ü>"), "/caf%C3%A9%20au%20lait?q=%3C%C3%BC%3E");
        assert_eq!(encode("/a|b{c}%C3"), "/a|b{c}%C3");
    }

    #[test]
    fn the_usual_spellings_are_few_and_mean_the_same() {
        let usual = |path: &'static str| {
            let all = usual(path.as_bytes()).into_iter();
            all.map(|path| String::from_utf8(path.into_owned()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(usual("/a?b"), ["/a?b"]);
        assert_eq!(usual("/%D0%bd"), ["/%D0%bd", "/%D0%BD", "/%d0%bd"]);
        assert_eq!(usual("/it%27s%2fx"), ["/it%27s%2fx", "/it's%2Fx", "/it%27s%2Fx"]);
    }

    proptest::proptest! {
        #[test]
        fn the_normal_spelling_is_its_own(path in "/([ -~]|%[0-9a-fA-F]{2}){0,20}") {
            let once = spelled(&path);
            proptest::prop_assert!(is_normal(once.as_bytes()));
            proptest::prop_assert_eq!(spelled(&once), once);
        }

        #[test]
        fn any_bytes_have_a_spelling(path in proptest::collection::vec(0_u8.., 0..40)) {
            drop(normal(&path));
        }
    }
}
