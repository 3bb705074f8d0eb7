//! The rules for every request, whichever protocol brought it: one check, behind the reader of
//! HTTP/1 and that of HTTP/2.
//!
//! `framing` has looked at the bytes of HTTP/1 by then, because hyper repairs some of them and
//! answers others by itself. Of HTTP/2, the library has refused what it knows to be malformed; what
//! it lets pass and HTTP/1 cannot express is looked for here. [`Target`](super::target::Target)
//! says what a target has to be.

use http::header::{CONTENT_LENGTH, HOST, HeaderMap};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version};

use super::refusal::Refusal;
use crate::framing::Violation;
use crate::framing::grammar::decimal;
use crate::framing::parsed::{check_fields, line_length};
use settings::LimitSettings;

/// Looks at a complete head whose cookies are in one field.
pub fn check(parts: &Parts, limits: &LimitSettings) -> Result<(), Refusal> {
    let fields = &parts.headers;
    if !is_served(&parts.method) {
        return Err(Refusal::MethodNotAllowed);
    }
    if parts.version == Version::HTTP_2 {
        check_size(parts, limits.max_header_bytes)?;
        check_fields(fields)?;
    }
    if fields.len() > limits.max_headers {
        return Err(Violation::TooManyFields.into());
    }
    check_length(fields)?;
    Ok(())
}

/// `PRI` is for the preface of HTTP/2 alone (RFC 9113 §11.6).
fn is_served(method: &Method) -> bool {
    *method != Method::CONNECT && *method != Method::TRACE && method.as_str() != "PRI"
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
//# a recipient of a Content-Length header field value consisting of the
//# same decimal value repeated as a comma-separated list [...] MUST
//# either reject the message as invalid or replace the duplicated
//# field values
fn check_length(fields: &HeaderMap) -> Result<(), Violation> {
    let mut lines = fields.get_all(CONTENT_LENGTH).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if decimal(length.as_bytes()).is_some() => Ok(()),
        (Some(_), _) => Err(Violation::ContentLength),
    }
}

/// Counts the bytes that the head would have in HTTP/1: the limit is one.
fn check_size(parts: &Parts, bytes_max: usize) -> Result<(), Violation> {
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let first = parts.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
    if first > bytes_max {
        return Err(Violation::TargetTooLong);
    }
    let host = parts.uri.authority().filter(|_| !parts.headers.contains_key(HOST));
    let host = host.map(Authority::as_str).map_or(0, |host| host.len() + "host: \r\n".len());
    let lines = parts.headers.iter().map(line_length).sum::<usize>();
    let is_too_large = first + host + lines + "\r\n".len() > bytes_max;
    if is_too_large { Err(Violation::HeadTooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};
    use http::{Request, Uri};

    use super::*;

    fn parts(method: &str, version: Version, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = Uri::from_static("http://a/b");
        *request.version_mut() = version;
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    fn refusal(parts: &Parts) -> Option<Refusal> {
        let limits =
            LimitSettings { max_header_bytes: 100, max_headers: 3, ..LimitSettings::default() };
        check(parts, &limits).err()
    }

    #[test]
    fn the_version_makes_no_difference_to_what_is_refused() {
        let long = "0123456789";
        for (method, fields, expected) in [
            ("GET", &[][..], None),
            ("POST", &[("content-length", "5")], None),
            ("CONNECT", &[], Some(Refusal::MethodNotAllowed)),
            ("TRACE", &[], Some(Refusal::MethodNotAllowed)),
            ("PRI", &[], Some(Refusal::MethodNotAllowed)),
            (
                "POST",
                &[("content-length", "5"), ("content-length", "5")],
                Some(Violation::ContentLength.into()),
            ),
            ("POST", &[("content-length", "5, 5")], Some(Violation::ContentLength.into())),
            ("POST", &[("content-length", "+5")], Some(Violation::ContentLength.into())),
            ("GET", &[("x", "1"), ("x", "2"), ("y", "1")], None),
            (
                "GET",
                &[("x", "1"), ("x", "2"), ("x", "3"), ("x", long)],
                Some(Violation::TooManyFields.into()),
            ),
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                assert_eq!(refusal(&parts(method, version, fields)), expected, "{fields:?}");
            }
        }
    }

    #[test]
    fn what_http_1_cannot_express_is_refused_over_http_2() {
        let long = "0123456789012345678901234567890123456789012345678901234567890123456789";
        for (field, expected) in [
            (("x", "1"), None),
            (("x", " 1"), Some(Violation::FieldValue)),
            (("x", "1\t"), Some(Violation::FieldValue)),
            (("x", long), Some(Violation::HeadTooLarge)),
        ] {
            let refused = refusal(&parts("GET", Version::HTTP_2, &[field]));
            assert_eq!(refused, expected.map(Refusal::from), "{field:?}");
        }
        let mut quoted = parts("GET", Version::HTTP_2, &[]);
        let name = HeaderName::from_lowercase(b"\"x\"").unwrap();
        quoted.headers.insert(name, HeaderValue::from_static("1"));
        assert_eq!(refusal(&quoted), Some(Violation::FieldName.into()));
    }

    #[test]
    fn a_head_has_the_size_that_it_has_in_http_1() {
        let text = "GET /b HTTP/1.1\r\nhost: a\r\nx: 1\r\n\r\n";
        let head = parts("GET", Version::HTTP_2, &[("x", "1")]);
        assert_eq!(check_size(&head, text.len()), Ok(()));
        assert_eq!(check_size(&head, text.len() - 1), Err(Violation::HeadTooLarge));
        assert_eq!(check_size(&head, 10), Err(Violation::TargetTooLong));
    }
}
