//! `[origin.NAME]`: the servers that responses come from, and how long they may take.

mod balance;
mod circuit;
mod health;
mod outlier;
mod retries;
mod server;
mod tls;

use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, InvalidUri};

use self::balance::{BALANCE, hash_by};
pub use self::balance::{Balance, HashBy};
pub use self::circuit::CircuitSettings;
pub use self::health::{HealthSettings, ProbeMethod};
pub use self::outlier::OutlierSettings;
pub use self::retries::{HedgeAfter, RetryOn};
use self::retries::{RETRY_ON, hedge_after};
pub use self::server::{ServerAddress, ServerSettings};
use self::server::{server, server_table};
pub use self::tls::OriginTlsSettings;
use self::tls::require_names;
use crate::pattern::{HostPattern, PathPattern, host_pattern, path_pattern};
use crate::report::{ProblemBuilder, nearest};
use crate::table::Table;
use crate::value::{Fault, TIMEOUT, choice, duration, duration_or_off, parsed, percent, whole};

/// An origin and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginSettings {
    /// The table's name, which logs and metrics use.
    pub name: String,
    /// The hosts whose requests it serves; all of them if empty. The port of a request does not
    /// matter.
    pub hosts: Vec<HostPattern>,
    /// The paths whose requests it serves, of these hosts; all of them if empty.
    pub paths: Vec<PathPattern>,
    /// Never empty. One that cannot be reached is skipped.
    pub servers: Vec<ServerSettings>,
    /// The choice of a server.
    pub balance: Balance,
    /// The part of a request that chooses the server, for `balance = "hash"`.
    pub hash_by: HashBy,
    /// The `Host` field of requests to the origin.
    pub host_header: HostHeader,
    /// `scheme = "https"` and `[origin.NAME.tls]`; `None`: plain connections.
    pub tls: Option<OriginTlsSettings>,
    /// Time to resolve the name and to open a TCP connection; 1ms to 1d.
    pub connect_timeout: Duration,
    /// Time from the end of the request, content included, to the response's head; 1ms to 1d.
    pub first_byte_timeout: Duration,
    /// Time for the server to send more of a response body, or to accept more of a request body;
    /// 1ms to 1d. Time spent waiting for the client does not count.
    pub idle_timeout: Duration,
    /// Time for one whole exchange, 1ms to 1d. `None` lets an exchange go on while it makes
    /// progress.
    pub total_timeout: Option<Duration>,
    /// Requests that each server has at once, 1 to 65535. Over HTTP/1 each has a connection, which
    /// costs a socket and up to two read buffers, here and at the server; over HTTP/2 a stream.
    pub max_requests: usize,
    /// Requests that wait while every server has as many, 0 to 1000000. Further ones get a stale
    /// response or 503. Each costs a request head.
    pub max_queue: usize,
    /// Longest wait in that queue; 1ms to 1d.
    pub queue_timeout: Duration,
    /// Idle connections kept, 0 to 65535; 0 closes each one after its response.
    pub keepalive: usize,
    /// Time for which an idle connection is kept, 1ms to 1d, or one second less than the server's
    /// `Keep-Alive: timeout` if that is shorter. Must be below the origin's own time-out (Node:
    /// 5s), or requests race with its close.
    pub keepalive_timeout: Duration,
    /// The protocol of connections to the servers.
    pub http2: OriginHttp2,
    /// Requests on one HTTP/2 connection at once, 1 to 4096, if the server allows as many. Further
    /// ones go on another connection. Each may hold 256 KiB of a response that its client does not
    /// take.
    pub http2_streams: usize,
    /// Silence of a server, 1s to 1d, after which a PING on an HTTP/2 connection with requests asks
    /// for a sign of life. Without one in `idle_timeout` the connection is dead. `None`: never.
    pub http2_ping: Option<Duration>,
    /// Time without a byte in either direction that event streams (`text/event-stream`) and gRPC
    /// calls may take, 1ms to 1d, where it is longer than `idle_timeout`.
    pub stream_idle_timeout: Duration,
    /// Times that a GET, HEAD or OPTIONS without content is sent again, to another server if there
    /// is one, after a failure of `retry_on`; 0 to 10. A request that an idle connection lost as it
    /// broke is sent again in any case.
    pub retries: u32,
    /// The failures after which it is. After a status, only if another server can take it at once.
    pub retry_on: Vec<RetryOn>,
    /// Retries in hundredths of the requests of the last ten seconds, 0 to 100; ten are always
    /// allowed. The load on servers that fail grows by no more than this.
    pub retry_budget: u32,
    /// The wait after which a GET, HEAD or OPTIONS without content is sent to another server as
    /// well. The first answer is used.
    pub hedge_after: HedgeAfter,
    /// Such second requests in hundredths of the requests of the last ten seconds, 1 to 100; ten
    /// are always allowed.
    pub hedge_budget: u32,
    /// `[origin.NAME.health]`.
    pub health: HealthSettings,
    /// `[origin.NAME.outlier]`.
    pub outlier: OutlierSettings,
    /// `[origin.NAME.circuit]`.
    pub circuit: CircuitSettings,
    /// Time within which the share of a server grows to its full one, 1ms to 1d, after it has come
    /// back or was added. `None` gives it the full share at once.
    pub slow_start: Option<Duration>,
}

