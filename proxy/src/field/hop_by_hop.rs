//! Fields that are meant for one connection and must not cross (RFC 9110 §7.6.1). `Trailer` is not
//! among them.

use http::header::{
    CONNECTION, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};

/// Removes the fields that `Connection` names and those that are hop-by-hop anyway.
pub fn remove(fields: &mut HeaderMap) {
    remove_named(fields);
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
}

/// Removes the fields that `Connection` names: before anything is decided by them, so that what
/// enters the key and what the origin sees are the same.
pub fn remove_named(fields: &mut HeaderMap) {
    if fields.contains_key(CONNECTION) {
        let named: Vec<HeaderName> =
            members(fields).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
        for name in named.iter().filter(|name| *name != UPGRADE) {
            fields.remove(name);
        }
    }
}

/// Returns whether `Connection` names a field that says where a message ends, where it goes or whom
/// to believe.
pub fn names_protected(fields: &HeaderMap) -> bool {
    fields.contains_key(CONNECTION)
        && members(fields)
            .any(|name| PROTECTED.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())))
}

/// Returns whether these fields ask for a WebSocket (RFC 6455 §4.1), and for nothing else: no other
/// protocol is one of ours.
pub fn ask_for_websocket(fields: &HeaderMap) -> bool {
    let mut lines = fields.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (lines.next(), lines.next()) else { return false };
    protocol.as_bytes().trim_ascii().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
        && members(fields).any(|name| name.eq_ignore_ascii_case(b"upgrade"))
}

/// Returns whether these fields say that trailers are taken (RFC 9110 §10.1.4).
pub fn accepts_trailers(fields: &HeaderMap) -> bool {
    let lines = fields.get_all(TE).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes from a trailer section what says where a message ends, where it goes, who sends it, or
/// what its content is (RFC 9110 §6.5.1).
pub fn remove_from_trailers(trailers: &mut HeaderMap) {
    remove(trailers);
    let misplaced = |name: &&HeaderName| {
        let name = name.as_str();
        PROTECTED.contains(&name)
            || NO_TRAILERS.contains(&name)
            || NO_TRAILER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || name.contains('_')
    };
    let misplaced: Vec<HeaderName> = trailers.keys().filter(misplaced).cloned().collect();
    for name in misplaced {
        trailers.remove(name);
    }
}

fn members(fields: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = fields.get_all(CONNECTION).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// The only protocol that a connection is handed over to.
pub const WEBSOCKET: &str = "websocket";

const PROTECTED: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "authorization",
    "cookie",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

const NO_TRAILERS: [&str; 17] = [
    "age",
    "cache-control",
    "date",
    "etag",
    "expect",
    "expires",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "warning",
    "www-authenticate",
];

const NO_TRAILER_PREFIXES: [&str; 7] =
    ["content-", "x-forwarded", "x-http-method", "x-method", "x-original-", "x-rewrite-", "if-"];

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_connection_names_goes_with_it() {
        let mut map = fields(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("x-kept", "1"),
        ]);
        remove(&mut map);
        assert_eq!(map, fields(&[("x-kept", "1")]));
    }

    #[test]
    fn trailers_are_taken_by_who_says_so() {
        for (value, expected) in [
            ("trailers", true),
            ("gzip;q=0.5, Trailers", true),
            ("trailers-not", false),
            ("", false),
        ] {
            assert_eq!(accepts_trailers(&fields(&[("te", value)])), expected, "{value}");
        }
    }

    #[test]
    fn only_a_websocket_is_asked_for_and_only_with_connection() {
        for (lines, expected) in [
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")][..], true),
            (&[("upgrade", "websocket")], false),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket, h2c")], false),
            (
                &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "websocket")],
                false,
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(ask_for_websocket(&map), expected, "{lines:?}");
        }
    }
}
