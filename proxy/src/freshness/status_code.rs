//! The meaning of a status code to a cache (RFC 9110 §15, RFC 9111 §3).

use http::StatusCode;

/// Returns whether a cache may assign a lifetime to such a response (RFC 9110 §15.1).
///
/// A 206 is one of them, but parts are not stored here; so are 414 and 501, which are
/// [never stored](is_never_stored).
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410)
}

/// Returns whether this is a final status code of RFC 9110 whose demands on caches are met here.
pub(crate) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307..=308 | 400..=417 | 421..=422 | 426 | 500..=505
    )
}

/// Returns whether such a response is not stored whatever it says.
///
/// A 1xx is not final, a 304 freshens a stored response instead. 400, 413, 414, 431 and 501 answer
/// one client's malformed, oversized or unknown request: what provoked them (a meta character in a
/// field, a field too long, a method override) is not in the key, so that they would poison the URI
/// for all others. 428, 429, 431 and 511 forbid it (RFC 6585 §3 to §6).
pub(crate) fn is_never_stored(status: StatusCode) -> bool {
    matches!(status.as_u16(), 100..=199 | 304 | 400 | 413 | 414 | 416 | 428 | 429 | 431 | 501 | 511)
}
