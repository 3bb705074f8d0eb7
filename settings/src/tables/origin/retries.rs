//! When a request is sent once more, and when to two servers.

use std::time::Duration;

use crate::tree::Node;
use crate::value::{Fault, TIMEOUT, duration, text};

/// A failure after which a request may be sent to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// The server cannot be connected to, or not at once. It never saw the request.
    Connect,
    /// The connection broke before the first byte of the response.
    Reset,
    /// It answered 502.
    BadGateway,
    /// It answered 503.
    Unavailable,
    /// It answered 504.
    GatewayTimeout,
}

/// The wait for a response after which the request is sent to another server as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// It is not.
    Off,
    /// This long.
    Time(Duration),
    /// The time within which this many hundredths of the responses have come lately, 50 to 99.
    Percentile(u8),
}

/// Reads `off`, a duration or a percentile such as `p95`.
pub(super) fn hedge_after(node: &Node) -> Result<HedgeAfter, Fault> {
    let wants = "must be \"off\", a duration, or a percentile from \"p50\" to \"p99\"";
    let text = text(node)?;
    if text == "off" {
        return Ok(HedgeAfter::Off);
    }
    let Some(number) = text.strip_prefix('p') else {
        return duration(TIMEOUT)(node).map(HedgeAfter::Time);
    };
    let number = number.parse().ok().filter(|number| (50..=99).contains(number));
    number.map(HedgeAfter::Percentile).ok_or_else(|| Fault::new(wants, "not one of them"))
}

pub(super) const RETRY_ON: [(&str, RetryOn); 5] = [
    ("connect", RetryOn::Connect),
    ("reset", RetryOn::Reset),
    ("502", RetryOn::BadGateway),
    ("503", RetryOn::Unavailable),
    ("504", RetryOn::GatewayTimeout),
];
