//! Deploys: what another deployment made is stale at once, and gone after the grace, whatever is in
//! flight, across restarts, and in whatever order changes arrive.

use serde_json::json;
use settings::{Config, StorageKind};

use crate::storage::{stored_in, written};
use crate::support::origin::{Gate, Origin, Reply, cacheable};
use crate::support::proxy::{Proxy, START};
use crate::support::until;
use process::clock::Clock;

fn by_field(config: &mut Config) {
    config.key.deployment = Some("x-deployment-id".parse().unwrap());
}

fn made_by(deployment: &str) -> Reply {
    let page = cacheable(deployment).field("x-deployment-id", deployment);
    page.field("cache-control", "max-age=86400, stale-while-revalidate=86400")
}

async fn deploy(proxy: &Proxy, id: &str, grace: u64) -> u64 {
    let purge = json!({"deploys": [{"id": id, "grace_seconds": grace}]});
    proxy.purge(&purge.to_string()).await["matched"]["objects"].as_u64().unwrap()
}

/// Moves the clock, and waits until the end of a grace was noticed.
async fn pass(proxy: &Proxy, seconds: u64) {
    proxy.advance(seconds);
    let now = proxy.clock.now();
    until("the end of the grace", || proxy.app.invalidation.deployments().due(now).is_empty())
        .await;
}

#[tokio::test]
async fn a_deploy_makes_pages_of_others_stale_at_once_and_takes_them_away_after_the_grace() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, by_field);
    origin.on("/old", made_by("v1"));
    origin.on("/new", made_by("v2"));
    origin.on("/none", cacheable("none").field("cache-control", "max-age=86400"));
    for path in ["/old", "/new", "/none"] {
        proxy.get(path).await;
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
    let gate = Gate::closed();
    origin.on("/old", made_by("v2").after(&gate));

    assert_eq!(deploy(&proxy, "v2", 600).await, 1);

    let stale = proxy.get("/old").await;
    assert_eq!(stale.text(), "v1", "{}", stale.cache_status());
    assert!(stale.cache_status().contains("stale"), "{}", stale.cache_status());
    for path in ["/new", "/none"] {
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
    pass(&proxy, 600).await;
    let mut late = proxy.begin("/old", &[]).await; // the old page is not even served stale
    gate.open();
    assert_eq!(late.answer().await.text(), "v2");
    assert!(proxy.get("/old").await.is_hit());
    assert!(proxy.get("/none").await.is_hit());
}

#[tokio::test]
async fn what_an_old_server_answers_later_is_stale_and_then_not_stored() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, by_field);
    let gate = Gate::closed();
    origin.on("/p", made_by("v1").after(&gate));
    let mut early = proxy.begin("/p", &[]).await;
    origin.seen("/p", 1).await;
    deploy(&proxy, "v2", 60).await;
    gate.open();
    assert_eq!(early.answer().await.text(), "v1");
    origin.on("/p", made_by("v1"));
    let stale = proxy.get("/p").await;
    assert!(stale.cache_status().contains("stale"), "{}", stale.cache_status());
    pass(&proxy, 60).await;
    proxy.get("/p").await;
    assert!(!proxy.get("/p").await.is_hit(), "an old server is still there");
    assert!(proxy.app.front.cache.fetcher().metrics().other_deployments.responses.value() >= 2);
    origin.on("/p", made_by("v2"));
    proxy.get("/p").await;
    assert!(proxy.get("/p").await.is_hit());
}

#[tokio::test]
async fn pages_that_a_deploy_took_away_do_not_come_back_with_their_deployment() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, by_field);
    origin.on_each("/p", [made_by("v1"), cacheable("again").field("x-deployment-id", "v1")]);
    proxy.get("/p").await;
    deploy(&proxy, "v2", 0).await;
    deploy(&proxy, "v1", 0).await;
    assert_eq!(proxy.get("/p").await.text(), "again");
    assert!(proxy.get("/p").await.is_hit());
}