/// The protocol of connections to the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginHttp2 {
    /// HTTP/1.1.
    #[default]
    Off,
    /// The protocol that the server chooses in the handshake of TLS.
    Alpn,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113 §3.3).
    Cleartext,
}

/// The `Host` field of requests to the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    Preserve,
    /// The server's own `host:port`.
    Server,
    /// This text.
    Literal(HeaderValue),
}

impl OriginSettings {
    /// Returns an origin with these servers and defaults for all else.
    pub fn new(name: impl Into<String>, servers: Vec<ServerSettings>) -> Self {
        Self {
            name: name.into(),
            hosts: Vec::new(),
            paths: Vec::new(),
            servers,
            balance: Balance::default(),
            hash_by: HashBy::default(),
            host_header: HostHeader::Preserve,
            tls: None,
            connect_timeout: Duration::from_millis(3500),
            first_byte_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(1),
            total_timeout: None,
            max_requests: 2048,
            max_queue: 4096,
            queue_timeout: Duration::from_secs(2),
            keepalive: 256,
            keepalive_timeout: Duration::from_secs(4),
            http2: OriginHttp2::Off,
            http2_streams: 100,
            http2_ping: Some(Duration::from_secs(30)),
            stream_idle_timeout: Duration::from_mins(5),
            retries: 1,
            retry_on: vec![
                RetryOn::Connect,
                RetryOn::Reset,
                RetryOn::BadGateway,
                RetryOn::Unavailable,
            ],
            retry_budget: 20,
            hedge_after: HedgeAfter::Off,
            hedge_budget: 10,
            health: HealthSettings::default(),
            outlier: OutlierSettings::default(),
            circuit: CircuitSettings::default(),
            slow_start: Some(Duration::from_secs(30)),
        }
    }

