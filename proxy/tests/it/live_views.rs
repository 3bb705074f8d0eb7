//! The snapshot of the live views and its stream, against traffic that is known.

use process::clock::Clock;
use serde_json::{Value, json};

use crate::support::client::Connection;
use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::{Proxy, START, request};
use crate::support::{free_address, in_time};

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
    let nobody = free_address();
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
    assert!(text.contains(".2\n") && text.contains("tag two"), "{text}");
    proxy.purge(r#"{"tags":["three"]}"#).await;
    let text = events_until(&mut client, "event: purge").await;
    assert!(text.contains(".3\n") && text.contains("tag three"), "{text}");

    // The id of an event is good for this process only: another one has purges of its own.
    let id = text.lines().find_map(|line| line.trim().strip_prefix("id: ")).unwrap();
    let list = proxy.ask_admin("GET", "/api/v1/purges", &[], "").await.json();
    assert_eq!(id, format!("{}.3", list["process"].as_str().unwrap()));
    for (seen, next) in [(id, "tag four"), ("another-process.3", "tag one")] {
        let mut client = Connection::open(proxy.admin).await;
        let seen = [("Last-Event-ID", seen)];
        client.send(request("GET", "/api/v1/stream/purges", &seen, "")).await;
        client.head().await;
        proxy.purge(r#"{"tags":["four"]}"#).await;
        let text = events_until(&mut client, "event: purge").await;
        assert!(text.contains(next), "{text}");
    }
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

#[tokio::test]
async fn stored_responses_are_listed_by_page_and_shown_with_their_tags() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("surrogate-key", "t u"));
    origin.on("/b", cacheable("hello, world").field("surrogate-key", "t"));
    let proxy = Proxy::start_with(&origin, in_memory);
    for path in ["/a", "/b"] {
        proxy.get(path).await;
    }
    let ask = async |query: &str| {
        let path = format!("/api/v1/objects?{query}");
        proxy.ask_admin("GET", &path, &[], "").await.json()
    };
    let urls = |page: &Value| {
        let objects = page["objects"].as_array().unwrap();
        objects.iter().map(|object| object["url"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let first = ask("limit=1").await;
    let next = first["next"].as_str().expect("there is another page").to_owned();
    let second = ask(&format!("limit=1&after={next}")).await;
    assert_eq!((&second["next"], &second["is_partial"]), (&Value::Null, &false.into()));
    let mut all = [urls(&first), urls(&second)].concat();
    all.sort();
    assert_eq!(all, ["http://site.example/a", "http://site.example/b"]);

    assert_eq!(urls(&ask("tag=u").await), ["http://site.example/a"]);
    assert_eq!(urls(&ask("larger=6").await), ["http://site.example/b"]);
    assert_eq!(urls(&ask("prefix=http%3A%2F%2Fsite.example%2Fb").await), ["http://site.example/b"]);
    assert_eq!(urls(&ask("older=5").await), [""; 0]);
    proxy.advance(5);
    assert_eq!(urls(&ask("older=5").await).len(), 2);

    let shown = ask("url=http%3A%2F%2Fsite.example%2Fa").await;
    let [object] = &shown["objects"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&object["tags"], &object["tier"]), (&json!(["t", "u"]), &"memory".into()));
    assert_eq!((&object["status"], &object["bytes"]), (&200.into(), &5.into()));
    assert_eq!((&object["age_seconds"], &object["state"]), (&5.into(), &"fresh".into()));
    assert_eq!(ask("url=http%3A%2F%2Fsite.example%2Fc").await["objects"], json!([]));
    let wrong = proxy.ask_admin("GET", "/api/v1/objects?limit=0", &[], "").await;
    assert_eq!((wrong.status(), &wrong.json()["code"]), (400, &"bad_request".into()));
}

#[tokio::test]
async fn every_page_that_is_read_answers_as_the_openapi_file_says() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);
    let document =
        proxy.ask_admin("GET", "/openapi.json", &[("host", "localhost")], "").await.json();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let is_read = methods["get"].is_object() && !path.contains('{');
        if is_read && !path.contains("stream") {
            let answer = proxy.ask_admin("GET", path, &[("host", "localhost")], "").await;
            let content = methods["get"]["responses"]["200"]["content"].as_object().unwrap();
            let media = answer.field("content-type").unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert!(content.contains_key(&media), "{path} answers with {media}");
            asked += 1;
        }
        let refused = proxy
            .ask_admin("PUT", &path.replace(['{', '}'], ""), &[("host", "localhost")], "")
            .await;
        assert_eq!(refused.status(), 405, "{path}");
        let allow = refused.field("allow").unwrap();
        for method in methods.as_object().unwrap().keys() {
            assert!(allow.contains(&method.to_uppercase()), "{path}: {allow}");
        }
    }
    assert!(asked > 10, "{asked}");
}

#[tokio::test]
async fn metrics_come_in_the_classic_format_unless_openmetrics_is_named() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, in_memory);
    proxy.get("/a").await;
    let answer = proxy.ask_admin("GET", "/metrics", &[("accept", "*/*")], "").await;
    assert_eq!(answer.field("content-type").unwrap(), "text/plain; version=0.0.4; charset=utf-8");
    let page = answer.text();
    assert!(page.contains("# TYPE shellac_http_requests_total counter\n"), "{page}");
    assert!(page.contains("process_cpu_seconds_total "), "{page}");
    assert!(!page.contains("# EOF") && !page.contains("{} "), "{page}");
}

#[tokio::test]
async fn the_settings_that_hold_are_shown_with_their_sources_and_without_secrets() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let text = format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
        token = \"hunter22hunter22\"\n[origin.app]\nservers = [\"{}\"]\n[storage]\nkind = \"memory\"\n",
        origin.address
    );
    std::fs::write(&file, text).unwrap();
    let proxy = Proxy::start_from(&file, Clock::manual(START));
    let refused = proxy.ask_admin("GET", "/api/v1/config", &[], "").await;
    assert_eq!((refused.status(), &refused.json()["code"]), (401, &"unauthorized".into()));
    assert!(refused.json()["hint"].as_str().unwrap().contains("Bearer"));

    let token = [("authorization", "Bearer hunter22hunter22")];
    let answer = proxy.ask_admin("GET", "/api/v1/config", &token, "").await;

    let document = answer.json();
    let of = |setting: &str| {
        let all = document["settings"].as_array().unwrap();
        all.iter().find(|one| one["setting"] == setting).cloned().unwrap_or_default()
    };
    assert_eq!(of("workers")["value"], "1");
    assert!(of("workers")["source"].as_str().unwrap().ends_with("config.toml:1"));
    assert_eq!(of("purge.default_mode")["source"], "default");
    assert_eq!(of("admin.token")["value"], "***");
    assert_eq!(of("purge.token")["value"], "(unset)");
    assert!(!answer.text().contains("hunter22"));
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
