//! The query of a request: what is dropped from it is neither in the key nor at the origin, and
//! purges mean the same pages as requests do.

use serde_json::json;
use settings::{NamePattern, QueryParameters};

use crate::support::origin::{Origin, cacheable, status};
use crate::support::proxy::Proxy;

fn names(names: &[&str]) -> Vec<NamePattern> {
    names.iter().map(|name| NamePattern::new(name)).collect()
}

#[tokio::test]
async fn tracking_parameters_reach_neither_the_key_nor_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a?page=2", cacheable("two"));
    origin.on("/a", cacheable("one"));
    let proxy = Proxy::start(&origin);

    proxy.get("/a?utm_source=mail&page=2&gclid=x").await;
    for path in ["/a?page=2", "/a?fbclid=1&page=2", "/a?page=2&utm%5Fsource=x"] {
        let answer = proxy.get(path).await;
        assert!(answer.is_hit(), "{path}");
        assert_eq!(answer.text(), "two");
    }
    assert_eq!(origin.count("/a?page=2"), 1);
    proxy.get("/a?utm_campaign=1").await;
    assert!(proxy.get("/a").await.is_hit());
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_request_that_bypasses_the_cache_has_its_query_filtered_too() {
    let origin = Origin::start().await;
    origin.on("/a?b=%2B", cacheable("page"));
    let proxy = Proxy::start(&origin);
    proxy.get_with("/a?utm_source=x&b=%2B", &[("Cookie", "PHPSESSID=1")]).await;
    assert_eq!(origin.count("/a?b=%2B"), 1);
    assert_eq!(proxy.post("/a?b=%2B&gclid=1", "content").await.status(), 200);
    assert_eq!(origin.count("/a?b=%2B"), 2);
}

#[tokio::test]
async fn only_parameters_that_are_kept_count_in_any_order_if_they_are_sorted() {
    let origin = Origin::start().await;
    origin.on("/a?a=1&b=2&b=1", cacheable("page"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.key.query.parameters = QueryParameters::Keep(names(&["a", "b"]));
        config.key.query.sort = true;
    });
    proxy.get("/a?b=2&x=9&a=1&b=1").await;
    assert!(proxy.get("/a?a=1&b=2&b=1&sid=3").await.is_hit());
    assert_eq!(origin.count("/a?a=1&b=2&b=1"), 1);
}

#[tokio::test]
async fn a_query_that_does_not_matter_is_dropped_whole() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.key.query.parameters = QueryParameters::Ignored;
    });
    proxy.get("/a?x=1").await;
    assert!(proxy.get("/a?y=2&z").await.is_hit());
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_purge_of_a_url_means_the_page_that_a_request_for_it_gets() {
    let origin = Origin::start().await;
    origin.on("/a?page=2", cacheable("two"));
    let proxy = Proxy::start(&origin);
    let url = "http://site.example/a?utm_source=x&page=2";
    for purge in [
        format!(r#"{{"urls":["{url}"]}}"#),
        r#"{"urls":["http://site.example/a?page=2"]}"#.to_owned(),
    ] {
        proxy.get("/a?page=2&gclid=1").await;
        assert!(proxy.get("/a?page=2").await.is_hit());
        assert_eq!(proxy.purge(&purge).await["matched"]["objects"], 1, "{purge}");
        assert!(!proxy.get("/a?page=2").await.is_hit());
    }
}

#[tokio::test]
async fn a_url_term_passes_the_query_filter_as_a_purge_of_it_does() {
    let origin = Origin::start().await;
    origin.on("/a?page=2", cacheable("two").field("surrogate-key", "t"));
    origin.on("/b", cacheable("other").field("surrogate-key", "t"));
    let proxy = Proxy::start(&origin);
    let term = "url:http://site.example/a?utm_source=x&page=2";
    for (purge, is_purged) in [
        (json!({ "all_of": ["tag:t", term] }), [true, false]),
        (json!({ "any_of": [term] }), [true, false]),
        (json!({ "all_of": ["tag:t"], "none_of": [term] }), [false, true]),
    ] {
        for path in ["/a?page=2", "/b"] {
            proxy.get(path).await;
        }
        assert_eq!(proxy.purge(&purge.to_string()).await["matched"]["objects"], 1, "{purge}");
        for (path, is_purged) in ["/a?page=2", "/b"].into_iter().zip(is_purged) {
            assert_eq!(!proxy.get(path).await.is_hit(), is_purged, "{purge} {path}");
        }
    }
}

#[tokio::test]
async fn an_unsafe_request_invalidates_the_page_without_what_is_dropped() {
    let origin = Origin::start().await;
    origin.on("/a?page=2", cacheable("two"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a?page=2").await;
    proxy.post("/a?utm_source=x&page=2", "content").await;
    assert!(!proxy.get("/a?page=2").await.is_hit());
}

#[tokio::test]
async fn a_redirect_gives_back_what_was_dropped_where_the_operator_says_so() {
    let origin = Origin::start().await;
    let redirect = || {
        status("301 Moved Permanently", "")
            .field("cache-control", "max-age=60")
            .field("location", "/b?c=1#d")
    };
    origin.on("/a?x=1", redirect());
    let proxy = Proxy::start_with(&origin, |config| config.key.query.reflect = true);
    for (path, location) in [
        ("/a?x=1&utm_source=mail", "/b?c=1&utm_source=mail#d"),
        ("/a?gclid=2&x=1", "/b?c=1&gclid=2#d"),
        ("/a?x=1", "/b?c=1#d"),
    ] {
        assert_eq!(proxy.get(path).await.field("location").unwrap(), location, "{path}");
    }
    assert_eq!(origin.count("/a?x=1"), 1);

    let proxy = Proxy::start(&origin);
    let answer = proxy.get("/a?x=1&utm_source=mail").await;
    assert_eq!(answer.field("location").unwrap(), "/b?c=1#d");
}
