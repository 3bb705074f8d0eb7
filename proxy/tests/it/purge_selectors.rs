//! Purges by page, by path and by expression: what they hit, in memory, in a file and in flight,
//! at every endpoint.

use serde_json::{Value, json};
use settings::StorageKind;

use crate::storage::{start, written};
use crate::support::origin::{Gate, Origin, cacheable};
use crate::support::proxy::Proxy;

const PATHS: [&str; 6] = ["/p", "/p?a=1", "/p?b=2", "/%70?c=3", "/p/x", "/q?p"];

/// Stores pages at these paths, all of which carry the tag `t`, and one its own path's letters.
async fn fill(origin: &Origin, proxy: &Proxy, paths: &[&str]) {
    proxy.purge(r#"{"all":true}"#).await;
    for path in paths {
        let own: String = path.chars().filter(char::is_ascii_alphanumeric).collect();
        origin.on(path, cacheable("page").field("surrogate-key", &format!("t {own}")));
        proxy.get(path).await;
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
}

async fn hits<'a>(proxy: &Proxy, paths: &[&'a str]) -> Vec<&'a str> {
    let mut hits = Vec::new();
    for path in paths {
        if proxy.get(path).await.is_hit() {
            hits.push(*path);
        }
    }
    hits
}

#[tokio::test]
async fn a_path_or_page_is_purged_under_every_query_and_spelling() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for purge in [
        json!({"paths": ["http://site.example/p"]}),
        json!({"paths": ["//site.example/p?other"]}),
        json!({"pages": ["https://SITE.example/%70"]}),
        json!({"all_of": ["path:site.example/p"]}),
        json!({"any_of": ["page:site.example/p?x"]}),
    ] {
        fill(&origin, &proxy, &PATHS).await;
        let report = proxy.purge(&purge.to_string()).await;
        assert_eq!(report["matched"]["objects"], 4, "{purge}: {report}");
        assert_eq!(hits(&proxy, &PATHS).await, ["/p/x", "/q?p"], "{purge}");
        fill(&origin, &proxy, &PATHS).await;
        assert_eq!(proxy.purge(&purge.to_string()).await["matched"]["objects"], 4);
        assert_eq!(proxy.purge(&purge.to_string()).await["matched"]["objects"], 0, "{purge}");
    }
}

#[tokio::test]
async fn a_purge_request_may_mean_the_page_or_the_path() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (value, left) in [
        ("page", &["/p/x", "/q?p"][..]),
        ("path, hard", &["/p/x", "/q?p"]),
        ("url", &["/p", "/p?b=2", "/%70?c=3", "/p/x", "/q?p"]),
    ] {
        fill(&origin, &proxy, &PATHS).await;
        let fields = [("Host", "site.example"), ("Shellac-Purge", value)];
        let answer = proxy.ask_admin("PURGE", "/p?a=1", &fields, "").await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(hits(&proxy, &PATHS).await, left, "{value}");
    }
}

#[tokio::test]
async fn an_expression_hits_what_meets_all_of_it_and_nothing_else() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let paths = ["/a/1", "/a/2", "/b/1?x=1", "/b/2"];
    for (purge, left) in [
        (json!({"all_of": ["tag:t", "prefix:/a/"]}), &["/b/1?x=1", "/b/2"][..]),
        (json!({"all_of": ["tag:t"], "none_of": ["tag:a1"]}), &["/a/1"]),
        (json!({"any_of": ["tag:a1", "path:site.example/b/1"]}), &["/a/2", "/b/2"]),
        (
            json!({"all_of": ["host:site.example"], "any_of": ["tag:a1", "tag:b2"],
                   "none_of": ["url:site.example/b/2"]}),
            &["/a/2", "/b/1?x=1", "/b/2"],
        ),
        (json!({"all_of": ["tag:t", "host:other.example"]}), &paths),
        (
            json!({"expressions": [{"all_of": ["tag:a1"]}, {"all_of": ["tag:t", "page:site.example/b/2"]}]}),
            &["/a/2", "/b/1?x=1"],
        ),
    ] {
        fill(&origin, &proxy, &paths).await;
        let report = proxy.purge(&purge.to_string()).await;
        assert_eq!(report["matched"]["objects"], paths.len() - left.len(), "{purge}: {report}");
        assert_eq!(hits(&proxy, &paths).await, left, "{purge}");
    }
}

