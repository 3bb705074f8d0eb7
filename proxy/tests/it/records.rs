//! The record of each request: made with its response, ended with the last byte or the client.

use std::sync::Arc;

use http::StatusCode;
use http::header::ETAG;
use parking_lot::Mutex;
use shellac::testing::cache::outcome::Outcome;
use shellac::testing::cache::record::RequestRecord;
use shellac::testing::client::peer::ListenerId;
use shellac::testing::field::cache_status::{CacheStatus, ForwardReason, Forwarded};
use shellac::testing::front::record_sinks::{RecordSink, Wants};
use shellac::testing::reason::Reason;

use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::{Proxy, START};
use crate::support::until;

/// Keeps records in the order in which requests ended.
#[derive(Debug, Default)]
struct Records(Mutex<Vec<RequestRecord>>);

impl RecordSink for Records {
    fn take(&self, record: &RequestRecord) {
        self.0.lock().push(record.clone());
    }
}

impl Records {
    fn of(proxy: &Proxy) -> Arc<Self> {
        let records = Arc::<Self>::default();
        let sink = Arc::<Self>::clone(&records);
        proxy.app.front.records.replace("test", Some(sink));
        records
    }

    /// Waits for the next request to end.
    async fn next(&self) -> RequestRecord {
        until("a request to end", || !self.0.lock().is_empty()).await;
        self.0.lock().remove(0)
    }
}

fn forwarded(record: &RequestRecord) -> Forwarded {
    match record.cache_status {
        Some(CacheStatus::Forward(forwarded)) => forwarded,
        other => panic!("not forwarded: {other:?}"),
    }
}

#[tokio::test]
async fn a_miss_and_its_hit_are_recorded_with_key_origin_and_bytes() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    let records = Records::of(&proxy);

    proxy.get("/a").await;
    let miss = records.next().await;
    assert_eq!(miss.outcome, Some(Outcome::Miss));
    assert_eq!(miss.status, Some(StatusCode::OK));
    assert_eq!(miss.listener, Some(ListenerId::at(0)));
    assert_eq!(forwarded(&miss).reason, ForwardReason::UriMiss);
    assert!(forwarded(&miss).is_stored && !forwarded(&miss).is_collapsed);
    assert!(miss.origin.is_some() && miss.first_byte.is_some() && miss.purges.is_some());
    assert_eq!((miss.sent, miss.received.bytes(), miss.is_complete), (5, 0, true));
    assert_eq!(miss.started, START);

    proxy.advance(2);
    proxy.get("/a").await;
    let hit = records.next().await;
    assert_eq!(hit.outcome, Some(Outcome::Hit));
    assert!(matches!(hit.cache_status, Some(CacheStatus::Hit { detail: None, .. })));
    assert_eq!((hit.key, hit.origin, hit.first_byte), (miss.key, None, None));
    assert_eq!((hit.sent, hit.is_complete), (5, true));
    assert_eq!(hit.started.since(START).as_secs(), 2);
    assert_eq!(proxy.app.front.metrics.total(Outcome::Hit), 1);
}

#[tokio::test]
async fn stale_and_validated_responses_say_so() {
    let origin = Origin::start().await;
    let old = ok("old").field("cache-control", "max-age=60, stale-while-revalidate=30");
    let confirmed = not_modified().field("cache-control", "max-age=60");
    origin.on_each("/a", [old.field("etag", "\"1\""), confirmed]);
    let proxy = Proxy::start(&origin);
    let records = Records::of(&proxy);
    proxy.get("/a").await;
    records.next().await;

    proxy.advance(61);
    proxy.get("/a").await;
    let stale = records.next().await;
    assert_eq!(stale.outcome, Some(Outcome::Stale));
    let detail = Some(Reason::StaleWhileRevalidate);
    assert_eq!(stale.cache_status, Some(CacheStatus::Hit { ttl: -1, detail }));

    origin.seen("/a", 2).await;
    until("freshening", || proxy.app.front.cache.fetcher().in_flight().0 == 0).await;
    proxy.advance(200);
    origin.on("/a", not_modified().field("cache-control", "max-age=60"));
    proxy.get("/a").await;
    let validated = records.next().await;
    assert_eq!(validated.outcome, Some(Outcome::Revalidated));
    assert_eq!(forwarded(&validated).reason, ForwardReason::Stale);
    assert_eq!((validated.status, validated.sent), (Some(StatusCode::OK), 3));
}

#[tokio::test]
async fn passed_requests_are_recorded_with_bytes_both_ways() {
    let origin = Origin::start().await;
    origin.on("/a", ok("done"));
    let proxy = Proxy::start(&origin);
    let records = Records::of(&proxy);

    proxy.post("/a", "content").await;

    let passed = records.next().await;
    assert_eq!(passed.outcome, Some(Outcome::Bypass));
    assert_eq!(forwarded(&passed).reason, ForwardReason::Method);
    assert_eq!((passed.received.bytes(), passed.sent, passed.is_complete), (7, 4, true));
    assert!(passed.origin.is_some());
}

