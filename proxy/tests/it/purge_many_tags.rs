//! Pages with thousands of tags: each is stored, and found by every purge of one of them.

use crate::support::origin::{Gate, Origin, cacheable};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn a_page_with_too_many_tags_is_stored_and_any_that_begins_alike_purges_it() {
    let origin = Origin::start().await;
    let tags = "node:1 node:2 node:3 menu:main 12345678901234567";
    origin.on("/many", cacheable("").field("surrogate-key", tags));
    origin.on("/few", cacheable("").field("surrogate-key", "node:1 menu:side"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.tags.max_per_object = 3;
        config.tags.max_length = 16;
    });
    for (tag, hits_many, hits_few) in [
        ("node:1", true, true),
        ("node:9", true, false),
        ("menu:main", true, false),
        ("menu:other", false, false),
        ("user:1", false, false),
        ("12345678901234567", true, false),
    ] {
        for path in ["/many", "/few"] {
            proxy.get(path).await;
            assert!(proxy.get(path).await.is_hit(), "{path} before {tag}");
        }
        let report = proxy.purge(&format!(r#"{{"tags":["{tag}"]}}"#)).await;
        let hit = u64::from(hits_many) + u64::from(hits_few);
        assert_eq!(report["matched"]["objects"], hit, "{tag}");
        assert_eq!(proxy.get("/many").await.is_hit(), !hits_many, "{tag}");
        assert_eq!(proxy.get("/few").await.is_hit(), !hits_few, "{tag}");
        if tag == "node:9" {
            assert_eq!(report["selectors"][0]["folded"], 1);
            assert!(report["hint"].as_str().unwrap().contains("tags.max_per_object"));
        }
    }
}

#[tokio::test]
async fn a_purge_overtakes_a_fetch_whose_response_has_too_many_tags() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let page = |text| cacheable(text).field("surrogate-key", "node:1 node:2 node:3");
    origin.on_each("/a", [page("old").after(&gate), page("new")]);
    let proxy = Proxy::start_with(&origin, |config| config.tags.max_per_object = 2);

    let mut before = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    proxy.purge(r#"{"tags":["node:2"]}"#).await;
    gate.open();

    assert_eq!(before.answer().await.text(), "old", "it asked before the purge");
    assert_eq!(proxy.get("/a").await.text(), "new");
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_page_with_160_kb_of_tags_is_stored_and_purged_by_each() {
    let origin = Origin::start().await;
    let tags: Vec<String> = (0..12_000).map(|number| format!("cat_p_{number:06}")).collect();
    let joined = tags.join(",");
    assert!(joined.len() > 150_000);
    origin.on("/a", cacheable("page").field("x-magento-tags", &joined));
    let proxy = Proxy::start(&origin);
    for tag in [&tags[0], &tags[5_999], &tags[11_999]] {
        let shown = proxy.get("/a").await;
        assert_eq!((shown.status(), shown.field("x-magento-tags")), (200, None));
        assert!(proxy.get("/a").await.is_hit(), "{tag}");
        let report = proxy.purge(&format!(r#"{{"tags":["{tag}"]}}"#)).await;
        assert_eq!(report["matched"]["objects"], 1, "{tag}");
        assert!(!proxy.get("/a").await.is_hit(), "{tag}");
    }
    assert_eq!(proxy.purge(r#"{"tags":["cat_p_012000"]}"#).await["matched"]["objects"], 0);
}
