//! Hard purges of stored responses that requests are holding: they replace no error, and no 304
//! confirms them.

use shellac::testing::store::Removal;

use crate::support::origin::{Gate, Origin, Received, Reply, cacheable, not_modified, status};
use crate::support::proxy::Proxy;

const PURGES: [&str; 6] = [
    r#"{"tags":["t"]}"#,
    r#"{"urls":["http://site.example/a"]}"#,
    r#"{"prefixes":["http://site.example/"]}"#,
    r#"{"prefixes":["/a"]}"#,
    r#"{"hosts":["site.example"]}"#,
    r#"{"all":true}"#,
];

/// The place of a response when it is purged.
#[derive(Clone, Copy, Debug)]
enum Whereabouts {
    Stored,
    /// Others needed the space: a purge does not find it in the store.
    Evicted,
}

fn page(content: &str) -> Reply {
    cacheable(content).field("surrogate-key", "t").field("etag", "\"1\"")
}

/// Purges it while somebody holds it, after it has left the store or not.
async fn purge(proxy: &Proxy, purge: &str, whereabouts: Whereabouts) {
    if matches!(whereabouts, Whereabouts::Evicted) {
        let mut all = Vec::new();
        proxy.app.store.visit(&mut |stored| all.push(std::sync::Arc::clone(stored)));
        assert!(all.iter().all(|stored| proxy.app.store.remove(stored, Removal::Size)));
    }
    proxy.purge(purge).await;
}

#[tokio::test]
async fn a_hard_purged_response_is_never_served_on_error() {
    let failures = [
        status("503 Service Unavailable", "broken"),
        Reply::nothing().close(),
        Reply::bytes("nonsense\r\n\r\n").close(),
    ];
    for (number, failure) in failures.iter().enumerate() {
        for selector in PURGES {
            for whereabouts in [Whereabouts::Stored, Whereabouts::Evicted] {
                let origin = Origin::start().await;
                let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
                let gate = Gate::closed();
                let broken = failure.clone().after(&gate);
                origin.on_each("/a", [page("old"), broken, failure.clone()]);
                proxy.get("/a").await;
                proxy.advance(61);
                let mut leader = proxy.begin("/a", &[]).await;
                origin.seen("/a", 2).await;
                let mut follower = proxy.begin("/a", &[]).await;

                purge(&proxy, selector, whereabouts).await;
                gate.open();

                let case = format!("failure {number}, {selector}, {whereabouts:?}");
                for client in [&mut leader, &mut follower] {
                    let answer = client.answer().await;
                    assert_ne!(answer.text(), "old", "{case}");
                    assert!(matches!(answer.status(), 502..=504), "{case}: {}", answer.status());
                }
                assert_ne!(proxy.get("/a").await.text(), "old", "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_304_does_not_confirm_a_hard_purged_response() {
    for selector in PURGES {
        for whereabouts in [Whereabouts::Stored, Whereabouts::Evicted] {
            let origin = Origin::start().await;
            let proxy = Proxy::start(&origin);
            let gate = Gate::closed();
            let confirmed = not_modified().field("etag", "\"1\"").after(&gate);
            origin.on_each("/a", [page("old"), confirmed, page("new")]);
            proxy.get("/a").await;
            proxy.advance(61);
            let mut client = proxy.begin("/a", &[]).await;
            assert!(origin.seen("/a", 2).await.head.has("if-none-match"));

            purge(&proxy, selector, whereabouts).await;
            gate.open();

            let case = format!("{selector}, {whereabouts:?}");
            assert_eq!(client.answer().await.text(), "new", "{case}");
            assert!(!origin.received("/a")[2].head.has("if-none-match"), "{case}");
            assert_eq!(proxy.get("/a").await.text(), "new", "{case}");
        }
    }
}

/// An evicted response is as good as before.
#[tokio::test]
async fn an_evicted_response_that_was_not_purged_is_served_on_error() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    let gate = Gate::closed();
    origin.on_each("/a", [page("old"), Reply::held(&gate).close()]);
    proxy.get("/a").await;
    proxy.advance(61);
    let mut client = proxy.begin("/a", &[]).await;
    origin.seen("/a", 2).await;

    purge(&proxy, r#"{"urls":["http://site.example/b"],"tags":["u"]}"#, Whereabouts::Evicted).await;
    gate.open();

    let answer = client.answer().await;
    assert_eq!(answer.text(), "old");
    assert_eq!(answer.cache_status(), "hit; ttl=-1; detail=stale_if_error");
}

#[tokio::test]
async fn a_part_that_was_hard_purged_is_put_together_with_nothing() {
    for selector in PURGES {
        for whereabouts in [Whereabouts::Stored, Whereabouts::Evicted] {
            let origin = Origin::start().await;
            let proxy = Proxy::start(&origin);
            let gate = Gate::closed();
            let held = gate.clone();
            origin.script("/a", move |request: &Received| {
                let part = |range: &str, content: &str| {
                    status("206 Partial Content", content)
                        .field("content-range", &format!("bytes {range}/6"))
                        .field("cache-control", "max-age=60")
                        .field("surrogate-key", "t")
                        .field("etag", "\"1\"")
                };
                match request.head.field("range").as_deref() {
                    Some("bytes=0-2") => part("0-2", "old"),
                    Some(_) => part("3-5", "new").after(&held),
                    None => page("newnew"),
                }
            });
            proxy.get_with("/a", &[("Range", "bytes=0-2")]).await;
            let mut client = proxy.begin("/a", &[]).await;
            assert_eq!(origin.seen("/a", 2).await.head.field("range").unwrap(), "bytes=3-5");

            purge(&proxy, selector, whereabouts).await;
            gate.open();

            assert_eq!(client.answer().await.text(), "newnew", "{selector}, {whereabouts:?}");
        }
    }
}
