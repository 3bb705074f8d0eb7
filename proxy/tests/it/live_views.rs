//! The snapshot of the live views and its stream, against traffic that is known.

use process::clock::Clock;
use serde_json::{Value, json};

use crate::support::client::Connection;
use crate::support::in_time;
use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::{Proxy, START, request};

fn in_memory(config: &mut settings::Config) {
    config.storage.kind = settings::StorageKind::Memory;
}

async fn live(proxy: &Proxy) -> Value {
    proxy.ask_admin("GET", "/api/v1/live", &[], "").await.json()
}

/// Moves the clock forward by a second, and waits for the sampler to notice.
async fn second(proxy: &Proxy) -> Value {
    let before = live(proxy).await["number"].as_u64();
    proxy.advance(1);
    let sampled = async {
        loop {
            let snapshot = live(proxy).await;
            if snapshot["number"].as_u64() > before {
                return snapshot;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time("a second to be sampled", sampled).await
}

#[tokio::test]
async fn the_snapshot_shows_what_was_asked_and_how_it_was_answered() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    origin.on("/b", ok("x").field("cache-control", "private"));
    let proxy = Proxy::start_with(&origin, in_memory);
    for path in ["/a", "/a", "/a", "/a", "/b", "/b"] {
        proxy.get(path).await;
    }
    proxy.get_with("/a", &[("cookie", "session=1")]).await;
    proxy.purge(r#"{"tags":["t"],"urls":["http://site.example/a"]}"#).await;

    let snapshot = second(&proxy).await;

    assert_eq!(snapshot["number"], 1);
    assert_eq!(snapshot["now"], "1994-11-06T08:49:38.000Z");
    assert_eq!(snapshot["uptime_seconds"], 1.0);
    assert_eq!((&snapshot["ready"], &snapshot["unready_because"]), (&true.into(), &Value::Null));
    let ratio = json!(0.4286);
    assert_eq!(
        snapshot["hit_ratio"],
        json!({"1s": ratio, "10s": ratio, "1m": ratio, "15m": ratio})
    );
    let rates =
        json!({"requests": 7.0, "origin_requests": 4.0, "bytes_in": 0.0, "bytes_out": 27.0});
    assert_eq!(snapshot["rates"], rates);
    let outcomes = json!({
        "hit": 3.0, "stale": 0.0, "revalidated": 0.0, "miss": 1.0, "bypass": 1.0,
        "uncacheable": 2.0, "error": 0.0, "synthetic": 0.0, "purge": 0.0,
    });
    assert_eq!(snapshot["outcomes"], outcomes);
    for (series, count) in [
        ("requests", 7),
        ("hits", 3),
        ("misses", 3),
        ("bypasses", 1),
        ("errors", 0),
        ("purges", 2),
        ("origin_requests", 4),
        ("bytes_out", 27),
    ] {
        assert_eq!(snapshot["series"][series], json!([count]), "{series}");
    }
    let sum = |name: &str| {
        let counts = snapshot["histogram"][name].as_array().unwrap();
        counts.iter().filter_map(Value::as_u64).sum::<u64>()
    };
    assert_eq!((sum("hits"), sum("misses")), (3, 4), "one hit was timed, and stands for three");
    assert!(snapshot["latency_seconds"]["miss"]["p95"].as_f64() > Some(0.0));

    let origin_state = &snapshot["origins"][0];
    assert_eq!((&origin_state["name"], &origin_state["requests"]), (&"app".into(), &4.into()));
    let server = &origin_state["servers"][0];
    assert_eq!(server["address"], origin.address.to_string());
    assert_eq!((&server["state"], &server["requests"]), (&"up".into(), &4.into()));
    assert_eq!((&server["errors"], &server["in_flight"]), (&0.into(), &0.into()));
    let memory = &snapshot["storage"][0];
    assert_eq!((&memory["tier"], &memory["objects"]), (&"memory".into(), &0.into()));
    assert_eq!(memory["capacity_bytes"], 64 << 20);
    assert_eq!(snapshot["kafka"], Value::Null);
}

#[tokio::test]
async fn an_origin_that_fails_shows_as_errors() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start_at(nobody, Clock::manual(START), in_memory);
    assert!(proxy.get("/a").await.status() >= 500);

    let snapshot = second(&proxy).await;

    assert_eq!(snapshot["series"]["errors"], json!([1]));
    assert_eq!(snapshot["outcomes"]["error"], 1.0);
    assert_eq!(snapshot["origins"][0]["servers"][0]["errors"], 1);
    assert_eq!(snapshot["hit_ratio"]["1s"], Value::Null, "nothing could have been a hit");
}

#[tokio::test]
async fn the_position_in_kafka_is_shown_once_a_purger_delivers() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);
    proxy.deliver_purge(0, &json!({"tags": ["t"]})).await;

    let kafka = &live(&proxy).await["kafka"];

    assert_eq!((&kafka["topic"], &kafka["state"]), (&"t".into(), &"current".into()));
    assert_eq!(kafka["partitions"][0]["position"], 1);
    assert!(kafka["lease_seconds"].as_f64() > Some(0.0), "{kafka}");
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start_with(&origin, in_memory);
    let mut client = proxy.begin("/a", &[]).await;
    client.answer().await;
    assert_eq!(live(&proxy).await["connections"], json!({"open": 1, "tls": 0, "http2": 0}));
}

