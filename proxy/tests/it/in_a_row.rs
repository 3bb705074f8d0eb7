//! Two proxies in a row: the inner one shows its tags to the outer one, which hides them, and both
//! can be purged by them.

use process::clock::Clock;

use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::{Proxy, START};

/// Starts an inner proxy before the origin and an outer one before that.
fn start(origin: &Origin) -> (Proxy, Proxy) {
    let inner = Proxy::start_with(origin, |config| config.tags.strip = false);
    let outer = Proxy::start_at(inner.address, Clock::manual(START), |_| {});
    (inner, outer)
}

const PURGE: &str = r#"{"tags":["t"]}"#;

#[tokio::test]
async fn both_are_purged_by_tag_and_no_browser_sees_a_tag() {
    let origin = Origin::start().await;
    for (field, tag) in
        [("surrogate-key", "t"), ("xkey", "t"), ("cache-tag", "t"), ("etag", "\"t\"")]
    {
        let (inner, outer) = start(&origin);
        let page = |text| cacheable(text).field(field, tag);
        origin.on_each("/a", [page("old"), page("new")]);
        let shown = outer.get("/a").await;
        assert!(field == "etag" || shown.field(field).is_none(), "{field}");
        assert!(outer.get("/a").await.is_hit() && inner.get("/a").await.is_hit());

        assert_eq!(inner.purge(PURGE).await["matched"]["objects"], 1, "{field}");
        assert_eq!(outer.purge(PURGE).await["matched"]["objects"], 1, "{field}");

        assert_eq!(outer.get("/a").await.text(), "new", "{field}");
        assert_eq!(outer.get("/a").await.text(), "new", "{field}");
    }
}

#[tokio::test]
async fn a_purge_of_the_inner_then_the_outer_wins_against_running_fetches() {
    let origin = Origin::start().await;
    let (inner, outer) = start(&origin);
    let gate = Gate::closed();
    let page = |text| cacheable(text).field("surrogate-key", "t");
    origin.on_each("/a", [page("old").after(&gate), page("new")]);

    let mut before = outer.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    inner.purge(PURGE).await;
    outer.purge(PURGE).await;
    gate.open();

    assert_eq!(before.answer().await.text(), "old", "it asked before the purge");
    for proxy in [&outer, &inner, &outer] {
        assert_eq!(proxy.get("/a").await.text(), "new");
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_second_purge_of_the_outer_one_mends_the_wrong_order() {
    let origin = Origin::start().await;
    let (inner, outer) = start(&origin);
    let page = |text| cacheable(text).field("surrogate-key", "t");
    origin.on_each("/a", [page("old"), page("new")]);
    outer.get("/a").await;

    outer.purge(PURGE).await;
    assert_eq!(outer.get("/a").await.text(), "old", "from the inner one, which is not purged yet");
    inner.purge(PURGE).await;
    assert_eq!(outer.purge(PURGE).await["matched"]["objects"], 1, "as settleMs does");

    assert_eq!(outer.get("/a").await.text(), "new");
}

#[tokio::test]
async fn both_obey_the_fields_for_caches_and_no_browser_sees_surrogate_control() {
    let origin = Origin::start().await;
    let (inner, outer) = start(&origin);
    let control = ("cache-control", "no-store");
    for (path, field) in [("/cdn", "cdn-cache-control"), ("/surrogate", "surrogate-control")] {
        let page = ok("page").field(field, "max-age=60").field(control.0, control.1);
        origin.on(path, page);
        outer.get(path).await;
        let shown = outer.get(path).await;
        assert!(shown.is_hit(), "{path}: {:?}", shown.head);
        assert!(inner.get(path).await.is_hit(), "{path}");
        assert_eq!(shown.field("cache-control").unwrap(), "no-store", "for the browser");
        assert!(!shown.head.has("surrogate-control"), "{path}");
        assert_eq!(origin.count(path), 1, "{path}");
    }
}

#[tokio::test]
async fn an_inner_proxy_that_strips_keeps_the_lifetime_to_itself() {
    let origin = Origin::start().await;
    let inner = Proxy::start_with(&origin, |config| config.cache.strip_cdn_cache_control = true);
    let outer = Proxy::start_at(inner.address, Clock::manual(START), |_| {});
    let page =
        ok("page").field("cdn-cache-control", "max-age=60").field("cache-control", "no-store");
    origin.on("/a", page);
    for _ in 0..2 {
        let head = outer.get("/a").await.head;
        let last = head.text.lines().rfind(|line| line.starts_with("cache-status")).unwrap();
        assert!(last.rsplit(", ").next().unwrap().contains("fwd="), "{last}");
    }
    assert_eq!(origin.count("/a"), 1, "the inner one answers");
}
