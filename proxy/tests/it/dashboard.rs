//! The pages for people on the admin listener, and what protects them.

use settings::{DashboardMode, Secret};

use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::Proxy;

const HOST: (&str, &str) = ("host", "localhost");
const PAGES: [&str; 3] = ["/", "/assets/proxy.js", "/assets/shellac.css"];

#[tokio::test]
async fn pages_protect_themselves_and_are_asked_for_again() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for path in PAGES {
        let answer = proxy.ask_admin("GET", path, &[HOST], "").await;
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.field("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(&*answer.field("x-content-type-options").unwrap(), "nosniff");
        assert_eq!(&*answer.field("cache-control").unwrap(), "no-cache");
        let refused = proxy.ask_admin("DELETE", path, &[HOST], "").await;
        assert_eq!(refused.status(), 404, "{path}");
    }
    let script = proxy.ask_admin("GET", "/assets/proxy.js", &[HOST], "").await;
    let etag = script.field("etag").unwrap();
    let again =
        proxy.ask_admin("GET", "/assets/proxy.js", &[HOST, ("if-none-match", &etag)], "").await;
    assert_eq!((again.status(), again.text()), (304, ""));
}

#[tokio::test]
async fn a_page_shows_the_current_values_without_a_script() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let page = proxy.ask_admin("GET", "/", &[HOST], "").await;
    assert_eq!(&*page.field("content-type").unwrap(), "text/html; charset=utf-8");
    assert!(page.text().contains(env!("CARGO_PKG_VERSION")), "{}", page.text());
    assert!(page.text().contains("Hit ratio"));
}

#[tokio::test]
async fn pages_are_off_when_they_are_switched_off() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.admin.dashboard = DashboardMode::Off);
    for path in PAGES {
        assert_eq!(proxy.ask_admin("GET", path, &[HOST], "").await.status(), 404, "{path}");
    }
    assert_eq!(proxy.ask_admin("GET", "/api/v1/stats", &[], "").await.status(), 200);
}

#[tokio::test]
async fn a_browser_is_asked_for_the_token_by_pages_only() {
    let origin = Origin::start().await;
    let proxy =
        Proxy::start_with(&origin, |config| config.admin.token = Some(Secret::new("s3cret")));
    for path in PAGES {
        let refused = proxy.ask_admin("GET", path, &[HOST], "").await;
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.head.fields("www-authenticate").any(|value| value.starts_with("Basic")));
        let password = [("authorization", "Basic OnMzY3JldA==")];
        assert_eq!(proxy.ask_admin("GET", path, &password, "").await.status(), 200, "{path}");
    }
    let refused = proxy.ask_admin("GET", "/api/v1/stats", &[], "").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.head.fields("www-authenticate").all(|value| !value.starts_with("Basic")));
}

#[tokio::test]
async fn pages_of_other_sites_neither_purge_nor_read() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("a").field("surrogate-key", "t"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    for field in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let purge = proxy.ask_admin("POST", "/api/v1/purge", &[field], r#"{"tags":["t"]}"#).await;
        assert_eq!(purge.status(), 403, "{field:?}");
        assert_eq!(proxy.ask_admin("GET", "/api/v1/stats", &[field], "").await.status(), 403);
    }
    let elsewhere = [("host", "evil.example")];
    assert_eq!(proxy.ask_admin("GET", "/api/v1/stats", &elsewhere, "").await.status(), 403);
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_dry_run_counts_what_a_purge_would_hit_and_purges_nothing() {
    let origin = Origin::start().await;
    for (path, tags) in [("/a", "t u"), ("/b", "t"), ("/c", "v")] {
        origin.on(path, cacheable("x").field("surrogate-key", tags));
    }
    let proxy = Proxy::start(&origin);
    for path in ["/a", "/b", "/c"] {
        proxy.get(path).await;
    }
    for (request, objects, each) in [
        (r#"{"tags":["t","u"]}"#, 2, [2, 1].as_slice()),
        (r#"{"tags":["none"]}"#, 0, &[0]),
        (r#"{"prefixes":["/"]}"#, 3, &[3]),
        (r#"{"all":true}"#, 3, &[3]),
        (r#"{"all_of":["tag:t","tag:u"]}"#, 1, &[1]),
    ] {
        let answer = proxy.ask_admin("POST", "/api/v1/purge?dry_run", &[], request).await;
        assert_eq!(answer.status(), 200, "{request} {}", answer.text());
        let report = answer.json();
        assert_eq!(report["matched"]["objects"], objects, "{request} {report}");
        assert_eq!(report["dry_run"], true);
        let counts: Vec<_> = report["selectors"].as_array().unwrap().iter().collect();
        let counts: Vec<_> = counts.iter().map(|one| one["objects"].as_u64().unwrap()).collect();
        assert_eq!(counts, each, "{request}");
    }
    for path in ["/a", "/b", "/c"] {
        assert_eq!(origin.count(path), 1);
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
    let purged = proxy.purge(r#"{"tags":["t"]}"#).await;
    assert_eq!(purged["matched"]["objects"], 2);
    let after = proxy.ask_admin("POST", "/api/v1/purge?dry_run", &[], r#"{"tags":["t"]}"#).await;
    assert_eq!(after.json()["matched"]["objects"], 0);
    let misspelt = proxy.ask_admin("POST", "/api/v1/purge?dryrun", &[], r#"{"tags":["v"]}"#).await;
    assert_eq!(misspelt.status(), 400);
    assert!(proxy.get("/c").await.is_hit());
}
