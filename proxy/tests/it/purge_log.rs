//! The purge log: a purger's batches over the admin listener, and what must never happen on the
//! way.

use serde_json::{Value, json};
use settings::{OnExpiry, Secret};

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, cacheable, not_modified, status};
use crate::support::proxy::Proxy;

/// A batch of the only partition, with members added or replaced.
fn batch(from: i64, to: i64, more: &Value) -> Value {
    let mut batch = json!({
        "log": {"cluster": "c", "topic": "t", "partition": 0}, "partitions": 1,
        "from": from, "to": to, "clean_ms": 0, "purger": "p-1", "purges": [],
    });
    for (member, value) in more.as_object().unwrap() {
        batch[member] = value.clone();
    }
    batch
}

fn purges(from: i64, to: i64, purges: &Value) -> Value {
    batch(from, to, &json!({"purges": purges}))
}

/// Adopts the proxy at this offset.
async fn adopt(proxy: &Proxy, to: i64) {
    let answer = proxy.deliver(&batch(to, to, &json!({"start": "adopt"}))).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

async fn next(proxy: &Proxy) -> Value {
    proxy.log_status().await["positions"][0]["next"].clone()
}

/// A page that a 304 confirms, stored with this tag.
async fn store(origin: &Origin, proxy: &Proxy, path: &str, tag: &str) {
    let (tag, etag) = (tag.to_owned(), format!("\"{path}\""));
    origin.script(path, move |received| match received.head.field("if-none-match") {
        Some(_) => not_modified().field("etag", &etag),
        None => cacheable("page").field("etag", &etag).field("surrogate-key", &tag),
    });
    proxy.get(path).await;
    assert!(proxy.get(path).await.is_hit());
}

fn is_validated(answer: &Answer) -> bool {
    answer.cache_status().contains("fwd=stale; fwd-status=304")
}

#[tokio::test]
async fn purges_of_a_batch_are_in_force_when_it_is_answered_and_counted_each() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 5).await;
    for (path, tag) in [("/a", "one"), ("/b", "two"), ("/c", "two"), ("/d", "four")] {
        store(&origin, &proxy, path, tag).await;
    }

    let answer = proxy
        .deliver(&purges(
            5,
            12,
            &json!([
                {"offset": 5, "tags": ["one"]},
                {"offset": 6, "tags": ["none"]},
                {"offset": 8, "tags": ["two", "one"]},
                {"offset": 9, "urls": ["http://site.example/b"], "mode": "soft"},
                {"offset": 11, "tags": ["four"], "mode": "soft"},
            ]),
        ))
        .await;

    assert_eq!(answer.status(), 200);
    let applied = answer.json();
    assert_eq!(applied["next"], 12);
    let hits = json!([
        {"offset": 5, "objects": 1}, {"offset": 8, "objects": 2}, {"offset": 11, "objects": 1},
    ]);
    assert_eq!(applied["hits"], hits);
    for path in ["/a", "/b", "/c"] {
        assert!(proxy.get(path).await.cache_status().contains("fwd=uri-miss"), "{path}");
    }
    assert!(is_validated(&proxy.get("/d").await));
}

#[tokio::test]
async fn a_proxy_without_a_position_refuses_and_says_where_it_stands() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    store(&origin, &proxy, "/a", "t").await;
    assert_eq!(proxy.log_status().await["state"], "unattended");

    let answer = proxy.deliver(&purges(0, 9, &json!([{"offset": 0, "tags": ["t"]}]))).await;

    assert_eq!(answer.status(), 409);
    assert_eq!(answer.json(), proxy.log_status().await);
    assert_eq!(answer.json()["positions"], json!([]));
    assert!(proxy.get("/a").await.is_hit());
}

/// R8: the middle one of three batches is lost.
#[tokio::test]
async fn a_lost_batch_is_never_passed_over() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    store(&origin, &proxy, "/lost", "lost").await;
    store(&origin, &proxy, "/late", "late").await;
    proxy.deliver(&batch(0, 1, &json!({}))).await;

    let late = purges(2, 3, &json!([{"offset": 2, "tags": ["late"]}]));
    let refused = proxy.deliver(&late).await;
    let heartbeat = proxy.deliver(&batch(3, 3, &json!({}))).await;

    assert_eq!((refused.status(), heartbeat.status()), (409, 409));
    assert_eq!(refused.json()["positions"][0]["next"], 1);
    assert!(proxy.get("/late").await.is_hit(), "nothing of a refused batch is applied");
    proxy.deliver(&purges(1, 2, &json!([{"offset": 1, "tags": ["lost"]}]))).await;
    assert_eq!(proxy.deliver(&late).await.json()["next"], 3);
    assert!(!proxy.get("/lost").await.is_hit() && !proxy.get("/late").await.is_hit());
}

