//! Unsafe methods invalidate (RFC 9111 §4.4): the pages that they changed are fetched again.

use crate::support::origin::{Gate, Origin, Reply, cacheable, ok, status};
use crate::support::proxy::{Proxy, request};

/// Stores these paths of both hosts.
async fn warm(origin: &Origin, proxy: &Proxy, paths: &[&str]) {
    for path in paths {
        origin.script(path, |request| match request.head.word(0) {
            "GET" => cacheable("page"),
            _ => ok("done"),
        });
        proxy.get(path).await;
        assert!(proxy.get(path).await.is_hit());
    }
}

#[tokio::test]
async fn every_method_that_is_not_safe_invalidates_its_target() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for method in ["POST", "PUT", "PATCH", "DELETE", "FROBNICATE", "get"] {
        warm(&origin, &proxy, &["/a"]).await;

        let answer = proxy.ask(method, "/a", &[]).await;

        assert_eq!(answer.cache_status(), "fwd=method; fwd-status=200; detail=method", "{method}");
        assert_eq!(origin.last("/a").head.word(0), method);
        assert!(!proxy.get("/a").await.is_hit(), "{method}");
    }
}

#[tokio::test]
async fn safe_methods_invalidate_nothing() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    warm(&origin, &proxy, &["/a"]).await;

    proxy.ask("OPTIONS", "/a", &[]).await;
    proxy.ask("HEAD", "/a", &[]).await;

    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn all_variants_of_the_target_are_invalidated() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on("/a", cacheable("").field("vary", "accept-language"));
    for language in ["de", "en"] {
        proxy.get_with("/a", &[("Accept-Language", language)]).await;
    }

    proxy.post("/a", "change").await;

    for language in ["de", "en"] {
        assert!(!proxy.get_with("/a", &[("Accept-Language", language)]).await.is_hit());
    }
}

#[tokio::test]
async fn an_error_invalidates_nothing() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for error in
        ["400 Bad Request", "404 Not Found", "500 Internal Server Error", "503 Service Unavailable"]
    {
        warm(&origin, &proxy, &["/a"]).await;
        origin.on("/a", status(error, ""));
        proxy.post("/a", "change").await;
        assert!(proxy.get("/a").await.is_hit(), "{error}");
    }
}

#[tokio::test]
async fn location_fields_of_this_host_only_are_invalidated() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for field in ["location", "content-location"] {
        for (reference, is_ours) in [
            ("/b", true),
            ("http://site.example/b", true),
            ("http://SITE.example:80/b", true),
            ("//site.example/b#top", true),
            ("http://other.example/b", false),
            ("https://site.example/b", false),
        ] {
            warm(&origin, &proxy, &["/b"]).await;
            origin.on("/form", status("201 Created", "").field(field, reference));

            proxy.post("/form", "change").await;

            assert_eq!(!proxy.get("/b").await.is_hit(), is_ours, "{field}: {reference}");
        }
    }
}

#[tokio::test]
async fn another_hosts_page_of_the_same_path_stays() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    warm(&origin, &proxy, &["/a"]).await;
    let other = [("Host", "other.example")];
    proxy.get_with("/a", &other).await;

    proxy.post("/a", "change").await;

    assert!(proxy.get_with("/a", &other).await.is_hit());
}

#[tokio::test]
async fn a_fetch_that_began_before_the_change_is_not_kept() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let gate = Gate::closed();
    let held = gate.clone();
    origin.script("/a", move |request| match request.head.word(0) {
        "GET" => cacheable("old").after(&held),
        _ => ok("done"),
    });

    let mut before = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    proxy.post("/a", "change").await;
    origin.on("/a", cacheable("new"));
    let after = proxy.get("/a").await;
    gate.open();

    assert_eq!(before.answer().await.text(), "old");
    assert_eq!(after.text(), "new");
    assert_eq!(proxy.get("/a").await.text(), "new");
}

#[tokio::test]
async fn cache_group_invalidation_reaches_the_group_of_this_host_only() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (path, group) in [("/a", "\"g\""), ("/b", "\"h\", \"g\""), ("/c", "\"h\"")] {
        origin.on(path, cacheable("").field("cache-groups", group));
        proxy.get(path).await;
    }
    let other = [("Host", "other.example")];
    proxy.get_with("/a", &other).await;
    origin.on("/form", ok("").field("cache-group-invalidation", "\"g\""));
    origin.on(
        "/failing",
        status("500 Internal Server Error", "").field("cache-group-invalidation", "\"h\""),
    );

    proxy.post("/failing", "x").await;
    let answer = proxy.post("/form", "x").await;

    assert!(!answer.head.has("cache-group-invalidation"));
    assert!(!proxy.get("/a").await.is_hit());
    assert!(!proxy.get("/b").await.is_hit());
    assert!(proxy.get("/c").await.is_hit());
    assert!(proxy.get_with("/a", &other).await.is_hit());
}

