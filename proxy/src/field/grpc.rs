//! Calls of gRPC over HTTP/2: how they are recognised, and their deadlines.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName};

/// Returns whether a request is a call: its content type is `application/grpc`, with or without the
/// name of a coding.
pub fn is_call(fields: &HeaderMap) -> bool {
    let Some(media_type) = fields.get(CONTENT_TYPE) else { return false };
    let media_type = media_type.as_bytes();
    let Some((start, rest)) = media_type.split_at_checked(MEDIA_TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(MEDIA_TYPE) && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// Returns the time that `grpc-timeout` gives a call: up to eight digits and a unit.
pub fn deadline(fields: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = fields.get(GRPC_TIMEOUT)?.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_hours(count),
        b'M' => Duration::from_mins(count),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

const MEDIA_TYPE: &[u8] = b"application/grpc";
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for (media_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            let value = HeaderValue::from_static(media_type);
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            assert_eq!(is_call(&fields), expected, "{media_type}");
        }
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn a_deadline_has_a_number_and_a_unit() {
        for (value, expected) in [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("3S", Some(3_000_000_000)),
            ("4m", Some(4_000_000)),
            ("5u", Some(5_000)),
            ("99999999n", Some(99_999_999)),
            ("99999999H", Some(359_999_996_400_000_000_000)),
            ("100000000n", None),
            ("S", None),
            ("-1S", None),
            ("1s", None),
            ("1", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(value);
            let fields = HeaderMap::from_iter([(GRPC_TIMEOUT, value.clone())]);
            let nanos = deadline(&fields).map(|deadline| deadline.as_nanos());
            assert_eq!(nanos, expected, "{value:?}");
        }
    }
}
