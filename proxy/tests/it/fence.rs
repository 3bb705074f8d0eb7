//! The revision fence: a page from a replica that has not seen the change is served, and never
//! kept.

use serde_json::json;

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified};
use crate::support::proxy::Proxy;

/// A page of the site at this revision.
fn page(revision: u64) -> Reply {
    cacheable(&format!("revision {revision}"))
        .field("surrogate-key", "site-1")
        .field("x-site-revision", &revision.to_string())
        .field("etag", &format!("\"page-{revision}\""))
}

fn is_lagging(answer: &Answer) -> bool {
    let status = answer.cache_status();
    status.contains("detail=origin_lagging") && !status.contains("stored")
}

#[tokio::test]
async fn a_page_of_a_lower_revision_than_announced_is_served_and_never_kept() {
    for selector in [
        json!({"tags": ["site-1"]}),
        json!({"hosts": ["site.example"]}),
        json!({"urls": ["https://site.example/other"]}),
    ] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let mut with_revision = selector.clone();
        with_revision["revision"] = 42.into();
        proxy.deliver_purge(0, &with_revision).await;

        origin.on_each("/a", [page(41), page(41), page(42)]);
        for _ in 0..2 {
            let answer = proxy.get("/a").await;
            assert_eq!(answer.text(), "revision 41", "{selector}");
            assert!(is_lagging(&answer), "{selector}: {}", answer.cache_status());
        }
        assert_eq!(proxy.get("/a").await.text(), "revision 42", "{selector}");
        assert!(proxy.get("/a").await.is_hit(), "{selector}");
    }
}

#[tokio::test]
async fn the_origin_is_told_what_it_has_to_know_and_clients_have_no_say_in_it() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let field = |path: &str| origin.last(path).head.field("x-min-site-revision");
    let forged = [("X-Min-Site-Revision", "7")];
    for path in ["/a", "/b", "/tagged"] {
        origin.on(path, page(50));
    }
    proxy.get_with("/a", &forged).await;
    assert_eq!(field("/a"), None);

    proxy.deliver_purge(0, &json!({"hosts": ["site.example"], "revision": 42})).await;
    proxy.deliver_purge(1, &json!({"tags": ["x"], "revision": 99})).await;
    proxy.get_with("/b", &forged).await;
    assert_eq!(field("/b").unwrap(), "42");
    proxy.ask("POST", "/b", &forged).await;
    assert_eq!(field("/b").unwrap(), "42");

    proxy.get("/tagged").await;
    proxy.deliver_purge(2, &json!({"tags": ["site-1"], "revision": 43, "mode": "soft"})).await;
    proxy.get("/tagged").await;
    assert_eq!(field("/tagged").unwrap(), "43", "that of the stored page's tag");
    proxy.get_with("/c", &[("Host", "other.example")]).await;
    assert_eq!(field("/c"), None);
}

#[tokio::test]
async fn a_304_of_a_replica_that_lags_never_renews_what_was_purged() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on("/a", page(41));
    proxy.get("/a").await;

    proxy.deliver_purge(0, &json!({"tags": ["site-1"], "revision": 42, "mode": "soft"})).await;
    let lagging = || not_modified().field("etag", "\"page-41\"").field("x-site-revision", "41");
    origin.on_each("/a", [lagging(), page(42)]);

    assert_eq!(proxy.get("/a").await.text(), "revision 41");
    assert_eq!(proxy.get("/a").await.text(), "revision 42");
    assert!(proxy.get("/a").await.is_hit());
}

/// R14: the page was asked for after the purge, so the order of purges says nothing against it.
#[tokio::test]
async fn a_page_that_lags_is_shared_by_those_who_wait_and_by_nobody_after_them() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    proxy.deliver_purge(0, &json!({"tags": ["site-1"], "revision": 42})).await;
    let gate = Gate::closed();
    origin.on("/a", page(41).after(&gate));
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(proxy.begin("/a", &[]).await);
    }
    origin.seen("/a", 1).await;
    gate.open();
    for client in &mut waiting {
        assert_eq!(client.answer().await.text(), "revision 41");
    }
    origin.on("/a", page(42));
    assert_eq!(proxy.get("/a").await.text(), "revision 42");
}

#[tokio::test]
async fn a_page_that_reports_no_revision_is_kept() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    proxy.deliver_purge(0, &json!({"hosts": ["site.example"], "revision": 42})).await;
    for reply in [cacheable("page"), cacheable("page").field("x-site-revision", "new")] {
        origin.on("/a", reply);
        proxy.get("/a").await;
        assert!(proxy.get("/a").await.is_hit());
        proxy.purge(r#"{"all":true}"#).await;
    }
}

#[tokio::test]
async fn an_entity_tag_reports_the_revision_where_it_is_asked_to() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.tags.revision_in_etag = true);
    proxy.deliver_purge(0, &json!({"hosts": ["site.example"], "revision": 42})).await;
    origin.on_each(
        "/a",
        ["41", "42"].map(|revision| {
            cacheable("page").field("etag", &format!("\"site-1-{revision}-4f2a\""))
        }),
    );
    assert!(is_lagging(&proxy.get("/a").await));
    proxy.get("/a").await;
    assert!(proxy.get("/a").await.is_hit());
}
