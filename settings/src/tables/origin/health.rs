//! `[origin.NAME.health]`: requests that find out whether a server is fit for use.

use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::table::Table;
use crate::tree::Node;
use crate::value::{
    Fault, StatusRange, TIMEOUT, choice, duration, parsed, status_range, text, whole,
};

/// Probes of each server of an origin. `window`, `threshold` and `initial` mean what they mean in
/// Varnish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// The path, with its query, that a probe asks for. `None` sends no probes.
    pub path: Option<PathAndQuery>,
    /// The `Host` field of a probe. `None` is the origin's `host_header`, and the server's name
    /// where that would be the client's.
    pub host: Option<HeaderValue>,
    /// The method of a probe.
    pub method: ProbeMethod,
    /// Time from one probe of a server to the next, 100ms to 1d. Each is early or late by up to a
    /// tenth of it. A probe costs a connection of its own.
    pub interval: Duration,
    /// Time for a whole probe, the connection included; 1ms to 1d.
    pub timeout: Duration,
    /// Number of last probes that count, 1 to 64.
    pub window: u32,
    /// Number of good ones among them that a server needs, 1 to 64, no more than `window`.
    pub threshold: u32,
    /// Number of good ones that a new server is given, 0 to 64. With fewer than `threshold` it is
    /// not used before it has proved itself. Absent: as many as `threshold`.
    pub initial: u32,
    /// The status codes of a good answer.
    pub expect_status: Vec<StatusRange>,
    /// Text that the content of a good answer has in its first 64 KiB. `None` reads no content.
    pub expect_body: Option<String>,
}

/// The method of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeMethod {
    /// As a client asks.
    Get,
    /// Without content.
    Head,
    /// About the server.
    Options,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            path: None,
            host: None,
            method: ProbeMethod::Get,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            window: 8,
            threshold: 3,
            initial: 3,
            expect_status: vec![StatusRange::new(200..=299)],
            expect_body: None,
        }
    }
}

impl HealthSettings {
    /// Reads `[origin.NAME.health]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        let mut initial = None;
        table.read("path", parsed(path_or_off), &mut self.path);
        table.read("host", parsed(host), &mut self.host);
        table.read("method", choice(&METHODS), &mut self.method);
        table.read("interval", duration(INTERVAL), &mut self.interval);
        table.read("timeout", duration(TIMEOUT), &mut self.timeout);
        table.read("window", whole(1..=WINDOW_MAX), &mut self.window);
        table.read("threshold", whole(1..=WINDOW_MAX), &mut self.threshold);
        let count = whole(0..=WINDOW_MAX);
        table.read("initial", |node: &Node| count(node).map(Some), &mut initial);
        table.reject_empty("expect_status");
        table.read_each("expect_status", parsed(status_range), &mut self.expect_status);
        table.read("expect_body", expected_text, &mut self.expect_body);
        self.initial = initial.unwrap_or(self.threshold);
        let fault = |value: u32| {
            let wants = format!("must be at most `window`, which is {}", self.window);
            Fault::new(wants, "so many probes do not count")
                .help(format!("lower it, or set `window` to {value} or more"))
        };
        if self.threshold > self.window {
            let written = if table.has("threshold") { "threshold" } else { "window" };
            let fault = match written {
                "threshold" => fault(self.threshold),
                _ => Fault::new(
                    format!("must be at least `threshold`, which is {}", self.threshold),
                    "no server could pass",
                ),
            };
            table.fault_of(written, fault);
        } else if self.initial > self.window {
            table.fault_of("initial", fault(self.initial));
        }
    }
}

fn path_or_off(text: &str) -> Result<Option<PathAndQuery>, Fault> {
    let fault = |label: &str| {
        Fault::new(format!("must be a path or \"off\", and `{text}` is neither"), label)
    };
    match text {
        "off" => Ok(None),
        path if path.starts_with('/') => {
            let parsed = path.parse().map_err(|error: http::uri::InvalidUri| {
                fault(&error.to_string()).help("spaces and other marks are written as %20 ...")
            });
            parsed.map(Some)
        }
        url if url.contains("://") => {
            Err(fault("a URL").help("the path alone: the servers are those of the origin"))
        }
        path => Err(fault("it begins with no /").help(format!("did you mean \"/{path}\"?"))),
    }
}

fn host(text: &str) -> Result<Option<HeaderValue>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let fault = |label: String| Fault::new(format!("must be a host, and `{text}` is none"), label);
    let host: http::uri::Authority =
        text.parse().map_err(|error: http::uri::InvalidUri| fault(error.to_string()))?;
    let host = HeaderValue::from_str(host.as_str());
    host.map(Some).map_err(|error| fault(error.to_string()))
}

/// Reads any text. An empty one expects nothing.
fn expected_text(node: &Node) -> Result<Option<String>, Fault> {
    let text = text(node)?;
    if text.len() > EXPECTED_MAX {
        return Err(Fault::new(format!("must have at most {EXPECTED_MAX} bytes"), "too long"));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

const METHODS: [(&str, ProbeMethod); 3] =
    [("GET", ProbeMethod::Get), ("HEAD", ProbeMethod::Head), ("OPTIONS", ProbeMethod::Options)];

const INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(24);

/// The results of probes are the bits of one number.
const WINDOW_MAX: u32 = 64;

const EXPECTED_MAX: usize = 1024;