#[tokio::test]
async fn errors_are_recorded_with_their_reason() {
    let origin = Origin::start().await;
    origin.on("/a", Reply::nothing().close());
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    let records = Records::of(&proxy);

    let answer = proxy.get("/a").await;

    let error = records.next().await;
    assert_eq!(error.outcome, Some(Outcome::Synthetic));
    assert_eq!(error.status.map(|status| status.as_u16()), Some(answer.status()));
    assert_eq!(forwarded(&error).detail, Some(Reason::Broken));

    proxy.get_with("/b", &[("cache-control", "only-if-cached")]).await;
    let refused = records.next().await;
    assert_eq!(refused.cache_status, Some(CacheStatus::Refused(Reason::OnlyIfCached)));
    assert_eq!((refused.origin, refused.first_byte), (None, None));
}

#[tokio::test]
async fn a_client_that_leaves_within_the_content_ends_the_record() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
    origin.on("/events", Reply::bytes(head).send("5\r\nhello\r\n").hold(&never));
    let proxy = Proxy::start(&origin);
    let records = Records::of(&proxy);

    let mut client = proxy.begin("/events", &[]).await;
    client.head().await;
    client.bytes(10).await;
    proxy.advance(2);
    drop(client);

    let left = records.next().await;
    assert_eq!(left.outcome, Some(Outcome::Uncacheable));
    assert_eq!((left.status, left.sent), (Some(StatusCode::OK), 5));
    assert!(!left.is_complete);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_is_recorded_without_outcome() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("late").after(&gate));
    let proxy = Proxy::start(&origin);
    let records = Records::of(&proxy);

    let client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    proxy.advance(2);
    drop(client);

    let left = records.next().await;
    assert_eq!((left.outcome, left.status, left.sent), (None, None, 0));
    assert!(left.key.is_some() && !left.is_complete);
    gate.open();
}

#[tokio::test]
async fn head_is_recorded_without_content() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    let records = Records::of(&proxy);
    proxy.get("/a").await;
    records.next().await;

    proxy.ask("HEAD", "/a", &[]).await;

    let head = records.next().await;
    assert_eq!(head.outcome, Some(Outcome::Hit));
    assert_eq!((head.sent, head.is_complete), (0, true));
}

#[tokio::test]
async fn a_purge_by_method_is_recorded_with_its_sequence() {
    let origin = Origin::start().await;
    origin.on("/a", status("404 Not Found", ""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap()];
        config.purge.token = None;
    });
    let records = Records::of(&proxy);

    let answer = proxy.ask("PURGE", "/a", &[]).await;

    let purge = records.next().await;
    assert_eq!(purge.status.map(|status| status.as_u16()), Some(answer.status()));
    assert_eq!((purge.outcome, purge.cache_status), (Some(Outcome::Purge), None));
    assert!(purge.key.is_some() && purge.origin.is_none());
    assert_eq!(purge.purges, Some(proxy.app.invalidation.sequence()));
    assert_eq!(origin.count("/a"), 0);
}

#[derive(Debug, Default)]
struct Details(Mutex<Vec<(String, usize, usize)>>);

impl RecordSink for Details {
    fn wants(&self) -> Wants {
        Wants { details: true, response_fields: vec![ETAG], spans: None }
    }

    fn take(&self, record: &RequestRecord) {
        let details = record.details.as_ref().expect("the sink asks for them");
        let line = details.line.as_ref();
        let said = line.map(|line| format!("{} {}", line.method, line.uri));
        assert!(details.total >= details.until_head);
        self.0.lock().push((
            said.unwrap_or_default(),
            details.fields().len(),
            details.response_fields.len(),
        ));
    }
}

#[tokio::test]
async fn a_sink_that_asks_for_details_gets_the_head_of_every_request() {
    let origin = Origin::start().await;
    origin.on("/a?x=1", cacheable("hello").field("etag", "\"a\""));
    let proxy = Proxy::start(&origin);
    let (details, plain) = (Arc::<Details>::default(), Records::of(&proxy));
    proxy.app.front.records.replace("details", Some(Arc::<Details>::clone(&details)));

    for path in ["/a?x=1", "/a?x=1"] {
        proxy.get(path).await;
    }
    for refused in ["GET / HTTP/1.1\r\n\r\n", "bad\r\n\r\n"] {
        let mut connection = proxy.connect().await;
        connection.send(refused).await;
        connection.until_closed().await;
    }
    until("all to end", || plain.0.lock().len() == 4).await;

    let said = details.0.lock().clone();
    let lines: Vec<&str> = said.iter().map(|(line, ..)| line.as_str()).collect();
    assert_eq!(lines, ["GET /a?x=1", "GET /a?x=1", "GET /", ""]);
    assert!(said[0].1 > 0 && said[1].1 > 0, "{said:?}");
    assert_eq!([said[0].2, said[1].2], [1, 1], "the entity tag");
    proxy.app.front.records.replace("details", None);
    proxy.get("/a?x=1").await;
    until("the hit to end", || plain.0.lock().len() == 5).await;
    assert!(plain.0.lock()[4].details.is_none(), "nobody asks");
}
