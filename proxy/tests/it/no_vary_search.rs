//! `No-Vary-Search`: a response answers requests for all URLs that are equivalent to its own by
//! what it declares, and a purge of any of them means it.

use serde_json::json;
use settings::NoVarySearch;

use crate::support::origin::{Gate, Origin, Received, Reply, cacheable};
use crate::support::proxy::Proxy;

/// Answers a path with any query: with the query, and this declaration.
fn declaring(origin: &Origin, paths: &[&str], name: &'static str, declared: &'static str) {
    for path in paths {
        let text = (*path).to_owned();
        origin.script(path, move |_: &Received| cacheable(&text).field(name, declared));
    }
}

async fn purge_url(proxy: &Proxy, path: &str) -> u64 {
    let url = format!("http://site.example{path}");
    let report = proxy.purge(&json!({ "urls": [url] }).to_string()).await;
    report["matched"]["objects"].as_u64().unwrap()
}

const NAME: &str = "no-vary-search";

#[tokio::test]
async fn a_response_answers_all_urls_that_are_equivalent_to_its_own() {
    let origin = Origin::start().await;
    let paths = ["/p?id=1&ref=a", "/p?id=2", "/q?id=1", "/p"];
    declaring(&origin, &paths, NAME, "key-order, params=(\"ref\")");
    let proxy = Proxy::start(&origin);

    let first = proxy.get("/p?id=1&ref=a").await;
    assert_eq!(first.field(NAME).unwrap(), "key-order, params=(\"ref\")", "for browsers, too");
    for same in ["/p?id=1", "/p?ref=b&id=1", "/p?%69d=1&ref", "/p?id=1&&ref=%zz"] {
        let answer = proxy.get(same).await;
        assert_eq!((answer.text(), answer.is_hit()), ("/p?id=1&ref=a", true), "{same}");
    }
    for other in ["/p?id=2", "/q?id=1", "/p"] {
        let answer = proxy.get(other).await;
        assert_eq!((answer.text(), answer.is_hit()), (other, false));
    }
    assert_eq!(proxy.app.store.usage().objects, 4);
}

#[tokio::test]
async fn a_flood_of_equivalent_urls_stores_one_response() {
    let origin = Origin::start().await;
    declaring(&origin, &["/p?utm=0"], NAME, "params");
    let proxy = Proxy::start(&origin);
    assert_eq!(proxy.get("/p?utm=0").await.text(), "/p?utm=0");
    for number in 0..200 {
        assert!(proxy.get(&format!("/p?utm={number}&x{number}={number}")).await.is_hit());
    }
    assert_eq!(proxy.app.store.usage().objects, 1);
    assert_eq!(origin.count("/p?utm=0"), 1);
}

#[tokio::test]
async fn a_purge_of_a_url_hits_all_responses_that_are_equivalent_to_it() {
    let origin = Origin::start().await;
    let paths = ["/p?id=1&ref=a", "/p?id=1&ref=b", "/p?id=2"];
    declaring(&origin, &paths, NAME, "params=(\"ref\")");
    let proxy = Proxy::start(&origin);
    proxy.get(paths[0]).await;
    proxy.advance(3601); // the second one finds the first one stale
    for path in &paths[1..] {
        proxy.get(path).await;
    }
    assert!(proxy.get("/p?ref=x&id=1").await.is_hit());

    let hit = purge_url(&proxy, "/p?id=1&ref=never-seen").await;

    assert!(hit >= 1, "the fresh one, and the stale one if it is still stored: {hit}");
    assert!(!proxy.get(paths[1]).await.is_hit());
    assert!(proxy.get("/p?id=2").await.is_hit());
    assert_eq!(purge_url(&proxy, "/p?id=3").await, 0);
}

#[tokio::test]
async fn each_kind_of_purge_finds_what_is_stored_for_equivalent_urls() {
    let (stored, other) = ("/p?id=1&ref=a", "http://site.example/p?ref=never-seen&id=1");
    let term = format!("url:{other}");
    for (purge, hits) in [
        (json!({ "urls": [other] }), true),
        (json!({ "urls": ["http://site.example/p?id=2"] }), false),
        (json!({ "paths": [other] }), true),
        (json!({ "paths": ["http://site.example/q?id=1"] }), false),
        (json!({ "pages": [other] }), true),
        (json!({ "prefixes": ["http://site.example/p"] }), true),
        (json!({ "prefixes": ["http://site.example/p?id=1"] }), true),
        (json!({ "prefixes": ["http://site.example/p?ref="] }), false), // not how it is stored
        (json!({ "all_of": [term, "host:site.example"] }), true),
        (json!({ "any_of": ["tag:none", term] }), true),
        (json!({ "all_of": ["host:site.example"], "none_of": [term] }), false),
        (json!({ "all_of": ["url:http://site.example/p?id=2"] }), false),
    ] {
        let origin = Origin::start().await;
        declaring(&origin, &[stored], NAME, "key-order, params=(\"ref\")");
        let proxy = Proxy::start(&origin);
        proxy.get(stored).await;
        assert!(proxy.get("/p?ref=b&id=1").await.is_hit());

        let report = proxy.purge(&purge.to_string()).await;

        assert_eq!(report["matched"]["objects"], u64::from(hits), "{purge}");
        assert_eq!(proxy.get(stored).await.is_hit(), !hits, "{purge}");
    }
}