#[tokio::test]
async fn urls_and_reasons_are_those_of_the_requests_without_values() {
    let origin = Origin::start().await;
    origin.on("/a?token=secret", cacheable("hello"));
    origin.on("/b", ok("x").field("set-cookie", "sid=secret").field("cache-control", "max-age=60"));
    let proxy = Proxy::start_with(&origin, in_memory);
    proxy.get("/a?token=secret").await;
    proxy.get("/b").await;
    proxy.get("/b").await;
    proxy.get_with("/c", &[("cookie", "session=1")]).await;

    let noted = async {
        loop {
            let snapshot = live(&proxy).await;
            if snapshot["top"]["urls"].as_array().is_some_and(|urls| urls.len() == 3) {
                return snapshot;
            }
            tokio::task::yield_now().await;
        }
    };
    let snapshot = in_time("three URLs to be noted", noted).await;

    let url = |url: &str| {
        let urls = snapshot["top"]["urls"].as_array().unwrap();
        let found = urls.iter().find(|entry| entry["url"] == url);
        found.cloned().unwrap_or_else(|| panic!("{url} in {snapshot}"))
    };
    let a = url("http://site.example/a?token=*");
    assert_eq!((&a["requests"], &a["misses"], &a["bytes"]), (&1.into(), &1.into(), &5.into()));
    assert!(a["origin_seconds"].as_f64() > Some(0.0));
    let b = url("http://site.example/b");
    assert_eq!((&b["requests"], &b["misses"], &b["bytes"]), (&2.into(), &2.into(), &2.into()));
    let reasons = snapshot["not_cached"].as_array().unwrap();
    let of = |reason: &str| reasons.iter().find(|entry| entry["reason"] == reason).unwrap();
    assert_eq!(of("set_cookie")["total"], 2);
    assert_eq!(of("set_cookie")["example"], "http://site.example/b");
    assert_eq!(of("cookie")["total"], 1);
    assert!(!snapshot.to_string().contains("secret"), "{snapshot}");
}