    /// Reads each `[origin.NAME]`, in the order in which they were written.
    pub(crate) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let Some(names) = root.names("origin") else { return vec![Self::new("app", Vec::new())] };
        if names.is_empty() {
            root.add(no_origin());
            return vec![Self::read(root, "app")];
        }
        names.iter().map(|name| Self::read(root, name)).collect()
    }

    /// Returns whether this origin serves every request that the other one would.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let hosts = self.hosts.is_empty()
            || !other.hosts.is_empty()
                && other.hosts.iter().all(|host| self.hosts.iter().any(|own| own.covers(host)));
        let paths = self.paths.is_empty()
            || !other.paths.is_empty()
                && other.paths.iter().all(|path| self.paths.iter().any(|own| own.covers(path)));
        hosts && paths
    }

    fn read(root: &mut Table<'_>, name: &str) -> Self {
        let mut origin = Self::new(name, Vec::new());
        root.named("origin", name, |table| origin.read_table(table));
        origin
    }

    fn read_table(&mut self, table: &mut Table<'_>) {
        table.read_each("hosts", parsed(host_pattern), &mut self.hosts);
        table.read_each("paths", parsed(path_pattern), &mut self.paths);
        table.read_some_tables("servers", server, server_table, &mut self.servers);
        table.read("host_header", parsed(host_header), &mut self.host_header);
        self.tls = OriginTlsSettings::read(table);
        let wrong = match (self.http2, &self.tls) {
            (OriginHttp2::Cleartext, Some(_)) => Some(("cleartext", "https", "alpn")),
            (OriginHttp2::Alpn, None) => Some(("alpn", "http", "cleartext")),
            _ => None,
        };
        if let Some((http2, scheme, meant)) = wrong {
            let wants = format!("is \"{http2}\", and `scheme` is \"{scheme}\"");
            let fault = Fault::new(wants, "it would never be spoken");
            table.fault_of("http2", fault.help(format!("did you mean \"{meant}\"?")));
        }
        if let Some(tls) = &self.tls {
            let is_unix =
                |server: &ServerSettings| matches!(server.address, ServerAddress::Unix(_));
            require_names(table, tls, self.servers.iter().any(is_unix));
        }
        table.read("connect_timeout", duration(TIMEOUT), &mut self.connect_timeout);
        table.read("first_byte_timeout", duration(TIMEOUT), &mut self.first_byte_timeout);
        table.read("idle_timeout", duration(TIMEOUT), &mut self.idle_timeout);
        table.read("total_timeout", duration_or_off(TIMEOUT), &mut self.total_timeout);
        table.read("max_requests", whole(1..=65_535), &mut self.max_requests);
        table.read("max_queue", whole(0..=1_000_000), &mut self.max_queue);
        table.read("queue_timeout", duration(TIMEOUT), &mut self.queue_timeout);
        table.read("keepalive", whole(0..=65_535), &mut self.keepalive);
        table.read("keepalive_timeout", duration(TIMEOUT), &mut self.keepalive_timeout);
        table.read("http2", choice(&HTTP2), &mut self.http2);
        table.read("http2_streams", whole(1..=4096), &mut self.http2_streams);
        table.read("http2_ping", duration_or_off(PING), &mut self.http2_ping);
        table.read("stream_idle_timeout", duration(TIMEOUT), &mut self.stream_idle_timeout);
        self.read_choices(table);
        table.read("slow_start", duration_or_off(TIMEOUT), &mut self.slow_start);
        table.table("health", |table| self.health.read(table));
        table.table("outlier", |table| self.outlier.read(table));
        table.table("circuit", |table| self.circuit.read(table));
    }

    /// Reads which server gets a request, and which one gets it after that.
    fn read_choices(&mut self, table: &mut Table<'_>) {
        table.read("balance", choice(&BALANCE), &mut self.balance);
        table.read("hash_by", parsed(hash_by), &mut self.hash_by);
        table.read("retries", whole(0..=10), &mut self.retries);
        table.read_each("retry_on", choice(&RETRY_ON), &mut self.retry_on);
        table.read("retry_budget", percent(0..=100), &mut self.retry_budget);
        table.read("hedge_after", hedge_after, &mut self.hedge_after);
        table.read("hedge_budget", percent(1..=100), &mut self.hedge_budget);
    }
}

/// Reads `preserve`, `server` or a host. A misspelt `preserve` is refused; it would be sent as a
/// host.
fn host_header(text: &str) -> Result<HostHeader, Fault> {
    let fault = |label: &str| Fault::new("must be \"preserve\", \"server\" or a host", label);
    match text {
        "preserve" => return Ok(HostHeader::Preserve),
        "server" => return Ok(HostHeader::Server),
        host if nearest(host, ["preserve"]).is_some() => {
            return Err(fault("not a host").help("did you mean \"preserve\"?"));
        }
        _host => {}
    }
    let host: Authority = text.parse().map_err(|error: InvalidUri| fault(&error.to_string()))?;
    let literal = HeaderValue::from_str(host.as_str());
    literal.map(HostHeader::Literal).map_err(|error| fault(&error.to_string()))
}

fn no_origin() -> ProblemBuilder {
    ProblemBuilder::error("there is no origin: nowhere to get responses from", "")
        .help(HOW_TO_WRITE_ONE)
}

const PING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const HTTP2: [(&str, OriginHttp2); 3] =
    [("off", OriginHttp2::Off), ("alpn", OriginHttp2::Alpn), ("cleartext", OriginHttp2::Cleartext)];
const HOW_TO_WRITE_ONE: &str = "two lines are enough:\n[origin.app]\nservers = [\"127.0.0.1:3000\"]\n\
    or a flag: --origin http://127.0.0.1:3000";
