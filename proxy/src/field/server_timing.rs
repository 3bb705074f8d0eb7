//! `Server-Timing` (W3C Server Timing): how long a response took, for the developer tools of
//! browsers.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub const NAME: HeaderName = HeaderName::from_static("server-timing");

/// Returns the metric of a response from the store: its kind, a token.
pub fn of_store(kind: &'static str) -> HeaderValue {
    value(&format!("cache;desc={kind}"))
}

/// Returns the time that something was waited for; before it, the kind of the response where it is
/// not said yet.
pub fn awaited(kind: Option<&'static str>, what: &'static str, took: Duration) -> HeaderValue {
    let millis = took.as_secs_f64() * 1e3;
    match kind {
        Some(kind) => value(&format!("cache;desc={kind}, {what};dur={millis:.1}")),
        None => value(&format!("{what};dur={millis:.1}")),
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_a_name_and_milliseconds() {
        assert_eq!(of_store("hit"), "cache;desc=hit");
        let took = Duration::from_micros(83_240);
        assert_eq!(awaited(Some("miss"), "origin", took), "cache;desc=miss, origin;dur=83.2");
        assert_eq!(awaited(None, "store", Duration::ZERO), "store;dur=0.0");
    }
}