#[tokio::test]
async fn a_group_named_in_the_answer_to_a_safe_request_invalidates_nothing() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on("/a", cacheable("").field("cache-groups", "\"g\""));
    origin.on("/b", cacheable("").field("cache-group-invalidation", "\"g\""));
    proxy.get("/a").await;
    proxy.get("/b").await;

    assert!(proxy.get("/a").await.is_hit());
}

/// A POST whose response says that a GET would get the same.
fn created(location: &str) -> Reply {
    cacheable("posted").field("content-location", location)
}

#[tokio::test]
async fn a_fresh_post_response_with_its_own_location_serves_get() {
    let origin = Origin::start().await;
    origin.on("/a?b=1", created("/a?b=1"));
    let proxy = Proxy::start(&origin);

    let posted = proxy.post("/a?b=1", "content").await;
    let hit = proxy.get("/a?b=1").await;

    assert_eq!((posted.status(), posted.text()), (200, "posted"));
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert_eq!(hit.text(), "posted");
    assert_eq!(origin.count("/a?b=1"), 1);
}

#[tokio::test]
async fn other_post_responses_serve_no_other_request() {
    for reply in [
        created("/b"),
        created("http://other.example/a"),
        cacheable("no location"),
        ok("no freshness").field("content-location", "/a"),
        created("/a").field("cache-control", "private"),
        created("/a").field("set-cookie", "a=b"),
        status("201 Created", "")
            .field("cache-control", "max-age=60")
            .field("content-location", "/a"),
    ] {
        let origin = Origin::start().await;
        origin.on("/a", reply.clone());
        let proxy = Proxy::start(&origin);

        proxy.post("/a", "content").await;
        proxy.get("/a").await;

        assert_eq!(origin.count("/a"), 2, "{reply:?}");
    }
}

#[tokio::test]
async fn the_response_to_a_post_with_a_cookie_is_not_shared() {
    let origin = Origin::start().await;
    origin.on("/a", created("/a"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.cookies.otherwise = settings::OtherCookies::Drop;
    });
    let mut client = proxy.connect().await;
    client.send(request("POST", "/a", &[("Cookie", "session=1")], "content")).await;
    client.answer().await;

    proxy.get("/a").await;

    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_get_keeps_its_content_however_it_is_framed() {
    let origin = Origin::start().await;
    origin.on("/a", ok("done"));
    let proxy = Proxy::start(&origin);
    let mut client = proxy.connect().await;

    let head = request("GET", "/a", &[("Transfer-Encoding", "chunked")], "");
    client.send(format!("{head}3\r\nabc\r\n0\r\n\r\n")).await;
    client.answer().await;

    assert_eq!(origin.last("/a").content, b"abc");
}

#[tokio::test]
async fn the_answer_to_a_post_is_kept_whatever_is_changed_beside_it() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let gate = Gate::closed();
    origin.on("/a", created("/a").after(&gate));
    origin.on("/b", ok("other"));
    let mut posting = proxy.connect().await;
    posting.send("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n").await;
    origin.seen("/a", 1).await;
    proxy.post("/b", "change").await;
    proxy.purge(r#"{"tags":["other"],"prefixes":["/b"],"urls":["http://site.example/b"]}"#).await;
    gate.open();

    assert_eq!(posting.answer().await.text(), "posted");
    let hit = proxy.get("/a").await;
    assert_eq!((hit.text(), hit.is_hit()), ("posted", true));
}

#[tokio::test]
async fn a_post_response_overtaken_by_a_change_or_a_purge_is_not_kept() {
    for purge in [
        None,
        Some(r#"{"tags":["t"]}"#),
        Some(r#"{"urls":["http://site.example/a"]}"#),
        Some(r#"{"urls":["http://site.example/a"],"mode":"soft"}"#),
        Some(r#"{"prefixes":["http://site.example/"]}"#),
        Some(r#"{"hosts":["site.example"]}"#),
        Some(r#"{"all":true}"#),
    ] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let gate = Gate::closed();
        let posted = created("/a").field("surrogate-key", "t");
        origin.on_each("/a", [posted.after(&gate), ok("changed by another")]);
        let mut posting = proxy.connect().await;
        posting.send("POST /a HTTP/1.1\r\nHost: site.example\r\nContent-Length: 0\r\n\r\n").await;
        origin.seen("/a", 1).await;
        match purge {
            Some(purge) => drop(proxy.purge(purge).await),
            None => drop(proxy.post("/a", "change").await),
        }
        gate.open();

        assert_eq!(posting.answer().await.text(), "posted", "{purge:?}");
        assert_ne!(proxy.get("/a").await.text(), "posted", "{purge:?}");
    }
}
