//! `Range` and `If-Range`: a content length on the first line, then the request's fields.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use shellac::testing::field::range::{ByteRange, RANGES_MAX, unsatisfied_range};
use shellac::testing::response::conditional::Validators;
use shellac::testing::response::range::{Ranges, evaluate};

use super::head::{NOW, fields, split_line};

pub(crate) fn run(data: &[u8]) {
    let (length, request) = split_line(data);
    let length: u64 =
        std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let request = fields(request);
    let mut stored = HeaderMap::new();
    stored.insert("etag", HeaderValue::from_static("\"a\""));
    stored.insert("last-modified", HeaderValue::from_static("Sun, 06 Nov 1994 08:39:37 GMT"));
    stored.insert("date", HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
    let of =
        |method, status| evaluate(&method, &request, status, &Validators::of(&stored, NOW), length);

    match of(Method::GET, StatusCode::OK) {
        Ranges::Whole => {}
        Ranges::Unsatisfiable => {
            assert_eq!(unsatisfied_range(length), format!("bytes */{length}"));
        }
        Ranges::Single(part) => lies_within(part, length),
        Ranges::Multiple(parts) => {
            assert!((2..=RANGES_MAX).contains(&parts.len()));
            parts.iter().for_each(|part| lies_within(*part, length));
            let sum: u128 = parts.iter().map(|part| u128::from(part.len())).sum();
            assert!(sum < u128::from(length), "the parts are more than the whole");
        }
    }
    assert_eq!(of(Method::HEAD, StatusCode::OK), Ranges::Whole);
    assert_eq!(of(Method::GET, StatusCode::NOT_FOUND), Ranges::Whole);
    if request.get("if-range").is_some_and(|condition| condition.as_bytes().starts_with(b"W/")) {
        assert_eq!(of(Method::GET, StatusCode::OK), Ranges::Whole, "a weak tag joined parts");
    }
}

fn lies_within(part: ByteRange, length: u64) {
    assert!(part.first() <= part.last() && part.last() < length);
    assert_eq!(part.len(), part.last() - part.first() + 1);
    let field = part.content_range(length);
    let numbers: Vec<u64> = field
        .to_str()
        .expect("it is text")
        .trim_start_matches("bytes ")
        .split(['-', '/'])
        .map(|number| number.parse().expect("it is a number"))
        .collect();
    assert_eq!(numbers, [part.first(), part.last(), length]);
}
