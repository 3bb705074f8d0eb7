//! `[purger]`: what the purger consumes and how it delivers. The proxy only checks it.

use std::net::SocketAddr;
use std::time::Duration;

use super::Secret;
use super::kafka::owned;
use super::secret::secret;
use crate::table::Table;
use crate::tree::Node;
use crate::value::{
    Fault, LIFETIME, PAUSE, TIMEOUT, choice, duration, parsed, size, socket_address, text, whole,
};

/// The rules of the purger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgerSettings {
    /// Topics to consume, never empty.
    pub topics: Vec<String>,
    /// The consumer group: all purgers of one fleet of proxies.
    pub group: String,
    /// The purger's name in the group, kept over restarts (static membership). An empty name takes
    /// the machine's with a number; `none` joins as a new member each time.
    pub instance: String,
    /// Time without a heartbeat after which the group assigns a purger's partitions to others; 1s
    /// to 1h.
    pub session_timeout: Duration,
    /// The first position of a group that never committed an offset.
    pub start: StartAt,
    /// The format of records.
    pub format: EventFormat,
    /// The tag that stands for a site, with `{site}` in it, or `host` where sites are hosts.
    pub site: String,
    /// `table pattern = templates` of tags for Debezium's envelopes, such as `"shop.products" =
    /// "product-{id}"`.
    pub tables: Vec<(String, String)>,
    /// Age beyond which a soft purge is skipped, because its pages have expired; 0s skips none.
    pub max_age: Duration,
    /// Hosts whose purges are applied; an empty list takes all. `*.example.com` covers subdomains.
    pub hosts: Vec<String>,
    /// Sites whose purges are applied; an empty list takes all.
    pub sites: Vec<String>,
    /// Sources of events that may purge everything; `*` allows any.
    pub may_purge_all: Vec<String>,
    /// Sources of events that may purge hard; `*` allows any.
    pub may_purge_hard: Vec<String>,
    /// Bytes of a record's value, 1KiB to 64MiB.
    pub max_event: u64,
    /// The topic for records that cannot be read or applied. With an empty name they are only
    /// logged.
    pub dead_letter: String,
    /// The topic for one event per purge that every proxy has confirmed. An empty name switches
    /// receipts off.
    pub receipts: String,
    /// Longest wait of a receipt for proxies that do not confirm; 1ms to 1d.
    pub receipt_timeout: Duration,
    /// Least time between two requests to one proxy about one partition; 0s to 1d. The first purge
    /// is sent at once.
    pub linger: Duration,
    /// Purges in one request, 1 to 100000.
    pub batch: usize,
    /// Time for a proxy to answer; 1ms to 1d.
    pub timeout: Duration,
    /// The longest wait before a failed request is repeated; 1ms to 1d. Waits begin at 100ms and
    /// double, with jitter.
    pub backoff_max: Duration,
    /// Interval of heartbeats to a proxy; 1ms to 1d. Less than half of the proxies'
    /// `purge.log.lease`.
    pub heartbeat: Duration,
    /// Time without progress after which a proxy no longer holds back the committed offset; 1ms to
    /// 1d.
    pub slow_after: Duration,
    /// Records of one partition held for proxies, 100 to 10000000. Each costs about 300 bytes.
    pub window: usize,
    /// Bytes of them, 64KiB to 16GiB.
    pub window_bytes: u64,
    /// Bytes for records held, read ahead, pending or in flight, over all partitions and proxies,
    /// 64MiB to 1TiB. The process needs about 40 MiB besides.
    pub memory: u64,
    /// The purger's own listener for health, metrics and status.
    pub admin: SocketAddr,
    /// `[purger.targets]`.
    pub targets: TargetSettings,
}

