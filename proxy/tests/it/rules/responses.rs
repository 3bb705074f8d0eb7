//! Actions of rules on responses, once their heads have arrived.

use super::{purge_tag, ruled};
use crate::support::origin::{Origin, cacheable, not_modified, ok, status};
use crate::support::proxy::START_DATE;

#[tokio::test]
async fn a_lifetime_of_a_rule_counts_from_the_arrival() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("age", "1000"));
    let proxy = ruled(&origin, "[[rule]]\nttl = \"100s\"\n");
    proxy.get("/a").await;
    proxy.advance(99);
    assert!(proxy.get("/a").await.is_hit());
    proxy.advance(1);
    assert!(!proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_lifetime_for_silent_responses_leaves_others_alone() {
    let origin = Origin::start().await;
    origin.on("/silent", ok("hello"));
    origin.on("/says", ok("hello").field("cache-control", "max-age=5"));
    let proxy = ruled(&origin, "[[rule]]\nttl_if_silent = \"100s\"\n");
    for (path, is_hit) in [("/silent", true), ("/says", false)] {
        proxy.get(path).await;
        proxy.advance(50);
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path}");
    }
}

#[tokio::test]
async fn silent_responses_live_as_the_rule_of_their_path_says() {
    let origin = Origin::start().await;
    let changed = |path: &str| {
        let old = ("last-modified", "Wed, 01 Jan 1992 00:00:00 GMT");
        origin.on(path, ok("hello").field(old.0, old.1).field("date", START_DATE));
    };
    for path in ["/a", "/b", "/other"] {
        changed(path);
    }
    origin.on("/gone", status("410 Gone", "gone"));
    origin.on("/a/gone", status("410 Gone", "gone"));
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = [\"/a\", \"/a/**\"]\nttl_by_status = { 410 = \"1m\" }\nheuristic = \"off\"\n\
         [[rule]]\npath = \"/b\"\nheuristic = { max = \"1h\" }\n",
    );
    let ages = [
        ("/a", 1, false),
        ("/b", 3599, true),
        ("/b", 2, false),
        ("/other", 80_000, true),
        ("/a/gone", 59, true),
        ("/gone", 1, false),
    ];
    for (path, seconds, is_hit) in ages {
        proxy.get(path).await;
        proxy.advance(seconds);
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path} after {seconds} s");
    }
}

#[tokio::test]
async fn head_stays_head_where_a_rule_says_so() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    origin.on("/b", cacheable("hello"));
    let proxy = ruled(&origin, "[[rule]]\npath = \"/a\"\nconvert_head = false\n");
    for (path, is_hit) in [("/a", false), ("/b", true)] {
        proxy.ask("HEAD", path, &[]).await;
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path}");
    }
}

#[tokio::test]
async fn what_protects_is_not_overridden_unless_it_is_forced() {
    for field in [
        ("cache-control", "private, max-age=60"),
        ("cache-control", "no-store"),
        ("cache-control", "no-cache"),
        ("x-none", "the request has Authorization"),
        ("set-cookie", "a=b"),
    ] {
        for (force, is_hit) in [("", false), ("force = true\nset_cookie = \"strip\"\n", true)] {
            let origin = Origin::start().await;
            origin.on("/a", ok("hello").field(field.0, field.1));
            let proxy = ruled(&origin, &format!("[[rule]]\nttl = \"1h\"\n{force}"));
            let own = [("Authorization", "Basic x")];
            let request = if field.0 == "x-none" { &own[..] } else { &[] };
            proxy.get_with("/a", request).await;
            assert_eq!(proxy.get_with("/a", request).await.is_hit(), is_hit, "{field:?} {force}");
        }
    }
}

#[tokio::test]
async fn a_lifetime_is_for_errors_only_where_their_status_is_named() {
    let origin = Origin::start().await;
    origin.on("/404", status("404 Not Found", "none"));
    origin.on("/500", status("500 Internal Server Error", "broken"));
    let proxy = ruled(&origin, "[[rule]]\nstatus = 404\nttl = \"10s\"\n[[rule]]\nttl = \"1h\"\n");
    for (path, is_hit) in [("/404", true), ("/500", false)] {
        proxy.get(path).await;
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path}");
    }
    proxy.advance(11);
    assert!(!proxy.get("/404").await.is_hit());
}