#[tokio::test]
async fn an_expression_that_says_too_little_is_refused_in_words() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (purge, words) in [
        (r#"{"none_of":["tag:eu"]}"#, "only what is left out"),
        (r#"{"all_of":["status:404"]}"#, "cannot be a term"),
        (r#"{"all_of":["product"]}"#, "is no term"),
        (r#"{"pages":["/p"]}"#, "names no host"),
    ] {
        let answer = proxy.ask_admin("POST", "/api/v1/purge", &[], purge).await;
        assert_eq!(answer.status(), 400, "{purge}");
        assert!(answer.text().contains(words), "{purge}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_is_in_flight_is_purged_by_page_path_and_expression() {
    for (number, purge) in selections().into_iter().enumerate() {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        proxy.deliver_purge(0, &json!({"tags": ["none"]})).await;
        let gate = Gate::closed();
        let tagged = |text| cacheable(text).field("surrogate-key", "t one");
        origin.on_each("/p?a=1", [tagged("old").after(&gate), tagged("new")]);
        origin.on_each("/other", [cacheable("other").field("surrogate-key", "t").after(&gate)]);
        let mut early = proxy.begin("/p?a=1", &[]).await;
        let mut other = proxy.begin("/other", &[]).await;
        origin.seen("/p?a=1", 1).await;
        origin.seen("/other", 1).await;

        if number % 2 == 0 {
            proxy.purge(&purge.to_string()).await;
        } else {
            proxy.deliver_purge(1, &purge).await;
        }
        let mut late = proxy.begin("/p?a=1", &[]).await;
        gate.open();

        assert_eq!(early.answer().await.text(), "old", "it asked before the purge");
        assert_eq!(late.answer().await.text(), "new", "{purge}: it asked after the purge");
        assert_eq!(other.answer().await.text(), "other");
        assert_eq!(proxy.get("/p?a=1").await.text(), "new", "{purge}: the old one is not stored");
        assert!(proxy.get("/other").await.is_hit(), "{purge}");
        assert_eq!(proxy.app.invalidation.condition_count(), 0, "nothing is remembered longer");
    }
}

fn selections() -> [Value; 6] {
    [
        json!({"pages": ["http://site.example/p"]}),
        json!({"pages": ["http://site.example/p?a=1"]}),
        json!({"paths": ["http://site.example/p"]}),
        json!({"paths": ["http://site.example/p?x"]}),
        json!({"expressions": [{"all_of": ["tag:one", "host:site.example"]}]}),
        json!({"expressions": [{"all_of": ["tag:t"], "none_of": ["page:site.example/other"]}]}),
    ]
}

#[tokio::test]
async fn a_soft_purge_by_page_or_expression_makes_stale_and_takes_nothing_out() {
    for purge in selections() {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let fields = [
            ("surrogate-key", "t one"),
            ("cache-control", "max-age=60, stale-while-revalidate=60"),
        ];
        let page = |text| {
            fields.iter().fold(cacheable(text), |page, (name, value)| page.field(name, value))
        };
        origin.on_each("/p?a=1", [page("old"), page("new")]);
        proxy.get("/p?a=1").await;
        let mut soft = purge.clone();
        soft["mode"] = "soft".into();
        assert_eq!(proxy.purge(&soft.to_string()).await["matched"]["objects"], 1, "{soft}");
        let answer = proxy.get("/p?a=1").await;
        assert_eq!(answer.text(), "old", "{soft}: {}", answer.cache_status());
        assert!(answer.cache_status().contains("stale"), "{soft}: {}", answer.cache_status());
        origin.seen("/p?a=1", 2).await;
    }
}

#[tokio::test]
async fn what_a_file_holds_is_purged_by_page_path_and_expression_across_a_restart() {
    for purge in selections() {
        let origin = Origin::start().await;
        let folder = tempfile::tempdir().unwrap();
        let tagged = |text| cacheable(text).field("surrogate-key", "t one");
        origin.on("/p?a=1", tagged("page"));
        origin.on("/other", cacheable("other").field("surrogate-key", "t"));
        let proxy = start(&origin, &folder, StorageKind::File).await;
        proxy.get("/p?a=1").await;
        proxy.get("/other").await;
        written(&proxy, 2).await;
        drop(proxy);

        let proxy = start(&origin, &folder, StorageKind::File).await;
        proxy.purge(&purge.to_string()).await; // while it is in the file only
        drop(proxy);

        let proxy = start(&origin, &folder, StorageKind::File).await;
        assert!(!proxy.get("/p?a=1").await.is_hit(), "{purge}");
        assert!(proxy.get("/other").await.is_hit(), "{purge}");
    }
}