#[tokio::test]
async fn purges_are_listed_with_their_source_count_and_position() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("surrogate-key", "t"));
    let proxy = Proxy::start_with(&origin, in_memory);
    proxy.get("/a").await;
    proxy.purge(r#"{"tags":["t"],"id":"p1","reason":"price"}"#).await;
    proxy.get("/a").await;
    proxy.deliver_purge(0, &json!({"tags": ["t"], "mode": "soft", "id": "e1"})).await;

    let answer = proxy.ask_admin("GET", "/api/v1/purges?limit=5", &[], "").await.json();

    let [newest, first] = &answer["purges"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!(first["at"], "1994-11-06T08:49:37.000Z");
    for (field, value) in [
        ("source", "admin"),
        ("selector", "tag t"),
        ("mode", "hard"),
        ("event", "p1"),
        ("reason", "price"),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    assert_eq!(
        (&first["objects"], &first["position"], &first["id"]),
        (&1.into(), &Value::Null, &1.into())
    );
    for (field, value) in [
        ("source", "kafka"),
        ("selector", "tag t"),
        ("mode", "soft"),
        ("event", "e1"),
        ("position", "t/0@0"),
    ] {
        assert_eq!(newest[field], value, "{newest}");
    }
    assert_eq!(newest["objects"], 1);
    assert_eq!(live(&proxy).await["purges"], answer["purges"]);
    let wrong = proxy.ask_admin("GET", "/api/v1/purges?limit=0", &[], "").await;
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn a_stream_of_purges_goes_on_after_the_last_one_that_was_seen() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);
    for tag in ["one", "two"] {
        proxy.purge(&json!({"tags": [tag]}).to_string()).await;
    }
    let mut client = Connection::open(proxy.admin).await;
    let seen = [("Last-Event-ID", "1")];
    client.send(request("GET", "/api/v1/stream/purges", &seen, "")).await;
    client.head().await;
    let text = events_until(&mut client, "event: purge").await;
    assert!(text.contains("id: 2\n") && text.contains("tag two"), "{text}");
    proxy.purge(r#"{"tags":["three"]}"#).await;
    let text = events_until(&mut client, "event: purge").await;
    assert!(text.contains("id: 3\n") && text.contains("tag three"), "{text}");
}

#[tokio::test]
async fn what_purges_of_a_tag_cost_is_counted() {
    let origin = Origin::start().await;
    for path in ["/a", "/b"] {
        origin.on(path, cacheable("hello").field("surrogate-key", "t all"));
    }
    let proxy = Proxy::start_with(&origin, in_memory);
    for path in ["/a", "/b"] {
        proxy.get(path).await;
    }
    proxy.purge(r#"{"tags":["t"]}"#).await;
    proxy.get("/a").await;
    proxy.get("/a").await;

    let tags = async {
        loop {
            let tags = proxy.ask_admin("GET", "/api/v1/tags?by=renders", &[], "").await.json();
            if tags["tags"][0]["renders"] != 0 {
                return tags;
            }
            tokio::task::yield_now().await;
        }
    };
    let tags = in_time("the render to be counted", tags).await;
    let cost = json!({
        "tag": "t", "pages": 1, "purges_per_hour": 1.0, "renders": 1, "bytes": 5, "stale_served": 0,
    });
    assert_eq!(tags["tags"], json!([cost]));
    let other = proxy.ask_admin("GET", "/api/v1/tags?tag=all", &[], "").await.json();
    assert_eq!((&other["tags"][0]["pages"], &other["tags"][0]["renders"]), (&1.into(), &0.into()));
    assert_eq!(proxy.ask_admin("GET", "/api/v1/tags?by=x", &[], "").await.status(), 400);
}

/// Follows the stream and returns the text up to this event.
async fn events_until(client: &mut Connection, end: &str) -> String {
    let mut text = String::new();
    while !(text.contains(end) && text.ends_with("\n\n\r\n")) {
        let bytes = in_time("an event", client.bytes(1)).await;
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

#[tokio::test]
async fn the_stream_sends_a_snapshot_each_second_and_goes_on_where_it_was() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);
    let mut client = Connection::open(proxy.admin).await;
    client.send(request("GET", "/api/v1/stream/stats?series=5", &[], "")).await;
    let head = client.head().await;
    assert!(head.line().contains(" 200 "), "{}", head.line());
    let first = events_until(&mut client, "id: 0\n").await;
    assert!(first.starts_with("D\r\nretry: 2000\n\n"), "{first}");
    assert!(first.contains("event: stats\nid: 0\ndata: {\"version\":"), "{first}");

    second(&proxy).await;
    events_until(&mut client, "id: 1\n").await;
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    let page = metrics.text().replace("{}", "");
    assert!(page.contains("shellac_admin_streams 1\n"), "{page}");

    let mut again = Connection::open(proxy.admin).await;
    let seen = [("Last-Event-ID", "1")];
    again.send(request("GET", "/api/v1/stream/stats", &seen, "")).await;
    again.head().await;
    second(&proxy).await;
    let text = events_until(&mut again, "event: stats").await;
    assert!(text.contains("id: 2\n"), "what was seen is not sent again: {text}");
}

#[tokio::test]
async fn a_wrong_parameter_says_which_one_is_right() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);
    for path in ["/api/v1/live?x", "/api/v1/stream/stats?series=901"] {
        let answer = proxy.ask_admin("GET", path, &[], "").await;
        assert_eq!(answer.status(), 400, "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("series"), "{path}");
    }
    assert_eq!(proxy.ask_admin("POST", "/api/v1/live", &[], "").await.status(), 405);
}
