//! `_rsc`: the parameter by which requests for the data of a Next.js page are told apart.
//!
//! Since 16.3, Next.js compares it with the fields that select the data, and answers 307 where they
//! do not fit. It is the first 12 bytes of SHA-256 over `next-router-prefetch`,
//! `next-router-segment-prefetch`, `next-router-state-tree` and `next-url`, with commas between
//! them and `0` for one that is absent, in base64url; empty where all are absent.
//!
//! In the key `next-url` counts as absent: it is the page that a visitor comes from. Only routes
//! that others intercept look at it, and say so in `Vary`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;

/// Returns a target with the parameter as the key holds it.
pub fn of_key(target: &str, fields: &HeaderMap) -> String {
    with_parameter(target, &value(fields, None))
}

/// Returns a target with the parameter that fits the fields of a message to the origin.
pub fn of_message(target: &str, fields: &HeaderMap) -> String {
    with_parameter(target, &value(fields, field(fields, "next-url")))
}

fn value(fields: &HeaderMap, next_url: Option<&[u8]>) -> String {
    let prefetch = field(fields, "next-router-prefetch");
    let prefetch = prefetch.filter(|value| [b"1", b"2", b"3"].iter().any(|known| *value == *known));
    let [segment, tree] =
        ["next-router-segment-prefetch", "next-router-state-tree"].map(|name| field(fields, name));
    let parts = [prefetch, segment, tree, next_url];
    if parts.iter().all(Option::is_none) {
        return String::new();
    }
    let text = parts.map(|part| part.unwrap_or(b"0")).join(&b","[..]);
    let hash = digest(&SHA256, &text);
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..HASH_BYTES).unwrap_or_default())
}

fn field<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    fields.get(name).map(http::HeaderValue::as_bytes).filter(|value| !value.is_empty())
}

fn with_parameter(target: &str, value: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_other = |piece: &&str| !piece.is_empty() && piece.split('=').next() != Some(PARAMETER);
    let mut pieces: Vec<&str> = query.split('&').filter(is_other).collect();
    let own = if value.is_empty() { PARAMETER.to_owned() } else { format!("{PARAMETER}={value}") };
    pieces.push(&own);
    format!("{path}?{}", pieces.join("&"))
}

const PARAMETER: &str = "_rsc";
const HASH_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn without_fields_the_parameter_is_there_and_empty() {
        assert_eq!(of_key("/p", &fields(&[])), "/p?_rsc");
        assert_eq!(of_key("/p?_rsc=abc&a=1&_rsc", &fields(&[])), "/p?a=1&_rsc");
    }

    #[test]
    fn the_page_that_a_visitor_comes_from_is_in_the_message_and_not_in_the_key() {
        let [one, other] =
            ["/a", "/b"].map(|from| fields(&[("next-url", from), ("next-router-prefetch", "1")]));
        assert_eq!(of_key("/p", &one), of_key("/p", &other));
        assert_ne!(of_message("/p", &one), of_message("/p", &other));
        let unknown = fields(&[("next-router-prefetch", "7")]);
        assert_eq!(of_message("/p", &unknown), "/p?_rsc");
    }

    #[test]
    fn the_hash_is_of_all_four_in_base64url() {
        // printf '1,0,0,0' | sha256sum | cut -c-24 | xxd -r -p | base64 | tr +/ -_
        let signed = of_message("/p", &fields(&[("next-router-prefetch", "1")]));
        assert_eq!(signed, "/p?_rsc=HEAvJdHAQJrUAe2K");
    }
}
