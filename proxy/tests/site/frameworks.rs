//! Real sites of five frameworks behind their presets.

use crate::support::framework::Framework;
use crate::support::{Answer, Client, Shellac};

fn before(framework: &Framework, preset: &str) -> Shellac {
    let rule = format!("[[rule]]\nname = \"site\"\npreset = \"{preset}\"\n");
    Shellac::configured(framework.address(), "", &rule)
}

/// Purges a page, and returns how many stored responses were of it.
async fn purge_page(shellac: &Shellac, path: &str) -> u64 {
    let page = format!("http://{}{path}", shellac.client().host());
    let purge = serde_json::json!({ "pages": [page] });
    let report = shellac.admin().post("/api/v1/purge", &purge).await.json();
    report["matched"]["objects"].as_u64().expect("it is a report")
}

/// A page that may be stored from the first request on.
async fn warmed(client: Client, path: &str) -> Answer {
    for _ in 0..3 {
        client.get(path).await; // Next.js does not let the first response be stored
    }
    client.get(path).await
}

/// The page `/p/1` and its data: hits for all visitors, purged together.
async fn check_page_and_data(preset: &str, site: &str, data: Option<&str>) {
    let framework = Framework::serve(site);
    let shellac = before(&framework, preset);
    let client = shellac.client();
    let page = warmed(client, "/p/1").await;
    assert!(page.is_hit(), "{preset}: {:?}", page.fields);
    assert!(client.get("/p/1?utm_source=mail").await.is_hit(), "{preset}");
    let consented = client.get_with("/p/1", &[("cookie", "_ga=1; CookieConsent=yes")]).await;
    assert!(consented.is_hit(), "{preset}");
    let member = client.get_with("/p/1", &[("cookie", "session=7")]).await;
    assert!(!member.is_hit(), "{preset}");
    if let Some(data) = data {
        client.get(data).await;
        let hit = client.get(data).await;
        assert!(hit.is_hit() && hit.body != page.body, "{preset}: {:?}", hit.fields);
    }
    let objects = purge_page(&shellac, "/p/1").await;
    assert_eq!(objects, 1 + u64::from(data.is_some()), "{preset}");
    for path in ["/p/1"].into_iter().chain(data) {
        assert!(!client.get(path).await.is_hit(), "{preset} {path}");
    }
}

#[tokio::test]
async fn a_nuxt_page_is_purged_with_its_payload() {
    check_page_and_data("nuxt", "nuxt", Some("/p/1/_payload.json")).await;
}

#[tokio::test]
async fn a_sveltekit_page_is_purged_with_its_data() {
    check_page_and_data("sveltekit", "sveltekit", Some("/p/1/__data.json")).await;
}

#[tokio::test]
async fn a_react_router_page_is_purged_with_its_data() {
    check_page_and_data("react-router", "react-router", Some("/p/1.data")).await;
}

#[tokio::test]
async fn an_astro_page_is_purged() {
    check_page_and_data("astro", "astro", None).await;
}

#[tokio::test]
async fn a_next_page_is_one_response_and_its_data_another_wherever_visitors_come_from() {
    let framework = Framework::serve("next-app");
    let shellac = before(&framework, "nextjs");
    let client = shellac.client();
    let page = warmed(client, "/p/1").await;
    assert!(page.is_hit(), "{:?}", page.fields);
    framework.reached().await;

    let mut bodies = Vec::new();
    for from in ["/", "/p/2", "/p/3", "/search"] {
        let fields = [("rsc", "1"), (TREE, TREE_OF_ROOT), ("next-url", from)];
        let data = client.get_with(&format!("/p/1?_rsc={}", from.len()), &fields).await;
        assert_eq!(data.status, 200, "{from}: {:?}", data.fields);
        assert_eq!(data.field("content-type"), "text/x-component");
        bodies.push(data.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_ne!(bodies[0], page.body);
    let reached = framework.reached().await;
    assert_eq!(reached.len(), 1, "{reached:?}");
    assert!(!reached[0].fields.contains_key(TREE));

    for from in ["/", "/p/2"] {
        let fields = [("rsc", "1"), ("next-router-prefetch", "1"), ("next-url", from)];
        assert_eq!(client.get_with("/p/1?_rsc=x", &fields).await.status, 200);
    }
    assert_eq!(framework.reached().await.len(), 1, "a prefetch is another response");
    assert!(client.get("/p/1").await.is_hit());
    assert_eq!(purge_page(&shellac, "/p/1").await, 3);
}

#[tokio::test]
async fn a_client_cannot_pass_by_the_middleware_of_next() {
    let framework = Framework::serve("next-app");
    let shellac = before(&framework, "nextjs");
    for (name, value) in [
        ("x-middleware-subrequest", "proxy:proxy:proxy:proxy:proxy"),
        ("x-middleware-rewrite", "/account"),
        ("x-matched-path", "/account"),
        ("x-now-route-matches", "1=account"),
        ("x-prerender-revalidate", "1"),
        ("x-nextjs-data", "1"),
        ("next-resume", "1"),
    ] {
        let answer = shellac.client().get_with("/account", &[(name, value)]).await;
        assert_eq!(answer.status, 307, "{name}: {:?}", answer.fields);
        assert!(answer.field("location").contains("/login"), "{name}");
        let reached = framework.reached().await;
        assert!(reached.iter().all(|request| !request.fields.contains_key(name)), "{reached:?}");
    }
    framework.reached().await;
    for _ in 0..2 {
        shellac.client().get("/p/1?__nextDataReq=1").await;
    }
    let reached = framework.reached().await;
    assert_eq!(reached.len(), 2, "it is not stored: {reached:?}");
    assert_eq!(reached[0].target, "/p/1?__nextDataReq=1");
}

#[tokio::test]
async fn assets_of_next_are_shared_and_a_missing_one_is_asked_for_again() {
    let framework = Framework::serve("next-app");
    let shellac = before(&framework, "nextjs");
    let client = shellac.client();
    let page = client.get("/p/1").await;
    let html = String::from_utf8_lossy(&page.body).into_owned();
    let asset = html.split('"').find(|text| text.starts_with("/_next/static/chunks/"));
    let asset = asset.expect("a page has scripts");
    client.get(asset).await;
    assert!(client.get_with(asset, &[("cookie", "session=7; theme=dark")]).await.is_hit());
    framework.reached().await;
    for _ in 0..2 {
        assert_eq!(client.get("/_next/static/chunks/gone.js").await.status, 404);
    }
    assert_eq!(framework.reached().await.len(), 2);
}

const TREE: &str = "next-router-state-tree";
const TREE_OF_ROOT: &str = "%5B%22%22%2C%7B%7D%5D";
