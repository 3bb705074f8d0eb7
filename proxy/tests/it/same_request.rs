//! Requests made by chance, each sent over HTTP/1 and over HTTP/2: the origin receives the same, or
//! both are refused.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::support::case::Case;
use crate::support::client::Connection;
use crate::support::frames::{Frames, Outcome};
use crate::support::hostile::Stage;
use crate::support::in_time;
use crate::support::message::Head;
use crate::support::origin::Received;

/// What became of a request.
#[derive(Clone, Debug)]
struct Fate {
    /// The status of the answer; `None` where there was none, because what is malformed need not
    /// have one.
    status: Option<u16>,
    /// What the origin received.
    received: Vec<Request>,
}

impl Fate {
    /// Returns whether both are one: the same answer to the same request, or two refusals of which
    /// the origin knows nothing.
    fn is_like(&self, other: &Self) -> bool {
        let is_refused = |fate: &Self| {
            fate.received.is_empty() && fate.status.is_none_or(|status| status >= 400)
        };
        let is_same = self.received == other.received && self.status == other.status;
        is_same || is_refused(self) && is_refused(other)
    }
}

/// A request at the origin, without the fields that tell which protocol and which request it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    line: String,
    fields: Vec<String>,
    content: Vec<u8>,
    trailers: Vec<String>,
}

impl Request {
    fn of(received: &Received) -> Self {
        let is_own =
            |line: &&str| ["via: ", "x-request-id: "].iter().any(|own| line.starts_with(own));
        let sorted = |lines: &mut dyn Iterator<Item = &str>| {
            let mut lines: Vec<_> = lines.map(str::to_lowercase).collect();
            lines.sort_unstable();
            lines
        };
        Self {
            line: received.head.line().to_owned(),
            fields: sorted(&mut received.head.text.lines().skip(1).filter(|line| !is_own(line))),
            content: received.content.clone(),
            trailers: sorted(&mut received.trailers.lines()),
        }
    }
}

