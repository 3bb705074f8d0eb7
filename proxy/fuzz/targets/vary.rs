//! `Vary` and selecting fields: a response head, an empty line, a request head, an empty line,
//! another request head.

use http::header::{ACCEPT_ENCODING, COOKIE, VARY};
use http::{HeaderMap, HeaderValue};
use shellac::testing::key::vary::{Variant, normalize_accept_encoding};

use super::head::{fields, split_at_empty_line};

pub(crate) fn run(data: &[u8]) {
    let (response, requests) = split_at_empty_line(data);
    let (one, two) = split_at_empty_line(requests);
    let [response, one, two] = [response, one, two].map(fields);
    normalising_is_idempotent(&one);
    let Ok(first) = Variant::of(&response, &one, &[]) else {
        assert!(
            Variant::of(&response, &two, &[]).is_err(),
            "whether it may be reused depends on the request"
        );
        return;
    };
    let second = Variant::of(&response, &two, &[]).expect("as above");
    let (Some(first), Some(second)) = (&first, &second) else {
        assert_eq!(first, second);
        return;
    };
    assert!(first.matches(&one) && second.matches(&two));
    assert_eq!(first.matches(&two), first == second);
    assert_eq!(first.matches(&two), second.matches(&one));
    assert_eq!(first.selection_of(&two), second.hash());
    assert_eq!(first.selection_of(&one), first.hash());
    assert_eq!(first.matches(&two), selects_the_same(&response, &one, &two));

    let mut normalised = one;
    normalize_accept_encoding(&mut normalised);
    assert!(first.matches(&normalised), "what is forwarded is another variant");
}

fn normalising_is_idempotent(request: &HeaderMap) {
    let mut once = request.clone();
    normalize_accept_encoding(&mut once);
    let mut twice = once.clone();
    normalize_accept_encoding(&mut twice);
    assert_eq!(once, twice);
}

/// RFC 9111 §4.1 said slowly: every named field has the same members in both requests.
fn selects_the_same(response: &HeaderMap, one: &HeaderMap, two: &HeaderMap) -> bool {
    let normal = |request: &HeaderMap| {
        let mut request = request.clone();
        normalize_accept_encoding(&mut request);
        request
    };
    let (one, two) = (normal(one), normal(two));
    let names =
        response.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names
        .filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok())
        .map(str::to_ascii_lowercase)
        .filter(|name| !KEYED.contains(&name.as_str()) && !name.is_empty())
        .all(|name| members(&one, &name) == members(&two, &name))
}

const KEYED: [&str; 3] = ["host", "x-forwarded-host", "x-forwarded-proto"];

fn members(request: &HeaderMap, name: &str) -> Option<Vec<Vec<u8>>> {
    let is_present = request.contains_key(name);
    let is_whole = name == COOKIE.as_str();
    let lines = request.get_all(name).iter().map(HeaderValue::as_bytes);
    let all: Vec<Vec<u8>> = lines
        .flat_map(|line| line.split(|byte| *byte == b',' && !is_whole))
        .map(|member| member.trim_ascii().to_vec())
        .filter(|member| !member.is_empty())
        .collect();
    (is_present && !(name == ACCEPT_ENCODING.as_str() && all.is_empty())).then_some(all)
}
