//! Unsafe methods invalidate (RFC 9111 §4.4): what they changed is asked for again.

use crate::support::origin::{Gate, Origin, cacheable, ok, status};
use crate::support::proxy::Proxy;

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
async fn location_and_content_location_of_this_host_are_invalidated_and_of_no_other() {
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