/// The proxies to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// URLs of proxies' admin listeners.
    pub urls: Vec<String>,
    /// `host:port`; each address of the name is a proxy. An empty name is not looked up.
    pub dns: String,
    /// A name of SRV records; each is a proxy. An empty name is not looked up.
    pub srv: String,
    /// Interval of name look-ups; 100ms to 1d.
    pub refresh: Duration,
    /// Time for which a proxy is still tried after its name lost the address; 0s to 10 years.
    pub forget_after: Duration,
    /// The proxies' `admin.token`.
    pub token: Option<Secret>,
    /// The version of HTTP towards proxies.
    pub http: TargetHttp,
}

/// The first position of a group that never committed an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record.
    Earliest,
    /// The next record. Proxies validate the responses that they have stored already.
    Latest,
}

/// The format of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// Recognised by each record's shape.
    Auto,
    /// `CloudEvents` 1.0, structured or binary.
    CloudEvents,
    /// The body of `POST /api/v1/purge`.
    Plain,
    /// Wikimedia's `resource_change`.
    ResourceChange,
    /// Debezium's change events.
    Debezium,
    /// `{"siteId": …, "etag": …}`.
    Site,
}

/// The version of HTTP towards proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetHttp {
    /// HTTP/1.1 with kept connections.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

impl Default for PurgerSettings {
    fn default() -> Self {
        Self {
            topics: vec!["cache-purge".to_owned()],
            group: "shellac-purger".to_owned(),
            instance: String::new(),
            session_timeout: Duration::from_secs(10),
            start: StartAt::Earliest,
            format: EventFormat::Auto,
            site: "{site}".to_owned(),
            tables: Vec::new(),
            max_age: Duration::ZERO,
            hosts: Vec::new(),
            sites: Vec::new(),
            may_purge_all: Vec::new(),
            may_purge_hard: vec!["*".to_owned()],
            max_event: 64 << 10,
            dead_letter: String::new(),
            receipts: String::new(),
            receipt_timeout: Duration::from_secs(10),
            linger: Duration::from_millis(1),
            batch: 2000,
            timeout: Duration::from_secs(5),
            backoff_max: Duration::from_secs(10),
            heartbeat: Duration::from_secs(2),
            slow_after: Duration::from_secs(5),
            window: 20_000,
            window_bytes: 32 << 20,
            memory: 512 << 20,
            admin: SocketAddr::from(([127, 0, 0, 1], 8082)),
            targets: TargetSettings::default(),
        }
    }
}

impl Default for TargetSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            dns: String::new(),
            srv: String::new(),
            refresh: Duration::from_secs(5),
            forget_after: Duration::from_mins(10),
            token: None,
            http: TargetHttp::Http1,
        }
    }
}

impl PurgerSettings {
    /// Reads `[purger]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        self.read_consumption(table);
        self.read_events(table);
        table.read("linger", duration(PAUSE), &mut self.linger);
        table.read("batch", whole(1..=100_000), &mut self.batch);
        table.read("timeout", duration(TIMEOUT), &mut self.timeout);
        table.read("backoff_max", duration(TIMEOUT), &mut self.backoff_max);
        table.read("heartbeat", duration(TIMEOUT), &mut self.heartbeat);
        table.read("slow_after", duration(TIMEOUT), &mut self.slow_after);
        table.read("window", whole(100..=10_000_000), &mut self.window);
        table.read("window_bytes", size(64 << 10..=16 << 30), &mut self.window_bytes);
        table.read("memory", size(64 << 20..=1 << 40), &mut self.memory);
        table.read("admin", parsed(socket_address), &mut self.admin);
        table.table("targets", |table| self.targets.read(table));
    }

    fn read_consumption(&mut self, table: &mut Table<'_>) {
        table.read_each("topics", parsed(topic), &mut self.topics);
        table.read("group", owned, &mut self.group);
        table.read("instance", owned, &mut self.instance);
        let session = Duration::from_secs(1)..=Duration::from_hours(1);
        table.read("session_timeout", duration(session), &mut self.session_timeout);
        table.read("start", choice(&STARTS), &mut self.start);
        table.read("dead_letter", optional_topic, &mut self.dead_letter);
        table.read("receipts", optional_topic, &mut self.receipts);
        table.read("receipt_timeout", duration(TIMEOUT), &mut self.receipt_timeout);
    }

    fn read_events(&mut self, table: &mut Table<'_>) {
        table.read("format", choice(&FORMATS), &mut self.format);
        table.read("site", parsed(site), &mut self.site);
        table.read_map("tables", owned, &mut self.tables);
        table.read("max_age", duration(LIFETIME), &mut self.max_age);
        table.read_each("hosts", owned, &mut self.hosts);
        table.read_each("sites", owned, &mut self.sites);
        table.read_each("may_purge_all", owned, &mut self.may_purge_all);
        table.read_each("may_purge_hard", owned, &mut self.may_purge_hard);
        table.read("max_event", size(1 << 10..=64 << 20), &mut self.max_event);
    }
}