/// R9: two purgers, one of which was thought dead.
#[tokio::test]
async fn a_second_purger_neither_moves_a_position_back_nor_leaves_a_hole() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    store(&origin, &proxy, "/a", "a").await;
    let of = |purger: &str, from, to| batch(from, to, &json!({"purger": purger}));

    for (purger, from, to, status, expected) in [
        ("one", 0, 10, 200, 10),
        ("two", 5, 8, 200, 10),
        ("two", 8, 14, 200, 14),
        ("one", 10, 12, 200, 14),
        ("one", 16, 18, 409, 14),
        ("two", 14, 14, 200, 14),
        ("one", 14, 18, 200, 18),
    ] {
        let answer = proxy.deliver(&of(purger, from, to)).await;
        assert_eq!(answer.status(), status, "{purger} {from}..{to}");
        assert_eq!(next(&proxy).await, expected, "{purger} {from}..{to}");
    }
    assert!(proxy.get("/a").await.is_hit());
}

/// R16: an answer is lost, and its batch sent once more.
#[tokio::test]
async fn an_old_purge_that_is_sent_again_never_hits_what_is_fresh() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    let old = purges(0, 1, &json!([{"offset": 0, "tags": ["t"]}]));
    proxy.deliver(&old).await;
    store(&origin, &proxy, "/fresh", "t").await;

    let again = proxy.deliver(&old).await;
    let longer =
        purges(0, 2, &json!([{"offset": 0, "tags": ["t"]}, {"offset": 1, "tags": ["other"]}]));
    let overlapping = proxy.deliver(&longer).await;

    assert_eq!((again.status(), overlapping.status()), (200, 200));
    assert_eq!(overlapping.json()["next"], 2);
    assert_eq!(again.json()["hits"], Value::Null);
    assert!(proxy.get("/fresh").await.is_hit());
}

/// R12: an instance has cached before a purger knew of it.
#[tokio::test]
async fn responses_from_before_adoption_are_validated_before_use() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for path in ["/a", "/gone"] {
        store(&origin, &proxy, path, "t").await;
    }

    adopt(&proxy, 100).await;

    let stale = proxy.get_with("/a", &[("Cache-Control", "only-if-cached, max-stale")]).await;
    assert_eq!(stale.status(), 504);
    assert!(is_validated(&proxy.get("/a").await));
    assert!(proxy.get("/a").await.is_hit(), "a 304 proves it");
    origin.on("/gone", status("503 Service Unavailable", "down"));
    assert_eq!(proxy.get("/gone").await.status(), 503, "not even when the origin fails");
    assert_eq!(proxy.log_status().await["state"], "current");
}

#[tokio::test]
async fn after_a_gap_older_responses_are_validated_and_newer_ones_used() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    store(&origin, &proxy, "/old", "t").await;

    let gap = batch(900, 900, &json!({"start": "expired"}));
    assert_eq!(proxy.deliver(&gap).await.json()["next"], 900);

    store(&origin, &proxy, "/new", "t").await;
    assert!(is_validated(&proxy.get("/old").await));
    assert!(proxy.get("/new").await.is_hit());
}

/// R3: a 304 to a question that was asked before the gap says nothing about what happened in it.
#[tokio::test]
async fn a_304_that_was_asked_for_before_a_gap_never_proves_anything() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    store(&origin, &proxy, "/a", "t").await;
    proxy.advance(61);
    let gate = Gate::closed();
    origin.on("/a", not_modified().after(&gate));
    let mut asked = proxy.begin("/a", &[]).await;
    origin.seen("/a", 2).await;

    proxy.deliver(&batch(900, 900, &json!({"start": "expired"}))).await;
    gate.open();
    assert_eq!(asked.answer().await.status(), 200, "who asked before gets what was there before");

    origin.on("/a", cacheable("new"));
    assert_eq!(proxy.get("/a").await.text(), "new");
    assert_eq!(origin.count("/a"), 3);
}

