//! `POST /api/v1/explain`: what it says is what happens.

use serde_json::{Value, json};

use crate::support::origin::{Origin, Reply, cacheable, ok};
use crate::support::proxy::Proxy;
use crate::support::reloading::Reloading;

async fn explain(reloading: &Reloading, question: Value) -> Value {
    let content = question.to_string();
    let fields = [("content-type", "application/json")];
    let answer = reloading.proxy.ask_admin("POST", "/api/v1/explain", &fields, &content).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

fn outcome(document: &Value) -> (&str, Option<bool>, Option<&str>) {
    let verdict = &document["verdict"];
    let reason = verdict["reason"].as_str();
    (verdict["outcome"].as_str().unwrap(), verdict["is_cacheable"].as_bool(), reason)
}

#[tokio::test]
async fn it_says_what_happens_before_and_after_a_fetch_and_a_purge() {
    let origin = Origin::start().await;
    origin.on("/p?a=1", cacheable("hello").field("cache-tag", "t"));
    let rule = "[[rule]]\nname = \"pages\"\npath = \"/p\"\nbrowser_ttl = \"1s\"\n";
    let reloading = Reloading::start(&origin, rule);
    let question = json!({"url": "http://h/p?a=1&utm_source=x", "headers": [["cookie", "_ga=1"]]});

    let before = explain(&reloading, question.clone()).await;
    assert_eq!(outcome(&before), ("miss", None, None));
    assert_eq!(before["rules"], json!([{"name": "pages", "number": 1}]));
    assert_eq!(before["key"]["url"], "http://h/p?a=1");
    assert_eq!(before["key"]["dropped_parameters"], json!(["utm_source"]));
    assert_eq!(before["key"]["dropped_cookies"], json!(["_ga"]));
    assert_eq!(before["lookup"]["fwd"], "uri-miss");
    assert_eq!(before["origin"]["name"], "app");
    assert_eq!(origin.all_received().len(), 0, "nothing is sent");
    assert!(!before.to_string().contains("_ga=1"), "no value of a cookie is shown");

    let mut asking = question.clone();
    asking["fetch"] = true.into();
    let fetched = explain(&reloading, asking).await;
    assert_eq!(outcome(&fetched), ("miss", Some(true), None));
    assert_eq!((&fetched["store"]["status"], &fetched["store"]["bytes"]), (&json!(200), &json!(5)));
    let fields = [("host", "h"), ("cookie", "_ga=1")];
    assert!(reloading.proxy.get_with("/p?a=1&utm_source=y", &fields).await.is_hit());

    reloading.proxy.advance(7);
    let hit = explain(&reloading, question.clone()).await;
    assert_eq!(outcome(&hit), ("hit", Some(true), None));
    assert_eq!((&hit["lookup"]["age"], &hit["lookup"]["ttl"]), (&json!(7), &json!(53)));

    reloading.proxy.purge(r#"{"tags":["t"],"mode":"soft"}"#).await;
    let purged = explain(&reloading, question.clone()).await;
    assert_eq!(outcome(&purged), ("validation", Some(true), None));
    assert_eq!(purged["lookup"]["purge"]["mode"], "soft");
    reloading.proxy.purge(r#"{"tags":["t"],"mode":"hard"}"#).await;
    assert_eq!(outcome(&explain(&reloading, question).await).0, "miss");
}

#[tokio::test]
async fn it_names_the_last_purge_of_a_page_though_nothing_of_it_is_stored() {
    let origin = Origin::start().await;
    origin.on("/p", cacheable("hello").field("cache-tag", "t"));
    let reloading = Reloading::start(&origin, "");
    let proxy = &reloading.proxy;
    let last =
        async || explain(&reloading, json!({"url": "http://h/p"})).await["last_purge"].clone();
    proxy.get_with("/p", &[("host", "h")]).await;
    proxy.purge(r#"{"tags":["other"],"urls":["http://h/q"]}"#).await;
    assert_eq!(last().await, Value::Null, "it was not purged");

    proxy.purge(r#"{"tags":["x","t"],"mode":"hard","reason":"price"}"#).await;
    let by_tag = last().await;
    let expected = [
        ("selector", json!("tag t")),
        ("mode", json!("hard")),
        ("source", json!("admin")),
        ("client", json!("127.0.0.1")),
        ("reason", json!("price")),
        ("position", Value::Null),
    ];
    for (field, value) in expected {
        assert_eq!(by_tag[field], value, "{field}");
    }
    proxy.advance(192);
    assert_eq!(last().await["seconds_ago"], 192);

    proxy.purge(r#"{"prefixes":["http://h/"],"mode":"soft"}"#).await;
    assert_eq!(last().await["selector"], "prefix http://h/");
    proxy.purge(r#"{"hosts":["else"],"tags":["y"]}"#).await;
    assert_eq!(last().await["mode"], "soft", "the last one that names it, not the last one");
}

#[tokio::test]
async fn it_names_the_reason_and_the_settings_that_would_help() {
    let origin = Origin::start().await;
    origin.on("/cookie", cacheable("x").field("set-cookie", "sid=1"));
    origin.on("/plain", ok("x"));
    let reloading = Reloading::start(&origin, "");
    for (path, headers, expected, fix) in [
        (
            "/p",
            json!([["cookie", "sid=secret"]]),
            ("bypass", Some(false), Some("cookie")),
            "drop = [",
        ),
        ("/cookie", json!([]), ("miss", Some(false), Some("set_cookie")), "set_cookie = \"strip\""),
        ("/plain", json!([]), ("miss", Some(false), Some("no_freshness")), "ttl = "),
    ] {
        let url = format!("http://h{path}");
        let document =
            explain(&reloading, json!({"url": url, "headers": headers, "fetch": true})).await;
        assert_eq!(outcome(&document), expected, "{document}");
        let told = document["verdict"]["fix"].as_str().unwrap();
        assert!(told.contains(fix) && !told.contains("secret"), "{told}");
        // The fix is one: the configuration can be read, and the verdict is another one.
        reloading.apply(told).await;
        let document =
            explain(&reloading, json!({"url": url, "headers": headers, "fetch": true})).await;
        assert_ne!(document["verdict"]["reason"], json!(expected.2), "{document}");
        reloading.apply("").await;
    }
    let wrong = reloading.proxy.ask_admin("POST", "/api/v1/explain", &[], r#"{"url":"/p"}"#).await;
    assert_eq!(wrong.status(), 422);
    assert!(wrong.json()["detail"].as_str().unwrap().contains("no host"), "{}", wrong.text());
}

#[tokio::test]
async fn a_response_that_turns_out_to_be_too_long_is_not_cacheable() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
    let content = format!("20000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x20000));
    origin.on("/p", Reply::bytes(format!("{head}{content}")));
    let proxy = Proxy::start_with(&origin, |config| config.storage.memory.max_object = 64 << 10);
    let question = json!({"url": "http://h/p", "fetch": true}).to_string();
    let fields = [("content-type", "application/json")];
    let answer = proxy.ask_admin("POST", "/api/v1/explain", &fields, &question).await;
    let fetched: Value = answer.json();
    assert_eq!(fetched["store"]["bytes"], 0x20000, "{fetched}");
    assert_eq!(outcome(&fetched), ("miss", Some(false), Some("too_large")));
}
