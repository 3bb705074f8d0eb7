//! `Keep-Alive`: the time that a server keeps an idle connection (RFC 2068 §19.7.1.1, no later
//! RFC).

use std::time::Duration;

use http::header::{HeaderMap, HeaderName};

/// Returns the time that a connection may be idle after a response with these fields: the server's,
/// less a margin for the request's way.
pub(super) fn idle_limit(fields: &HeaderMap) -> Option<Duration> {
    let values = fields.get_all(KEEP_ALIVE).iter().filter_map(|value| value.to_str().ok());
    let timeouts = values.flat_map(|value| value.split([',', ';'])).filter_map(timeout_of);
    timeouts.min().map(|timeout| timeout.saturating_sub(MARGIN.min(timeout / 2)))
}

fn timeout_of(parameter: &str) -> Option<Duration> {
    let (name, value) = parameter.split_once('=')?;
    let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
    let seconds = value.trim().trim_matches('"').parse::<u32>().ok().filter(|_| is_timeout)?;
    Some(Duration::from_secs(seconds.into()))
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn limit(values: &[&'static str]) -> Option<u128> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(KEEP_ALIVE, HeaderValue::from_static(value));
        }
        idle_limit(&fields).map(|limit| limit.as_millis())
    }

    #[test]
    fn a_connection_is_given_up_before_its_server_does() {
        for (values, expected) in [
            (&["timeout=5"][..], Some(4000)),
            (&["timeout=5, max=100"], Some(4000)),
            (&["max=100, Timeout = \"65\""], Some(64_000)),
            (&["timeout=2"], Some(1000)),
            (&["timeout=1"], Some(500)),
            (&["timeout=0"], Some(0)),
            (&["timeout=60", "timeout=10"], Some(9000)),
            (&["max=3"], None),
            (&["timeout"], None),
            (&["timeout=soon"], None),
            (&["timeout=-1"], None),
            (&[], None),
        ] {
            assert_eq!(limit(values), expected, "{values:?}");
        }
    }
}