/// The same for a page that was being rendered.
#[tokio::test]
async fn a_page_that_was_being_rendered_at_a_gap_is_never_a_hit() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    let gate = Gate::closed();
    origin.on("/a", cacheable("old").after(&gate));
    let mut early = proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;

    proxy.deliver(&batch(900, 900, &json!({"start": "replaced"}))).await;
    origin.on("/a", cacheable("new"));
    assert_eq!(proxy.get("/a").await.text(), "new", "it does not join what began before");
    gate.open();

    assert_eq!(early.answer().await.text(), "old");
    assert_eq!(proxy.get("/a").await.text(), "new");
}

#[tokio::test]
async fn one_bad_purge_refuses_its_batch_and_is_named() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    store(&origin, &proxy, "/a", "good").await;
    let good = json!({"offset": 0, "tags": ["good"]});

    for (bad, code, offset) in [
        (json!({"offset": 1, "tags": ["a b"]}), 400, json!(1)),
        (json!({"offset": 1}), 400, json!(1)),
        (json!({"offset": 1, "urls": ["ftp://x"]}), 400, json!(1)),
        (json!({"offset": 9, "tags": ["t"]}), 400, json!(9)),
        (json!({"offset": -1, "tags": ["t"]}), 400, json!(-1)),
        (json!({"offset": 1, "tags": vec!["t"; 1001]}), 413, json!(1)),
        (json!({"offset": 1, "tags": ["t"], "tag": "t"}), 400, json!(1)),
        (json!({"offset": 1, "tags": "t"}), 400, json!(1)),
        (json!({"offset": 1, "tags": ["t"], "mode": "softly"}), 400, json!(1)),
        (json!({"tags": ["t"]}), 400, Value::Null),
        (json!(null), 400, Value::Null),
    ] {
        let answer = proxy.deliver(&purges(0, 2, &json!([good, bad]))).await;
        assert_eq!(answer.status(), code, "{bad}");
        assert_eq!(answer.field("content-type").unwrap(), "application/problem+json");
        assert_eq!(answer.json()["offset"], offset, "{bad}");
        assert!(proxy.get("/a").await.is_hit(), "{bad}");
    }
    assert_eq!(next(&proxy).await, 0);
    let backwards =
        purges(0, 5, &json!([{"offset": 3, "tags": ["t"]}, {"offset": 2, "tags": ["t"]}]));
    assert_eq!(proxy.deliver(&backwards).await.json()["offset"], 2);
}

#[tokio::test]
async fn a_malformed_batch_is_refused_with_the_member_that_is_wrong() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (more, word) in [
        (json!({"from": -1}), "`from`"),
        (json!({"from": 9, "to": 8}), "`to`"),
        (json!({"partitions": 0}), "`partitions`"),
        (json!({"partitions": 100_000}), "`partitions`"),
        (json!({"log": {"cluster": "c", "topic": "t", "partition": 1}}), "`log.partition`"),
        (json!({"log": {"cluster": "", "topic": "t", "partition": 0}}), "`log.cluster`"),
        (json!({"log": {"cluster": "c", "topic": "t\n", "partition": 0}}), "`log.topic`"),
        (json!({"purger": "x".repeat(256)}), "`purger`"),
        (json!({"start": "sometime"}), "sometime"),
        (json!({"to": "x"}), "line 1 column"),
    ] {
        let answer = proxy.deliver(&batch(0, 1, &more)).await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(answer.status(), 400, "{more}");
        assert!(detail.contains(word), "{more}: {detail}");
    }
    let future = batch(0, 0, &json!({"start": "adopt", "a_new_member": [1]}));
    assert_eq!(proxy.deliver(&future).await.status(), 200, "protocols grow");
    for text in ["", "[]", "{", "{}"] {
        let answer = proxy.ask_admin("POST", "/api/v1/log", &[], text).await;
        assert_eq!(answer.status(), 400, "{text}");
    }
    let put = proxy.ask_admin("PUT", "/api/v1/log", &[], "{}").await;
    assert_eq!((put.status(), &*put.field("allow").unwrap()), (405, "GET, POST, DELETE"));
}

