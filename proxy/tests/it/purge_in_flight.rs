//! Purges while fetches are running: what they name is hit, and nothing else is.

use crate::support::client::{Http2, text};
use crate::support::in_time;
use crate::support::origin::{Gate, Origin, cacheable};
use crate::support::proxy::Proxy;

/// Five purges a second on a shared proxy must not keep the pages of other sites from being stored.
#[tokio::test]
async fn purges_of_foreign_prefixes_leave_running_fetches_alone() {
    for mode in ["hard", "soft"] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let gate = Gate::closed();
        let paths: Vec<_> = (0..8).map(|number| format!("/page/{number}")).collect();
        let mut clients = Vec::new();
        for path in &paths {
            origin.on(path, cacheable("page").after(&gate));
            clients.push(proxy.begin(path, &[]).await);
            origin.seen(path, 1).await;
        }
        for prefix in ["https://other.example/", "/blog/", "site.example/page/9", "/pages/"] {
            let purge = format!(r#"{{"prefixes":["{prefix}"],"mode":"{mode}"}}"#);
            proxy.purge(&purge).await;
        }
        let mut late = proxy.begin(&paths[0], &[]).await; // after the purges: it follows all the same
        gate.open();
        for client in &mut clients {
            assert_eq!(
                client.answer().await.cache_status(),
                "fwd=uri-miss; fwd-status=200; stored"
            );
        }
        assert_eq!(late.answer().await.text(), "page");
        for path in &paths {
            assert!(proxy.get(path).await.is_hit(), "{mode} {path}");
            assert_eq!(origin.count(path), 1);
        }
        assert_eq!(proxy.app.invalidation.prefix_count(), 0, "nothing is remembered for longer");
    }
}

#[tokio::test]
async fn a_prefix_purge_hits_the_fetch_that_it_covers_over_both_protocols() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let gate = Gate::closed();
    origin.on_each("/blog/1", [cacheable("old").after(&gate), cacheable("new")]);
    let mut early = proxy.begin("/blog/1", &[]).await;
    origin.seen("/blog/1", 1).await;

    proxy.purge(r#"{"prefixes":["http://site.example/blog/"]}"#).await;

    assert_eq!(proxy.get("/blog/1").await.text(), "new", "it asked after the purge");
    let mut http2 = Http2::open(proxy.address).await;
    let response = in_time("a response", http2.get("/blog/1")).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "new");
    gate.open();
    assert_eq!(early.answer().await.text(), "old", "it asked before the purge");
    assert_eq!(proxy.get("/blog/1").await.text(), "new", "the old page was not stored");
}