/// What the origin has received since the last time, which is over: another client's request went
/// after it. Nothing is remembered of the answer.
async fn received(stage: &Stage) -> Vec<Request> {
    stage.proxy.purge(r#"{"all":true}"#).await;
    assert_eq!(stage.proxy.get("/fence").await.text(), "fence");
    let all = stage.origin.all_received();
    stage.origin.forget();
    let complete = all.iter().filter(|one| one.is_complete); // content may turn out to be malformed later
    complete.map(Request::of).filter(|request| request.line != "GET /fence HTTP/1.1").collect()
}

async fn over_http1(stage: &Stage, case: &Case) -> Fate {
    let mut client = Connection::open(stage.proxy.address).await;
    client.try_send(case.http1()).await;
    let answer = async {
        loop {
            match Head::read(&mut client.stream).await {
                Ok(Some(interim)) if interim.word(1) == "100" => {}
                Ok(Some(head)) => return Some(head.word(1).parse().unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    };
    let status = in_time("an answer", answer).await;
    Fate { status, received: received(stage).await }
}

async fn over_http2(stage: &Stage, case: &Case) -> Fate {
    let mut client = Frames::open(stage.proxy.address).await;
    let status = match case.http2(&mut client).await {
        Outcome::Answer(response) => Some(response.status()),
        Outcome::Reset(_) | Outcome::GoAway => None,
    };
    Fate { status, received: received(stage).await }
}

const METHODS: [&str; 16] = [
    "GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PURGE",
    "TRACE", "get", "M-SEARCH", "G T", "",
];

/// Parts of targets, but for `#`: HTTP/2's library cuts fragments off.
const PARTS: [&str; 40] = [
    "/", "/", "/", "a", "b", "?", "?", "*", "%00", "%2f", "%2F", "%5c", "%", "%zz", "//", "/..",
    "/.", ";", "\\", "\"", "<", ">", "`", "{", "}", "|", "^", "\u{e9}", " ", "\t", "\0", "\r",
    "\n", "&x=1", "+", "~", "@", "[", "'", "http:",
];

const AUTHORITIES: [&str; 22] = [
    "site.example",
    "site.example",
    "site.example",
    "SITE.example",
    "site.example:80",
    "site.example.",
    "a:81",
    "a:0081",
    "a:",
    "[::1]",
    "[::1]:80",
    "127.0.0.1",
    "",
    "a b",
    "user@a",
    "a,b",
    "%61",
    "a/b",
    "a:x",
    "-",
    "xn--bcher-kva.example",
    "b\u{fc}cher.example",
];

/// Names of fields. Those of a connection are left out: over HTTP/2 they are malformed.
const NAMES: [&str; 26] = [
    "x-a",
    "X-A",
    "x-b",
    "x_a",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Original-URL",
    "Forwarded",
    "Via",
    "Cookie",
    "Cookie",
    "Authorization",
    "Accept-Encoding",
    "Accept-Language",
    "Range",
    "If-None-Match",
    "Cache-Control",
    "Max-Forwards",
    "Expect",
    "Trailer",
    "X-Request-ID",
    "Referer",
    "Content-Type",
    "HTTP2-Settings",
    "X y",
    "X\u{e9}",
];

const VALUES: [&[u8]; 22] = [
    b"",
    b"0",
    b"1",
    b"5",
    b"a",
    b"a, b",
    b"a=1; b=2",
    b"_ga=1",
    b"100-continue",
    b"trailers",
    b"x-sum",
    b"bytes=0-4",
    b"bytes=0-0,2-2",
    b"\"1\"",
    b"no-store",
    b"only-if-cached",
    b"max-stale",
    b"\xe9",
    b"a\tb",
    b"a\0b",
    b"a\nb",
    b"gzip, br;q=0.5",
];

const TRAILERS: [&str; 6] = ["x-sum", "X-Sum", "host", "content-length", "x_sum", "x sum"];

/// Lengths beside the right one, which are none.
const LENGTHS: [&[&str]; 8] = [&[], &[], &[], &[], &["5", "5"], &["+5"], &["5, 5"], &[""]];

fn cases() -> impl Strategy<Value = Case> {
    let rooted = vec(select(&PARTS[..]), 0..6).prop_map(|parts| format!("/{}", parts.concat()));
    let loose = vec(select(&PARTS[..]), 0..4).prop_map(|parts| parts.concat());
    let fragment = vec(select(&PARTS[..]), 0..2).prop_map(|parts| format!("#{}", parts.concat()));
    let target = prop_oneof![8 => rooted, 2 => loose, 1 => fragment];
    let authority = option::weighted(0.9, select(&AUTHORITIES[..]));
    let fields = vec((select(&NAMES[..]), select(&VALUES[..])), 0..5);
    let trailers = vec((select(&TRAILERS[..]), select(&VALUES[..])), 0..3);
    let content =
        option::weighted(0.3, (select(&["", "hello"][..]), option::weighted(0.4, trailers)));
    let lengths = select(&LENGTHS[..]);
    (select(&METHODS[..]), target, authority, fields, content, lengths).prop_map(
        |(method, target, authority, fields, content, lengths): (_, _, _, _, _, &[&str])| {
            let case = Case::new(method, target).authority(authority);
            let case = match authority {
                Some(_) => case,
                None => case.field("Host", "site.example"),
            };
            let put = |case: Case, (name, value): (&str, &[u8])| case.field(name, value);
            let case = fields.into_iter().fold(case, put);
            let length = |case: Case, length: &&str| case.field("Content-Length", length);
            let mut case = lengths.iter().fold(case, length);
            if let Some((content, trailers)) = content {
                case = case.content(content);
                case.trailers = trailers.map(|trailers| {
                    let own = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
                    trailers.into_iter().map(own).collect()
                });
            }
            case
        },
    )
}

#[test]
fn the_origin_receives_the_same_over_both_protocols_or_both_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(Stage::new());
    let count = std::env::var("SHELLAC_SAME_REQUESTS").map_or(500, |count| count.parse().unwrap());
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&cases(), |case| {
        let (one, other) = runtime
            .block_on(async { (over_http1(&stage, &case).await, over_http2(&stage, &case).await) });
        prop_assert!(one.is_like(&other), "HTTP/1: {one:?}\nHTTP/2: {other:?}");
        Ok(())
    });
    if let Err(TestError::Fail(reason, case)) = result {
        panic!("{reason}\nHTTP/1: {}", case.http1().escape_ascii());
    }
}
