//! Cache deception: a page of one user, stored because its URL looks like a static file.
//!
//! An attacker sends a victim to `/account/x.css`. An origin server that ignores the end of the
//! path answers with the account page, and a rule somewhere before us that goes by the name of
//! files makes it cacheable for all, the attacker included. The response gives it away: no style
//! sheet is an HTML page. Requests are not looked at beyond their path, and nothing is refused:
//! such a response is only not stored.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

/// Returns whether the path names a static file and the response is a page or an answer of an API.
///
/// `path` may have a query, which does not count. Only a 200 can be somebody's page.
pub fn is_deceptive(path: &[u8], status: StatusCode, headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).into_iter().map(HeaderValue::as_bytes);
    let mut is_any = |is_dynamic: fn(&[u8]) -> bool| lines.any(|line| is_dynamic(media_type(line)));
    status == StatusCode::OK
        && match file_kind(path) {
            Some(FileKind::Static) => is_any(is_page_or_json),
            Some(FileKind::SourceMap) => is_any(is_page),
            None => false,
        }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Static,
    /// JSON, but no HTML.
    SourceMap,
}

/// Looks at the extension of the last segment, and of each of its parts between semicolons: some
/// origin servers cut a segment at the first one (`/account;x.css`, `/x.css;id=1`).
fn file_kind(path: &[u8]) -> Option<FileKind> {
    let path = path.split(|byte| *byte == b'?').next()?;
    let segment = percent_decoded(path.rsplit(|byte| *byte == b'/').next()?);
    segment.split(|byte| *byte == b';').find_map(kind_of_name)
}

fn kind_of_name(name: &[u8]) -> Option<FileKind> {
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let extension = name.get(dot + 1..)?;
    if extension.eq_ignore_ascii_case(b"map") {
        return Some(FileKind::SourceMap);
    }
    let mut extensions = STATIC_EXTENSIONS.iter();
    let is_static = extensions.any(|known| extension.eq_ignore_ascii_case(known.as_bytes()));
    is_static.then_some(FileKind::Static)
}

/// For the comparison only: in the key and at the origin the path stays as it was written.
fn percent_decoded(segment: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let [first, tail @ ..] = rest {
        let (byte, after) = escape(rest).unwrap_or((*first, tail));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, after @ ..] = text else { return None };
    Some((hex(*high)? << 4 | hex(*low)?, after))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

fn is_page_or_json(media_type: &[u8]) -> bool {
    is_page(media_type) || is_json(media_type)
}

fn is_page(media_type: &[u8]) -> bool {
    let is = |name: &[u8]| media_type.eq_ignore_ascii_case(name);
    is(b"text/html") || is(b"application/xhtml+xml")
}

fn is_json(media_type: &[u8]) -> bool {
    let end = |length| media_type.get(media_type.len().saturating_sub(length)..);
    let is = |name: &[u8]| media_type.eq_ignore_ascii_case(name);
    let has_suffix = end(b"+json".len()).is_some_and(|end| end.eq_ignore_ascii_case(b"+json"));
    is(b"application/json") || is(b"text/json") || has_suffix
}

/// Extensions that are never a page's. `txt`, `xml`, `html` and those without a fixed meaning are
/// absent.
const STATIC_EXTENSIONS: [&str; 24] = [
    "css", "js", "mjs", "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "woff", "woff2",
    "ttf", "otf", "eot", "mp3", "mp4", "webm", "ogg", "pdf", "zip", "gz", "wasm",
];

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::{any, proptest};

    use super::{is_deceptive, percent_decoded};
    use crate::freshness::tests::headers;

    fn is_deceptive_200(path: &str, media_type: &str) -> bool {
        let head = headers(&[("content-type", media_type)]);
        is_deceptive(path.as_bytes(), StatusCode::OK, &head)
    }

    #[test]
    fn a_page_under_the_name_of_a_static_file_is_deceptive() {
        for path in [
            "/account/x.css",
            "/account/X.CSS",
            "/account.js",
            "/account;x.css",
            "/account;a=1;x.css",
            "/x.css;id=1",
            "/account/x.css?y=z",
            "/account/x.css?y=/z.html",
            "/account/x%2ecss",
            "/account/x%2Ecss",
            "/account/x.%63s%73",
            "/account%2Fx.css",
            "/account%3Bx.css",
            "/account%00x.css",
            "/account%23.woff2",
            "/account/.png",
            "/account/a.b.ico",
            "/account/%zz.gif",
            "/x.map",
        ] {
            assert!(is_deceptive_200(path, "text/html; charset=utf-8"), "{path}");
        }
    }

    #[test]
    fn other_paths_may_be_pages() {
        for path in [
            "/",
            "",
            "*",
            "/account",
            "/account/x.html",
            "/account/x.txt",
            "/account/css",
            "/account/x.css/",
            "/x.css/account",
            "/account?x=y.css",
            "/account?x=/y.css",
            "/account/x.csss",
            "/account/x%252ecss",
            "/account/x%2",
            "/account/x.",
        ] {
            assert!(!is_deceptive_200(path, "text/html"), "{path}");
        }
    }

    #[test]
    fn only_pages_and_json_are_dynamic() {
        for (media_type, deceptive) in [
            ("text/html", true),
            (" Text/HTML ;charset=utf-8", true),
            ("application/xhtml+xml", true),
            ("application/json", true),
            ("application/problem+JSON", true),
            ("text/json", true),
            ("text/css", false),
            ("text/plain", false),
            ("image/svg+xml", false),
            ("application/javascript", false),
            ("application/octet-stream", false),
            ("json", false),
            ("", false),
        ] {
            assert_eq!(is_deceptive_200("/x.css", media_type), deceptive, "{media_type}");
        }
        let head = headers(&[("content-type", "text/css"), ("content-type", "text/html")]);
        assert!(is_deceptive(b"/x.css", StatusCode::OK, &head), "one of two lines");
        assert!(!is_deceptive(b"/x.css", StatusCode::OK, &headers(&[])));
    }

    #[test]
    fn a_source_map_is_json_by_right() {
        assert!(!is_deceptive_200("/app.js.map", "application/json"));
        assert!(is_deceptive_200("/app.js.map", "text/html"));
    }

    #[test]
    fn the_page_that_says_that_there_is_no_such_file_is_nobodys_own() {
        let head = headers(&[("content-type", "text/html")]);
        for status in [StatusCode::NOT_FOUND, StatusCode::MOVED_PERMANENTLY] {
            assert!(!is_deceptive(b"/x.css", status, &head), "{status}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_looked_at(path in any::<Vec<u8>>()) {
            assert!(percent_decoded(&path).len() <= path.len());
            is_deceptive(&path, StatusCode::OK, &headers(&[("content-type", "text/html")]));
        }

        #[test]
        fn encoding_hides_nothing(name in "[a-z.]{0,8}\\.(css|png)", which in any::<u16>()) {
            let path: String = name
                .bytes()
                .enumerate()
                .map(|(position, byte)| match which >> position & 1 {
                    0 => char::from(byte).to_string(),
                    _ => format!("%{byte:02x}"),
                })
                .collect();
            assert!(is_deceptive_200(&format!("/a/{path}"), "text/html"), "{path}");
        }
    }
}