#[tokio::test]
async fn conditions_on_the_response_choose_the_rule() {
    let origin = Origin::start().await;
    origin.on("/html", ok("hello").field("content-type", "text/html; charset=utf-8"));
    origin.on("/json", ok("{}").field("content-type", "application/json"));
    origin.on("/kept", ok("hello").field("x-kind", "draft"));
    let proxy = ruled(
        &origin,
        "[[rule]]\nresponse_header = { X-Kind = \"draft\" }\nuncacheable = true\n\
         [[rule]]\ncontent_type = \"text/*\"\nttl = \"1m\"\nlast = true\n\
         [[rule]]\nresponse_headers.set = { X-Late = \"1\" }\n",
    );
    for (path, is_hit, has_late) in
        [("/html", true, false), ("/json", false, true), ("/kept", false, true)]
    {
        let first = proxy.get(path).await;
        assert_eq!(first.field("x-late").is_some(), has_late, "{path}");
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path}");
    }
}

#[tokio::test]
async fn no_client_gets_a_cookie_that_is_stripped() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("set-cookie", "session=1"));
    origin.on("/mine", ok("hello").field("cache-control", "private").field("set-cookie", "s=1"));
    let proxy = ruled(&origin, "[[rule]]\nset_cookie = \"strip\"\n");
    for is_hit in [false, true] {
        let answer = proxy.get("/a").await;
        assert_eq!((answer.is_hit(), answer.field("set-cookie")), (is_hit, None));
    }
    let own = proxy.get("/mine").await;
    assert_eq!(own.field("set-cookie").unwrap(), "s=1", "what is not stored is its client's own");
    let posted = proxy.post("/a", "x").await;
    assert_eq!(posted.field("set-cookie").unwrap(), "session=1");
}

#[tokio::test]
async fn clients_are_told_another_lifetime_and_a_304_is_judged_by_what_the_origin_says() {
    let origin = Origin::start().await;
    let page = ok("hello").field("cache-control", "public, max-age=100").field("etag", "\"1\"");
    let again = not_modified().field("etag", "\"1\"");
    origin.on_each("/a", [page, again]);
    let proxy = ruled(
        &origin,
        "[[rule]]\nbrowser_ttl = \"10s\"\nresponse_headers = { remove = \"x-a\", add = { Link = \"</x>\" } }\n",
    );
    let first = proxy.get("/a").await;
    assert_eq!(first.field("cache-control").unwrap(), "public, max-age=10");
    proxy.advance(60);
    let later = proxy.get("/a").await;
    assert!(later.is_hit());
    assert_eq!(later.field("cache-control").unwrap(), "public, max-age=70", "10 s from now on");
    assert_eq!(later.field("age").unwrap(), "60");
    proxy.advance(60);
    let validated = proxy.get("/a").await;
    assert_eq!(validated.field("cache-control").unwrap(), "public, max-age=10");
    assert_eq!(validated.field("link").unwrap(), "</x>", "once");
    proxy.advance(90);
    assert!(proxy.get("/a").await.is_hit(), "the origin said 100 s");
    assert!(!proxy.get("/a").await.head.text.contains("shellac-edited"));
}

#[tokio::test]
async fn a_rule_adds_tags_that_purges_hit_after_a_304_too() {
    let origin = Origin::start().await;
    let page = ok("hello").field("x-section", "news").field("etag", "\"1\"");
    origin.on_each("/p/42", [page, not_modified().field("etag", "\"1\"")]);
    origin.on("/p/7", ok("hello").field("x-section", "a, b"));
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = \"/p/*\"\nttl = \"10s\"\n\
         tags = [\"product-$1\", \"section-$(response:x-section)\"]\n\
         response_headers.remove = \"x-section\"\n",
    );
    assert!(proxy.get("/p/42").await.field("x-section").is_none());
    proxy.advance(11);
    proxy.get("/p/42").await;
    for tag in ["section-news", "product-42"] {
        assert!(proxy.get("/p/42").await.is_hit(), "{tag}");
        assert_eq!(purge_tag(&proxy, tag).await, 1, "{tag}");
        origin.on("/p/42", ok("hello").field("x-section", "news"));
        assert!(!proxy.get("/p/42").await.is_hit(), "{tag}");
    }
    proxy.get("/p/7").await;
    assert_eq!(purge_tag(&proxy, "product-7").await, 1);
}