#[tokio::test]
async fn a_batch_past_a_limit_is_413_and_nothing_of_it_is_applied() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.log.max_body = 4096;
        config.purge.log.max_purges = 10;
        config.purge.log.max_selectors = 20;
    });
    adopt(&proxy, 0).await;
    let many = |count: i64, tags: usize| {
        let one = |offset| json!({"offset": offset, "tags": vec!["t"; tags]});
        purges(0, count, &(0..count).map(one).collect())
    };
    for (batch, expected) in
        [(many(10, 2), 200), (many(11, 1), 413), (many(7, 3), 413), (many(1000, 1), 413)]
    {
        let answer = proxy.deliver(&batch).await;
        assert_eq!(answer.status(), expected, "{}", answer.text());
    }
    assert_eq!(next(&proxy).await, 10);
}

#[tokio::test]
async fn the_log_is_behind_the_admin_token() {
    let origin = Origin::start().await;
    let proxy =
        Proxy::start_with(&origin, |config| config.admin.token = Some(Secret::new("secret")));
    let text = batch(0, 0, &json!({"start": "adopt"})).to_string();
    for method in ["GET", "POST"] {
        let refused = proxy.ask_admin(method, "/api/v1/log", &[], &text).await;
        assert_eq!(refused.status(), 401);
    }
    let token = [("Authorization", "Bearer secret")];
    assert_eq!(proxy.ask_admin("POST", "/api/v1/log", &token, &text).await.status(), 200);
}

#[tokio::test]
async fn positions_are_kept_for_each_partition_and_dropped_with_it() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for partition in 0..3 {
        let log = json!({"cluster": "c", "topic": "t", "partition": partition});
        let more = json!({"log": log, "partitions": 3, "start": "adopt"});
        proxy.deliver(&batch(partition, partition, &more)).await;
    }
    let nexts = |log_status: &Value| -> Vec<i64> {
        let all = log_status["positions"].as_array().unwrap();
        all.iter().map(|position| position["next"].as_i64().unwrap()).collect()
    };
    assert_eq!(nexts(&proxy.log_status().await), [0, 1, 2]);
    proxy.deliver(&batch(0, 7, &json!({"partitions": 2}))).await;
    assert_eq!(nexts(&proxy.log_status().await), [7, 1]);
}

/// The lease: a silent purger bounds the age of a page that is not validated.
#[tokio::test]
async fn without_a_purger_stored_pages_are_used_as_configured() {
    for (on_expiry, young, old, failing) in [
        (OnExpiry::Serve, "hit", "hit", 200),
        (OnExpiry::Cap, "hit", "304", 200),
        (OnExpiry::Validate, "304", "304", 503),
        (OnExpiry::Bypass, "bypass", "bypass", 503),
    ] {
        let origin = Origin::start().await;
        let proxy = Proxy::start_with(&origin, |config| config.purge.log.on_expiry = on_expiry);
        adopt(&proxy, 0).await;
        for path in ["/a", "/b"] {
            origin.script(path, move |received| match received.head.field("if-none-match") {
                Some(_) => not_modified(),
                None => {
                    cacheable("page").field("cache-control", "max-age=600").field("etag", "\"a\"")
                }
            });
        }
        proxy.get("/a").await;
        proxy.get("/b").await;
        proxy.advance(14);
        assert!(proxy.get("/a").await.is_hit());

        proxy.advance(1);
        assert_eq!(proxy.log_status().await["state"], "degraded");
        assert!(proxy.get("/a").await.cache_status().contains(young), "{on_expiry:?}");
        proxy.advance(60);
        assert!(proxy.get("/b").await.cache_status().contains(old), "{on_expiry:?}");
        proxy.advance(61);
        origin.on("/a", status("503 Service Unavailable", ""));
        assert_eq!(proxy.get("/a").await.status(), failing, "{on_expiry:?}");

        proxy.deliver(&batch(0, 0, &json!({}))).await;
        assert_eq!(proxy.log_status().await["state"], "current");
        assert!(proxy.get("/b").await.is_hit() || on_expiry == OnExpiry::Bypass);
    }
}

#[tokio::test]
async fn a_heartbeat_about_the_past_does_not_renew_the_lease() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    proxy.advance(20);

    proxy.deliver(&batch(0, 5, &json!({"clean_ms": 16_000}))).await;
    assert_eq!(proxy.log_status().await["state"], "degraded");
    proxy.deliver(&batch(5, 5, &json!({"clean_ms": null}))).await;
    assert_eq!(proxy.log_status().await["state"], "degraded");
    proxy.deliver(&batch(5, 5, &json!({"clean_ms": 14_000}))).await;
    assert_eq!(proxy.log_status().await["state"], "current");
}

