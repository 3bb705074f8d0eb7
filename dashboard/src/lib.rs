//! The pages that proxy and purger serve to people: static files in the binary, and a summary of
//! the current values that needs no script.

mod asset;
mod fleet;
mod html;
mod number;
mod page;
mod response;
mod summary;

pub use self::page::{Page, proxy, purger};
pub use self::response::{file, page};

use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Adds what every response of a dashboard carries: it is not kept without asking, it asks nobody
/// but its own origin, and no other page may show it.
pub(crate) fn protect(fields: &mut HeaderMap) {
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

const FIELDS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-cache"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
