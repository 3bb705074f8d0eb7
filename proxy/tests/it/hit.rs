//! Hits: the stored response as it came, with our `Age`, `Via` and `Cache-Status`.

use std::time::Duration;

use settings::StatusRange;

use crate::support::origin::{Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::{Proxy, START_DATE, request};

#[tokio::test]
async fn the_second_request_is_answered_from_the_store() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get("/a").await;
    proxy.advance(7);
    let hit = proxy.get("/a").await;

    assert_eq!(miss.cache_status(), "fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(miss.field("age"), None);
    assert_eq!(hit.cache_status(), "hit; ttl=53");
    assert_eq!(hit.field("age").unwrap(), "7");
    assert_eq!((miss.text(), hit.text()), ("hello", "hello"));
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn age_counts_from_the_age_at_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("").field("age", "10"));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get("/a").await;
    proxy.advance(5);
    let hit = proxy.get("/a").await;
    proxy.advance(45);
    let late = proxy.get("/a").await;

    assert_eq!(miss.field("age").unwrap(), "10");
    assert_eq!(hit.field("age").unwrap(), "15");
    assert_eq!(hit.cache_status(), "hit; ttl=45");
    assert!(!late.is_hit());
}

#[tokio::test]
async fn fields_pass_byte_for_byte_and_repeated_lines_stay_apart() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncache-control: max-age=60\r\nx-twice: one,  two\r\n\
                x-twice: three\r\nx-latin: caf\u{e9}\r\nlink: </a>; rel=preload\r\nlink: </b>; rel=preload\r\n\
                x-empty: \r\nx-odd: \t!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\r\n\r\nhi";
    origin.on("/a", Reply::bytes(head));
    let proxy = Proxy::start(&origin);

    for answer in [proxy.get("/a").await, proxy.get("/a").await] {
        let fields = |name| answer.head.fields(name).collect::<Vec<_>>();
        assert_eq!(fields("x-twice"), ["one,  two", "three"]);
        assert_eq!(fields("link"), ["</a>; rel=preload", "</b>; rel=preload"]);
        assert_eq!(fields("x-latin"), ["caf\u{e9}"]);
        assert_eq!(fields("x-empty"), [""]);
        assert_eq!(fields("x-odd"), ["!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]);
        assert_eq!(fields("content-length"), ["2"]);
    }
}

#[tokio::test]
async fn via_is_appended_and_a_missing_date_is_added() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("").field("via", "1.0 renderer"));
    let proxy = Proxy::start(&origin);

    for answer in [proxy.get("/a").await, proxy.get("/a").await] {
        assert_eq!(answer.field("via").unwrap(), "1.0 renderer, 1.1 shellac");
        assert_eq!(answer.field("date").unwrap(), START_DATE);
    }
}

#[tokio::test]
async fn cache_status_is_appended_to_that_of_a_cache_before_us() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("").field("cache-status", "inner; hit"));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get("/a").await;
    let hit = proxy.get("/a").await;

    let lines = |answer: &crate::support::client::Answer| {
        answer.head.fields("cache-status").map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&miss), ["inner; hit", "shellac; fwd=uri-miss; fwd-status=200; stored"]);
    assert_eq!(lines(&hit), ["inner; hit", "shellac; hit; ttl=60"]);
}

#[tokio::test]
async fn cache_status_can_be_switched_off_and_via_be_renamed() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.response.cache_status = false;
        config.response.via = "edge-1".to_owned();
    });

    let miss = proxy.get("/a").await;
    let hit = proxy.get("/a").await;

    assert!(!miss.head.has("cache-status") && !hit.head.has("cache-status"));
    assert_eq!(hit.field("via").unwrap(), "1.1 edge-1");
    assert!(origin.last("/a").head.field("via").unwrap().ends_with("1.1 edge-1"));
}

#[tokio::test]
async fn a_response_to_one_clients_odd_request_is_not_shared() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for code in ["400", "413", "414", "431", "501"] {
        let path = format!("/{code}");
        let odd = status(&format!("{code} No"), "no").field("cache-control", "max-age=60");
        origin.on_each(&path, [odd, cacheable("yes")]);

        let refused = proxy.get(&path).await;
        let other = proxy.get(&path).await;

        assert!(refused.cache_status().ends_with("detail=status"), "{}", refused.cache_status());
        assert_eq!((other.status(), other.text()), (200, "yes"));
        assert!(proxy.get(&path).await.is_hit(), "{code}");
    }
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get_with_its_length() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let mut connection = proxy.connect().await;
    connection.send("HEAD /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let head = connection.answer_to_head().await;
    connection.send("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").await;
    let get = connection.answer().await; // not displaced by content of the answer before

    assert_eq!(head.status(), 200);
    assert!(head.is_hit());
    assert_eq!(head.field("content-length").unwrap(), "5");
    assert_eq!(get.text(), "hello");
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn head_tells_the_length_of_content_that_came_in_chunks() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60\r\n\r\n";
    origin.on("/a", Reply::bytes(head).send("3\r\nabc\r\n").send("2\r\nde\r\n0\r\n\r\n"));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get("/a").await;
    let head = proxy.ask("HEAD", "/a", &[]).await;
    let hit = proxy.get("/a").await;

    assert_eq!(miss.text(), "abcde");
    assert_eq!(head.field("content-length").unwrap(), "5");
    assert_eq!(hit.text(), "abcde");
    assert_eq!(hit.field("content-length").unwrap(), "5");
    assert!(!hit.head.has("transfer-encoding"));
}