#[tokio::test]
async fn a_required_purger_is_waited_for() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.log.required = true;
        config.purge.log.on_expiry = OnExpiry::Validate;
    });
    let unready = proxy.ask_admin("GET", "/readyz", &[], "").await;
    assert_eq!(unready.status(), 503);
    assert!(unready.text().starts_with("unattended"), "{}", unready.text());
    assert_eq!(proxy.log_status().await["state"], "catching-up");
    origin.on("/a", cacheable("page"));
    proxy.get("/a").await;
    assert!(!proxy.get("/a").await.is_hit());

    adopt(&proxy, 0).await;

    assert_eq!(proxy.ask_admin("GET", "/readyz", &[], "").await.status(), 200);
    proxy.get("/a").await;
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn metrics_say_where_the_log_stands() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 40).await;
    store(&origin, &proxy, "/a", "t").await;
    let one = purges(40, 42, &json!([{"offset": 41, "tags": ["t"]}]));
    for answer in [proxy.deliver(&one).await, proxy.deliver(&one).await] {
        assert_eq!(answer.status(), 200);
    }
    proxy.deliver(&batch(90, 91, &json!({}))).await;
    proxy.deliver(&batch(1, 0, &json!({}))).await;
    proxy.deliver(&batch(42, 42, &json!({}))).await;
    proxy.advance(20);

    let answer = proxy.ask_admin("GET", "/metrics", &[], "").await;

    let page = answer.text().replace("{}", "");
    for line in [
        r#"shellac_purge_log_position{cluster="c",topic="t",partition="0"} 42"#,
        r#"shellac_purge_log_state{state="degraded"} 1"#,
        r#"shellac_purge_log_state{state="current"} 0"#,
        "shellac_purge_log_degraded 1",
        "shellac_purge_log_quarantined 0",
        "shellac_purge_log_clean_age_seconds 20",
        "shellac_purge_log_last_batch_age_seconds 20",
        r#"shellac_purge_log_batches_total{outcome="started"} 1"#,
        r#"shellac_purge_log_batches_total{outcome="applied"} 1"#,
        r#"shellac_purge_log_batches_total{outcome="repeated"} 1"#,
        r#"shellac_purge_log_batches_total{outcome="heartbeat"} 1"#,
        r#"shellac_purge_log_batches_total{outcome="hole"} 1"#,
        r#"shellac_purge_log_batches_total{outcome="refused"} 1"#,
        "shellac_purge_log_purges_total 1",
        "shellac_purge_log_purges_skipped_total 1",
        r#"shellac_purges_total{source="log",kind="tag",mode="hard"} 1"#,
    ] {
        assert!(page.lines().any(|given| given == line), "{line} in\n{page}");
    }
}

/// R25: a hard-purged response never replaces an error. R26: a soft purge never lets a stale page
/// live longer.
#[tokio::test]
async fn a_purge_over_the_log_shortens_and_never_extends_what_may_be_served() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    adopt(&proxy, 0).await;
    for path in ["/hard", "/soft"] {
        let page = cacheable("page").field("cache-control", "max-age=10, stale-if-error=100");
        origin.on(path, page.field("surrogate-key", path));
        proxy.get(path).await;
        origin.on(path, status("503 Service Unavailable", ""));
    }
    proxy.advance(100);
    proxy.deliver(&batch(0, 0, &json!({}))).await;
    assert_eq!(proxy.get("/soft").await.status(), 200, "it may stand in still");

    let both = json!([
        {"offset": 0, "tags": ["/hard"], "mode": "hard"},
        {"offset": 1, "tags": ["/soft"], "mode": "soft"},
    ]);
    proxy.deliver(&purges(0, 2, &both)).await;

    assert_eq!(proxy.get("/hard").await.status(), 503);
    assert_eq!(proxy.get("/soft").await.status(), 200);
    proxy.advance(11);
    proxy.deliver(&batch(2, 2, &json!({}))).await;
    assert_eq!(proxy.get("/soft").await.status(), 503, "counted from when it was stale first");
}
