//! Requests that must be refused: what their answer has to be, and that nothing of them reaches the
//! origin.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::case::Case;
use super::client::Connection;
use super::frames::{Frames, Outcome, Response};
use super::hpack::Field;
use super::message::Head;
use super::origin::{Origin, ok};
use super::proxy::Proxy;

/// The request that nobody may see: it hides behind another one, or in its content.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: site.example\r\n\r\n";

/// A whole response that nobody asked for: whoever gets it got another one's bytes.
pub(crate) const EVIL: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nevil";

/// How long a refusal may take. A row that takes longer is one more problem of its table, not the
/// end of it.
const SOON: Duration = Duration::from_secs(5);

/// What every answer of ours says beside its status (RFC 9209, 9110 §7.6.3, 9211).
const OWN_FIELDS: [&str; 4] = ["proxy-status", "via", "cache-status", "x-request-id"];

/// A case: its name, its bytes, and the statuses that are right.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) statuses: &'static [u16],
}

/// An origin and a proxy to which the rows of a table are shown one after the other.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) proxy: Proxy,
    /// How many exchanges followed another one to see whether it was spoiled.
    nexts: AtomicUsize,
}

/// Makes a row.
pub(crate) fn row(name: &str, bytes: impl AsRef<[u8]>, statuses: &'static [u16]) -> Row {
    Row { name: name.to_owned(), bytes: bytes.as_ref().to_vec(), statuses }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut settings::Config)) -> Self {
        let origin = Origin::start().await;
        origin.on("/fence", ok("fence"));
        let proxy = Proxy::start_with(&origin, change);
        Self { origin, proxy, nexts: AtomicUsize::new(0) }
    }

    /// One whose origin is hostile: nothing is sent twice, so that each exchange shows what became
    /// of it.
    pub(crate) async fn without_retries() -> Self {
        Self::with(|config| config.origins[0].retries = 0).await
    }

    /// Says what is wrong with an exchange after the last one for `path`: it needs its own answer,
    /// on another connection.
    pub(crate) async fn spoiled(&self, path: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let path_of_next = format!("/next/{}", self.nexts.fetch_add(1, Ordering::Relaxed));
        self.origin.on(&path_of_next, ok("next"));
        let next = self.proxy.get(&path_of_next).await;
        if next.text() != "next" {
            wrong.push(format!("the next exchange got {} {:?}", next.status(), next.text()));
        }
        let before = self.origin.received(path).pop();
        let after = self.origin.received(&path_of_next).pop();
        if before.zip(after).is_some_and(|(one, other)| one.connection == other.connection) {
            wrong.push("the next exchange was on the same connection".to_owned());
        }
        wrong
    }

    /// Sends each row, followed by a smuggled request, and panics with the list of all that went
    /// wrong.
    pub(crate) async fn refuses(&self, rows: impl IntoIterator<Item = Row>) {
        let (mut problems, mut count) = (Vec::new(), 0);
        for row in rows {
            count += 1;
            let (mut wrong, _) = self.refuse(&row.bytes, row.statuses).await;
            wrong.extend(self.trespass().await);
            if !wrong.is_empty() {
                problems.push(format!("{}: {}", row.name, wrong.join("; ")));
            }
        }
        assert!(problems.is_empty(), "{} of {count} rows\n{}", problems.len(), problems.join("\n"));
    }

    /// Sends each case over HTTP/1 and over HTTP/2. Both refuse it, with one status and one
    /// sentence where both have a page, and nothing of it reaches the origin. Panics with the list
    /// of all that went wrong.
    pub(crate) async fn refuses_over_both(
        &self,
        cases: impl IntoIterator<Item = (String, Case)>,
        statuses: &[u16],
    ) {
        let (mut problems, mut count) = (Vec::new(), 0);
        for (name, case) in cases {
            count += 1;
            let (mut wrong, page) = self.refuse(&case.http1(), statuses).await;
            wrong.extend(self.trespass().await);
            let mut client = Frames::open(self.proxy.address).await;
            let over_http2 = case.http2(&mut client).await;
            let refusal = refusal_over_http2(over_http2, statuses, &page);
            wrong.extend(refusal.into_iter().map(|wrong| format!("HTTP/2: {wrong}")));
            wrong.extend(self.trespass().await.iter().map(|wrong| format!("HTTP/2: {wrong}")));
            if !wrong.is_empty() {
                problems.push(format!("{name}: {}", wrong.join("; ")));
            }
        }
        assert!(
            problems.is_empty(),
            "{} of {count} cases\n{}",
            problems.len(),
            problems.join("\n")
        );
    }

    /// Sends these bytes and a smuggled request behind them; returns what is wrong with the answer,
    /// and its page.
    async fn refuse(&self, bytes: &[u8], statuses: &[u16]) -> (Vec<String>, String) {
        let mut client = self.proxy.connect().await;
        client.try_send([bytes, SMUGGLED.as_bytes()].concat()).await;
        refusal(&mut client, statuses).await
    }

    /// Says what reached the origin since the last time, which should be nothing. A sound request
    /// of another client goes first: what was on its way before it has arrived.
    pub(crate) async fn trespass(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.proxy.get("/fence").await.text() != "fence" {
            wrong.push("another client got a wrong answer".to_owned());
        }
        let paths = self.origin.all_received().into_iter().map(|one| one.head.line().to_owned());
        let trespassers: Vec<_> = paths.filter(|line| line != "GET /fence HTTP/1.1").collect();
        if !trespassers.is_empty() {
            wrong.push(format!("the origin received {trespassers:?}"));
        }
        if self.origin.wire().has("/smuggled") {
            wrong.push("the smuggled request crossed".to_owned());
        }
        self.origin.forget();
        wrong
    }
}

