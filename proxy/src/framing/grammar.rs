//! The bytes that may stand in each part of a request, whichever protocol brought it (RFC 9110 §5,
//! RFC 3986 §3).

use http::{Method, Uri};

/// Reads `1*DIGIT` of at most 19 digits: 2^63 and more are no length.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number =
        !digits.is_empty() && digits.len() < 20 && digits.iter().all(u8::is_ascii_digit);
    let fold = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let number = is_number.then(|| digits.iter().try_fold(0, fold)).flatten();
    number.filter(|number| *number <= LENGTH_MAX)
}

pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

pub(super) const fn is_token_byte(byte: u8) -> bool {
    has_class(byte, TOKEN)
}

#[expect(clippy::indexing_slicing, reason = "there is an entry for every byte")]
const fn has_class(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const PLAIN_HOST: u8 = 8;

/// The classes of each byte: looked up, because a head has hundreds.
#[expect(clippy::indexing_slicing, reason = "there is an entry for every byte")]
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        let is_token = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        let is_query = byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'"');
        let is_path = is_query && !matches!(byte, b'`' | b'\\');
        let is_plain_host =
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        classes[byte as usize] = (TOKEN * is_token as u8)
            | (PATH * is_path as u8)
            | (QUERY * is_query as u8)
            | (PLAIN_HOST * is_plain_host as u8);
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

/// Browsers send some bytes raw that RFC 3986 has encoded: `|` and `{`, and in queries a backslash,
/// too. In a path that is read as `/` by some, and sent by nobody who means well.
///
/// Every byte is looked up without stopping at a wrong one: most targets have none, and this is
/// read with every request.
pub(crate) fn has_target_bytes(target: &[u8]) -> bool {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at_checked(end).unwrap_or((target, &[]));
    common_classes(path) & PATH != 0 && common_classes(query) & QUERY != 0
}

/// Returns whether this is a name in lower case without a port, as most hosts are sent. Which dots
/// it may have is not looked at.
pub(crate) fn is_plain_host(host: &[u8]) -> bool {
    common_classes(host) & PLAIN_HOST != 0
}

#[expect(clippy::indexing_slicing, reason = "there is an entry for every byte")]
fn common_classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(u8::MAX, |common, byte| common & CLASSES[*byte as usize])
}

/// Returns whether there is a control byte but those that heads have: HTAB, CR and LF. Looks at
/// every byte without stopping, so that the compiler can take many at once.
pub(crate) fn has_control(value: &[u8]) -> bool {
    value.iter().fold(0, |found, byte| found | u8::from(is_control(*byte))) != 0
}

/// Returns how many control bytes there are, HTAB, CR and LF among them. The chunks are short
/// enough for a sum of one byte, of which the compiler adds many at once.
pub(super) fn control_count(bytes: &[u8]) -> usize {
    let in_chunk = |chunk: &[u8]| {
        chunk.iter().fold(0_u8, |sum, byte| sum.wrapping_add(u8::from(byte.is_ascii_control())))
    };
    bytes.chunks(128).map(|chunk| usize::from(in_chunk(chunk))).sum()
}

const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\r' && byte != b'\n') || byte == 0x7f
}

/// Returns whether these make a request line: a last look before one is written (RFC 9112 §3).
pub(crate) fn is_request_line(method: &Method, uri: &Uri) -> bool {
    let is_form = match uri.path() {
        "*" => *method == Method::OPTIONS && uri.query().is_none(),
        path => path.starts_with('/'),
    };
    let is_origin_form = uri.scheme().is_none() && uri.authority().is_none();
    let has_bytes = |path: &str| has_target_bytes(path.as_bytes());
    is_form
        && is_origin_form
        && is_token(method.as_str().as_bytes())
        && uri.path_and_query().is_some_and(|path| has_bytes(path.as_str()))
}

/// Content of 2^63 bytes and more ends never; hyper reserves the largest numbers for its own use.
const LENGTH_MAX: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_line_is_written() {
        use http::uri::PathAndQuery;

        let line = |method: &str, uri: &Uri| is_request_line(&method.parse().unwrap(), uri);
        for (method, target, expected) in [
            ("GET", "/", true),
            ("GET", "/a?b", true),
            ("OPTIONS", "*", true),
            ("GET", "*", false),
            ("GET", "http://a/", false),
            ("GET", "a", false),
            ("GET", "/\"", false),
            ("GET", "/\u{e9}", false),
        ] {
            assert_eq!(line(method, &target.parse().unwrap()), expected, "{method} {target}");
        }
        let empty = PathAndQuery::try_from("#x").unwrap();
        assert!(!line("GET", &Uri::from(empty)));
    }
}