#[tokio::test]
async fn tag_and_surrogate_fields_are_for_us_and_not_for_clients() {
    let origin = Origin::start().await;
    let reply = ok("")
        .field("surrogate-control", "max-age=60")
        .field("cdn-cache-control", "max-age=90")
        .field("surrogate-key", "a b")
        .field("xkey", "c")
        .field("cache-tag", "d,e")
        .field("cache-groups", "\"f\"")
        .field("cache-control", "no-store");
    origin.on("/a", reply);
    let proxy = Proxy::start(&origin);

    let miss = proxy.get("/a").await;
    let hit = proxy.get("/a").await;

    assert_eq!(hit.cache_status(), "hit; ttl=90");
    for answer in [miss, hit] {
        for name in ["surrogate-control", "surrogate-key", "xkey", "cache-tag", "cache-groups"] {
            assert!(!answer.head.has(name), "{name}");
        }
        assert_eq!(answer.field("cache-control").unwrap(), "no-store");
        let targeted = answer.field("cdn-cache-control");
        assert_eq!(targeted.unwrap(), "max-age=90", "a CDN before us has a right to it");
    }
}

#[tokio::test]
async fn no_client_gets_cdn_cache_control_where_it_is_stripped() {
    let origin = Origin::start().await;
    origin.on("/a", ok("").field("cdn-cache-control", "max-age=90"));
    origin.on("/b", ok("").field("cdn-cache-control", "no-store"));
    let proxy = Proxy::start_with(&origin, |config| config.cache.strip_cdn_cache_control = true);
    for (path, is_hit) in [("/a", true), ("/b", false)] {
        assert!(!proxy.get(path).await.head.has("cdn-cache-control"), "{path}");
        let again = proxy.get(path).await;
        assert!(!again.head.has("cdn-cache-control"), "{path}");
        assert_eq!(again.is_hit(), is_hit, "{path}");
    }
}

#[tokio::test]
async fn tag_fields_of_a_response_that_is_not_stored_are_stripped_too() {
    let origin = Origin::start().await;
    origin.on("/a", ok("").field("cache-control", "private").field("surrogate-key", "a"));
    origin.on("/b", ok("").field("surrogate-key", "a"));
    let proxy = Proxy::start(&origin);

    let uncacheable = proxy.get("/a").await;
    let posted = proxy.post("/b", "x").await;

    assert!(!uncacheable.head.has("surrogate-key"));
    assert!(!posted.head.has("surrogate-key"));
}

#[tokio::test]
async fn tag_fields_are_shown_when_the_operator_wants_so() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("").field("surrogate-key", "a b"));
    let proxy = Proxy::start_with(&origin, |config| config.tags.strip = false);

    for answer in [proxy.get("/a").await, proxy.get("/a").await] {
        assert_eq!(answer.field("surrogate-key").unwrap(), "a b");
    }
}

#[tokio::test]
async fn without_freshness_a_response_is_stored_only_where_configured() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let silent = Proxy::start(&origin);
    let assuming = Proxy::start_with(&origin, |config| {
        config.cache.default_ttl = Duration::from_secs(9);
    });

    silent.get("/a").await;
    assert_eq!(
        silent.get("/a").await.cache_status(),
        "fwd=uri-miss; fwd-status=200; detail=no_freshness"
    );
    assuming.get("/a").await;
    assert_eq!(assuming.get("/a").await.cache_status(), "hit; ttl=9");
}

#[tokio::test]
async fn a_status_code_gets_the_lifetime_that_is_set_for_it() {
    let origin = Origin::start().await;
    origin.on("/gone", status("404 Not Found", "none"));
    origin.on("/says", status("404 Not Found", "none").field("cache-control", "max-age=60"));
    origin.on("/never", status("404 Not Found", "none").field("cache-control", "no-store"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.cache.ttl_by_status = vec![(StatusRange::new(404..=404), Duration::from_secs(10))];
    });

    for (path, expected) in [
        ("/gone", "hit; ttl=10"),
        ("/says", "hit; ttl=60"),
        ("/never", "fwd=uri-miss; fwd-status=404; detail=no_store"),
    ] {
        proxy.get(path).await;
        assert_eq!(proxy.get(path).await.cache_status(), expected, "{path}");
    }
    proxy.advance(10);
    assert!(!proxy.get("/gone").await.is_hit());
}