/// Reads until the proxy ends the connection, and not for ever; says whether it did.
pub(crate) async fn all_bytes(client: &mut Connection) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let has_ended = timeout(SOON, client.stream.read_to_end(&mut bytes)).await.is_ok();
    (bytes, has_ended)
}

/// Reads one refusal and the end of the connection; returns what is wrong with them, and the page.
async fn refusal(client: &mut Connection, statuses: &[u16]) -> (Vec<String>, String) {
    let (bytes, has_ended) = all_bytes(client).await;
    let mut wrong = Vec::new();
    if !has_ended {
        wrong.push("the connection stays open".to_owned());
    }
    let mut rest = &*bytes;
    let Ok(Some(head)) = Head::read(&mut rest).await else {
        wrong.push("no answer".to_owned());
        return (wrong, String::new());
    };
    if !statuses.iter().any(|status| head.word(1) == status.to_string()) {
        wrong.push(format!("the status is {}, not {statuses:?}", head.word(1)));
    }
    let missing: Vec<_> = OWN_FIELDS.iter().filter(|name| !head.has(name)).collect();
    if !missing.is_empty() {
        wrong.push(format!("the answer is without {missing:?}"));
    }
    if head.field("connection").as_deref() != Some("close") {
        wrong.push("the answer does not say that the connection ends".to_owned());
    }
    match head.length().and_then(|length| rest.get(length..)) {
        None => wrong.push("the answer is not whole".to_owned()),
        Some(b"") => {}
        Some(more) => {
            let more = String::from_utf8_lossy(more);
            wrong.push(format!("more came: {}", more.lines().next().unwrap_or_default()));
        }
    }
    (wrong, String::from_utf8_lossy(rest).into_owned())
}

/// Says what is wrong with a refusal over HTTP/2. What is malformed may also reset its stream (RFC
/// 9113 §8.1.1), or break the compression of fields and with it the connection.
fn refusal_over_http2(outcome: Outcome, statuses: &[u16], page: &str) -> Vec<String> {
    let response = match outcome {
        Outcome::Reset(_) | Outcome::GoAway if statuses.contains(&400) => return Vec::new(),
        Outcome::Reset(_) | Outcome::GoAway => return vec![format!("no answer: {outcome:?}")],
        Outcome::Answer(response) => response,
    };
    let mut wrong = not_allowed_over_http2(&response);
    if !statuses.contains(&response.status()) {
        wrong.push(format!("the status is {}, not {statuses:?}", response.status()));
    }
    let is_missing = |name: &&&str| response.field(name).is_none();
    let missing: Vec<_> = OWN_FIELDS.iter().filter(is_missing).collect();
    if !missing.is_empty() {
        wrong.push(format!("the answer is without {missing:?}"));
    }
    let (said, said_over_http1) = (sentence(response.text()), sentence(page));
    if said != said_over_http1 {
        wrong.push(format!("it says {said:?}, and over HTTP/1 {said_over_http1:?}"));
    }
    wrong
}

/// Says which fields of a response are not allowed over HTTP/2 (RFC 9113 §8.2).
pub(crate) fn not_allowed_over_http2(response: &Response) -> Vec<String> {
    let all = response.fields.iter().chain(&response.trailers);
    let is_wrong = |(name, value): &&Field| {
        let is_of_connection = OF_CONNECTION.contains(&&**name);
        let is_padded = value.trim_ascii() != value;
        let has_control = value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 127);
        is_of_connection
            || is_padded
            || has_control
            || name.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    all.filter(is_wrong).map(|(name, _)| format!("{name} is not allowed")).collect()
}

/// What an error page says.
fn sentence(page: &str) -> &str {
    let rest = page.split_once("<p>").map_or(page, |(_, rest)| rest);
    rest.split_once("<p>").map_or(rest, |(sentence, _)| sentence)
}

const OF_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