impl TargetSettings {
    fn read(&mut self, table: &mut Table<'_>) {
        table.read_each("urls", parsed(target_url), &mut self.urls);
        table.read("dns", owned, &mut self.dns);
        table.read("srv", owned, &mut self.srv);
        let refresh = Duration::from_millis(100)..=Duration::from_hours(24);
        table.read("refresh", duration(refresh), &mut self.refresh);
        table.read("forget_after", duration(LIFETIME), &mut self.forget_after);
        table.read("token", secret, &mut self.token);
        table.read("http", choice(&VERSIONS), &mut self.http);
    }

    /// Returns whether nobody is named.
    pub const fn is_empty(&self) -> bool {
        self.urls.is_empty() && self.dns.is_empty() && self.srv.is_empty()
    }
}

fn topic(text: &str) -> Result<String, Fault> {
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=249).contains(&text.len()) && text.bytes().all(is_named) {
        return Ok(text.to_owned());
    }
    let wants = format!("must be the name of a topic, and `{text}` is none");
    Err(Fault::new(wants, "1 to 249 of a-z A-Z 0-9 . _ -"))
}

fn optional_topic(node: &Node) -> Result<String, Fault> {
    match text(node)? {
        "" => Ok(String::new()),
        name => topic(name),
    }
}

fn site(text: &str) -> Result<String, Fault> {
    if text == "host" || text.contains("{site}") {
        return Ok(text.to_owned());
    }
    let fault = Fault::new("must be \"host\", or a tag with {site} in it", "every site's tag");
    Err(fault.help("\"{site}\" or \"site-{site}\""))
}

fn target_url(text: &str) -> Result<String, Fault> {
    let fault = || Fault::new(format!("must be http://host:port, and `{text}` is none"), "no URL");
    let rest = text.strip_prefix("http://").ok_or_else(|| {
        fault()
            .help(format!("\"http://{}\"", text.rsplit_once("://").map_or(text, |(_, rest)| rest)))
    })?;
    let authority = rest.trim_end_matches('/');
    match authority.parse::<http::uri::Authority>() {
        Ok(parsed) if !parsed.host().is_empty() && !authority.contains('@') => {
            Ok(format!("http://{authority}"))
        }
        Ok(_) => Err(fault()),
        Err(error) => Err(fault().help(error.to_string())),
    }
}

const STARTS: [(&str, StartAt); 2] = [("earliest", StartAt::Earliest), ("latest", StartAt::Latest)];

const FORMATS: [(&str, EventFormat); 6] = [
    ("auto", EventFormat::Auto),
    ("cloudevents", EventFormat::CloudEvents),
    ("plain", EventFormat::Plain),
    ("resource_change", EventFormat::ResourceChange),
    ("debezium", EventFormat::Debezium),
    ("site", EventFormat::Site),
];

const VERSIONS: [(&str, TargetHttp); 2] = [("1.1", TargetHttp::Http1), ("2", TargetHttp::Http2)];