#[tokio::test]
async fn an_error_with_a_lifetime_never_replaces_a_good_page() {
    let origin = Origin::start().await;
    let good = || cacheable("good").field("etag", "\"a\"");
    let error = || status("503 Service Unavailable", "bad");
    origin.on_each("/a", [good(), error(), error(), not_modified()]);
    origin.on("/new", error());
    let proxy = Proxy::start_with(&origin, |config| {
        config.cache.stale_if_error = Duration::ZERO;
        config.cache.ttl_by_status = vec![(StatusRange::new(500..=599), Duration::from_secs(5))];
    });

    proxy.get("/a").await;
    proxy.advance(61);
    for _ in 0..2 {
        let failed = proxy.get("/a").await;
        assert_eq!((failed.status(), failed.text()), (503, "bad"));
        assert!(
            failed.cache_status().ends_with("detail=origin_error"),
            "{}",
            failed.cache_status()
        );
    }
    assert_eq!(proxy.get("/a").await.text(), "good");
    assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"a\"");

    proxy.get("/new").await;
    assert_eq!(proxy.get("/new").await.cache_status(), "hit; ttl=5");
}

#[tokio::test]
async fn query_changes_nothing_and_is_neither_stored_nor_collapsed() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    for content in ["one", "two"] {
        let mut connection = proxy.connect().await;
        connection.send(request("QUERY", "/a", &[], content)).await;
        let answer = connection.answer().await;
        assert_eq!(answer.cache_status(), "fwd=method; fwd-status=200; detail=method");
        assert_eq!(origin.last("/a").content, content.as_bytes());
    }
    assert!(proxy.get("/a").await.is_hit(), "QUERY invalidates nothing");
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn each_host_path_and_query_is_another_response() {
    let origin = Origin::start().await;
    for path in ["/a", "/a?x=1", "/a?x=2", "/A"] {
        origin.script(path, |request| {
            cacheable(&format!("{} {}", request.head.field("host").unwrap(), request.head.word(1)))
        });
    }
    let proxy = Proxy::start(&origin);

    for round in 0..2 {
        for host in ["one.example", "two.example"] {
            for path in ["/a", "/a?x=1", "/a?x=2", "/A"] {
                let answer = proxy.get_with(path, &[("Host", host)]).await;
                assert_eq!(answer.text(), format!("{host} {path}"));
                assert_eq!(answer.is_hit(), round == 1);
            }
        }
    }
}

#[tokio::test]
async fn only_if_cached_never_reaches_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    let only = [("Cache-Control", "only-if-cached")];

    let miss = proxy.get_with("/a", &only).await;
    assert_eq!(miss.status(), 504);
    assert_eq!(origin.count("/a"), 0);

    proxy.get("/a").await;
    assert!(proxy.get_with("/a", &only).await.is_hit());
}

#[tokio::test]
async fn a_response_of_many_pieces_is_the_same_from_the_store() {
    let origin = Origin::start().await;
    let content: String = "abcdefghijklmnopqrstuvw".chars().cycle().take(200_000).collect();
    origin.on("/a", cacheable(&content));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get("/a").await;
    let hit = proxy.get("/a").await;

    assert!(hit.is_hit());
    assert!(miss.text() == content && hit.text() == content);
}

#[tokio::test]
async fn private_fields_reach_the_first_client_only() {
    for control in ["max-age=60, private=\"x-user\"", "max-age=60, no-cache=\"X-User\""] {
        let origin = Origin::start().await;
        origin.on("/a", ok("page").field("cache-control", control).field("x-user", "me"));
        let proxy = Proxy::start(&origin);

        let first = proxy.get("/a").await;
        let hit = proxy.get("/a").await;

        assert_eq!(first.field("x-user").as_deref(), Some("me"), "{control}");
        assert!(hit.is_hit() && !hit.head.has("x-user"), "{control}");
    }
}

#[tokio::test]
async fn only_if_cached_holds_for_requests_that_bypass_the_cache() {
    let origin = Origin::start().await;
    origin.on("/a", ok("page"));
    let proxy = Proxy::start(&origin);

    for field in [("Cookie", "session=1"), ("If-Match", "\"a\""), ("X-Plain", "1")] {
        let fields = [("Cache-Control", "only-if-cached"), field];
        assert_eq!(proxy.get_with("/a", &fields).await.status(), 504, "{field:?}");
    }
    assert_eq!(origin.count("/a"), 0);
}