#[tokio::test]
async fn a_purge_of_an_equivalent_url_hits_the_fetch_in_flight_that_will_declare_it() {
    let other = "http://site.example/p?id=1&ref=b";
    let purges = [json!({ "urls": [other] }), json!({ "all_of": [format!("url:{other}")] })];
    for purge in purges {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let gate = Gate::closed();
        let page = |text: &str| cacheable(text).field(NAME, "params=(\"ref\")");
        origin.on_each("/p?id=1&ref=a", [page("old").after(&gate), page("new"), page("newer")]);
        let mut early = proxy.begin("/p?id=1&ref=a", &[]).await;
        origin.seen("/p?id=1&ref=a", 1).await;

        proxy.purge(&purge.to_string()).await; // nobody has declared anything yet
        let mut late = proxy.begin("/p?id=1&ref=a", &[]).await;
        gate.open();

        assert_eq!(early.answer().await.text(), "old", "it asked before the purge: {purge}");
        assert_eq!(late.answer().await.text(), "new", "it asked after the purge: {purge}");
        let third = proxy.get("/p?id=1&ref=c").await;
        assert_eq!((third.text(), third.is_hit()), ("new", true), "{purge}");
    }
}

#[tokio::test]
async fn what_is_declared_no_longer_holds_no_longer() {
    let origin = Origin::start().await;
    let declared = cacheable("one").field(NAME, "params");
    origin.on_each("/p?id=1", [declared, cacheable("two")]);
    origin.on("/p?id=2", cacheable("other"));
    let proxy = Proxy::start(&origin);
    proxy.get("/p?id=1").await;
    assert_eq!(proxy.get("/p?id=2").await.text(), "one");
    purge_url(&proxy, "/p?id=2").await;

    assert_eq!(proxy.get("/p?id=1").await.text(), "two");
    assert_eq!(proxy.get("/p?id=2").await.text(), "other");
    assert!(proxy.get("/p?id=1").await.is_hit() && proxy.get("/p?id=2").await.is_hit());
}

#[tokio::test]
async fn each_variant_of_an_equivalent_url_answers_its_own_requests() {
    let origin = Origin::start().await;
    let varying = |request: &Received| -> Reply {
        let language = request.head.field("accept-language").unwrap_or_default();
        cacheable(&language).field("vary", "Accept-Language").field(NAME, "params")
    };
    for path in ["/p?a=1", "/p?a=2", "/p?a=3"] {
        origin.script(path, varying);
    }
    let proxy = Proxy::start(&origin);
    let ask = async |path: &str, language: &str| {
        let answer = proxy.get_with(path, &[("Accept-Language", language)]).await;
        (answer.text().to_owned(), answer.is_hit())
    };
    assert_eq!(ask("/p?a=1", "de").await, ("de".to_owned(), false));
    assert_eq!(ask("/p?a=2", "en").await, ("en".to_owned(), false));
    assert_eq!(ask("/p?a=3", "de").await, ("de".to_owned(), true));
    assert_eq!(ask("/p?a=3", "en").await, ("en".to_owned(), true));
}

#[tokio::test]
async fn the_origin_declares_the_query_for_this_cache_alone() {
    let origin = Origin::start().await;
    declaring(&origin, &["/p?page=1&x=1"], "shellac-vary", "query=page|q");
    let proxy = Proxy::start(&origin);
    let first = proxy.get("/p?page=1&x=1").await;
    assert!(first.field("shellac-vary").is_none());
    assert!(proxy.get("/p?y=2&page=1").await.is_hit());
    assert_eq!(proxy.get("/p?page=2").await.status(), 404);
    assert_eq!(purge_url(&proxy, "/p?page=1").await, 1);
}

#[tokio::test]
async fn a_site_may_ignore_declarations() {
    let origin = Origin::start().await;
    declaring(&origin, &["/p?a=1", "/p?a=2"], NAME, "params");
    let proxy =
        Proxy::start_with(&origin, |config| config.key.no_vary_search = NoVarySearch::Ignore);
    for path in ["/p?a=1", "/p?a=2"] {
        assert_eq!(proxy.get(path).await.text(), path);
    }
}