#[tokio::test]
async fn a_deploy_over_the_log_holds_though_older_ones_are_repeated() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, by_field);
    let start = START.as_millis();
    let at = |id: &str, after: u64| json!({"id": id, "grace_seconds": 60, "at_ms": start + after});
    proxy.advance(10);
    proxy.deliver_purge(0, &json!({"deploys": [at("v1", 1000)]})).await;
    proxy.deliver_purge(1, &json!({"deploys": [at("v2", 2000)]})).await;
    proxy.deliver_purge(2, &json!({"deploys": [at("v1", 1000)], "tags": ["t"]})).await;
    let document = proxy.ask_admin("GET", "/api/v1/deploys", &[], "").await.json();
    assert_eq!(document["present"][0]["id"], "v2", "{document}");
    assert_eq!(document["present"][0]["at_ms"], start + 2000);
    assert_eq!(document["present"][0]["grace_left"], 52, "from its own time, not its arrival");
    let late = json!({"deploys": [at("v1", 1500)]}).to_string();
    let hint = proxy.purge(&late).await["hint"].to_string();
    assert!(hint.contains("v2") && hint.contains("stays"), "{hint}");
    deploy(&proxy, "v1", 60).await;
    let document = proxy.ask_admin("GET", "/api/v1/deploys", &[], "").await.json();
    assert_eq!(document["present"][0]["id"], "v1", "without a time it is the latest");
}

#[tokio::test]
async fn a_deploy_of_one_host_leaves_the_others() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, by_field);
    origin.on("/p", made_by("v1"));
    let other = [("Host", "other.example")];
    for fields in [&[][..], &other] {
        proxy.get_with("/p", fields).await;
        assert!(proxy.get_with("/p", fields).await.is_hit());
    }
    let purge = json!({"deploys": [{"id": "v2", "host": "OTHER.example"}]});
    assert_eq!(proxy.purge(&purge.to_string()).await["matched"]["objects"], 1);
    assert!(proxy.get("/p").await.is_hit());
    assert!(!proxy.get_with("/p", &other).await.is_hit());
}

#[tokio::test]
async fn the_present_deployment_is_known_after_a_restart_and_so_is_what_is_gone() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let start = |clock: Clock| {
        let stored = stored_in(folder.path(), StorageKind::File);
        let change = |config: &mut Config| {
            stored(config);
            by_field(config);
        };
        Proxy::start_at(origin.address, clock, change)
    };
    let recovered = async |proxy: &Proxy| {
        until("the recovery", || proxy.app.file_usage().is_some_and(|it| !it.is_loading)).await;
    };
    for path in ["/soft", "/hard", "/late"] {
        origin.on(path, made_by("v1"));
    }
    let proxy = start(Clock::manual(START));
    recovered(&proxy).await;
    proxy.get("/soft").await;
    proxy.get("/hard").await;
    written(&proxy, 2).await;
    deploy(&proxy, "v2", 600).await;
    drop(proxy);

    let proxy = start(Clock::manual(START.plus(std::time::Duration::from_mins(1))));
    recovered(&proxy).await;
    assert!(proxy.get("/soft").await.cache_status().contains("stale"));
    proxy.get("/late").await; // of an old server
    assert!(proxy.get("/late").await.cache_status().contains("stale"));
    drop(proxy);

    let proxy = start(Clock::manual(START.plus(std::time::Duration::from_secs(700))));
    recovered(&proxy).await;
    pass(&proxy, 1).await;
    for path in ["/soft", "/hard", "/late"] {
        assert!(!proxy.get(path).await.is_hit(), "{path}");
    }
    deploy(&proxy, "v1", 0).await; // back
    drop(proxy);

    let proxy = start(Clock::manual(START.plus(std::time::Duration::from_secs(800))));
    recovered(&proxy).await;
    let document = proxy.ask_admin("GET", "/api/v1/deploys", &[], "").await.json();
    assert_eq!(document["present"][0]["id"], "v1");
    assert!(!proxy.get("/hard").await.is_hit(), "what was gone stays so");
    assert!(proxy.get("/hard").await.is_hit(), "what it makes now is stored");
}

#[tokio::test]
async fn a_deploy_that_says_too_little_or_too_much_is_refused() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, by_field);
    for (purge, words) in [
        (r#"{"deploys":[{"id":""}]}"#, "empty"),
        (r#"{"deploys":[{"id":"b","grace_seconds":604801}]}"#, "604800"),
        (r#"{"deploys":[{"id":"b","host":"a/b"}]}"#, "host"),
        (r#"{"deploys":[{"grace_seconds":1}]}"#, "id"),
    ] {
        let answer = proxy.ask_admin("POST", "/api/v1/purge", &[], purge).await;
        assert_eq!(answer.status(), 400, "{purge}");
        assert!(answer.text().contains(words), "{purge}: {}", answer.text());
    }
}
