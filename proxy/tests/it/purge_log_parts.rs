//! Purges of one batch that arrive in parts, refusals that name the proxy's process, and partitions
//! that were empty before a restart.

use process::clock::Clock;
use serde_json::{Value, json};
use settings::{Config, StorageKind};
use tempfile::TempDir;

use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::{Proxy, START};
use crate::support::until;

/// A batch of one of two partitions.
fn batch(partition: i32, from: i64, to: i64, more: &Value) -> Value {
    let mut batch = json!({
        "log": {"cluster": "c", "topic": "t", "partition": partition}, "partitions": 2,
        "from": from, "to": to, "clean_ms": 0, "purger": "p-1", "purges": [],
    });
    for (member, value) in more.as_object().unwrap() {
        batch[member] = value.clone();
    }
    batch
}

async fn take(proxy: &Proxy, batch: &Value) -> Value {
    let answer = proxy.deliver(batch).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

async fn store(origin: &Origin, proxy: &Proxy, path: &str, tag: &str) {
    let tag = tag.to_owned();
    origin.script(path, move |_| cacheable("page").field("surrogate-key", &tag));
    proxy.get(path).await;
    assert!(proxy.get(path).await.is_hit());
}

#[tokio::test]
async fn a_part_of_a_batch_is_in_force_and_the_position_stays() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    take(&proxy, &batch(0, 5, 5, &json!({"start": "adopt"}))).await;
    for tag in ["one", "two", "old"] {
        store(&origin, &proxy, &format!("/{tag}"), tag).await;
    }
    let part = json!({"purges": [{"offset": 3, "tags": ["old"]}, {"offset": 8, "tags": ["one"]}]});
    let taken = take(&proxy, &batch(0, 3, 3, &part)).await;
    assert_eq!(taken["next"], 5, "{taken}");
    assert_eq!(taken["hits"], json!([{"offset": 8, "objects": 1}]));
    assert!(!proxy.get("/one").await.is_hit());
    assert!(proxy.get("/two").await.is_hit());
    assert!(proxy.get("/old").await.is_hit(), "the position says that it was applied before");
    let rest = json!({"purges": [{"offset": 8, "tags": ["two"]}, {"offset": 8, "tags": ["none"]}]});
    assert_eq!(take(&proxy, &batch(0, 5, 9, &rest)).await["next"], 9);
    assert!(!proxy.get("/two").await.is_hit());
}

#[tokio::test]
async fn a_refusal_names_the_process_and_comes_after_a_large_batch_is_read() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| config.purge.log.max_body = 4096);
    take(&proxy, &batch(0, 0, 0, &json!({"start": "adopt"}))).await;
    let instance = proxy.log_status().await["instance"].clone();
    let purges: Vec<_> =
        (0..100_000).map(|tag| json!({"offset": 1, "tags": [tag.to_string()]})).collect();
    let large = batch(0, 0, 2, &json!({"purges": purges}));
    let wrong = batch(0, 0, 2, &json!({"purges": [{"offset": 1, "tags": [""]}]}));
    for (batch, status, offset) in [(large, 413, Value::Null), (wrong, 400, json!(1))] {
        let answer = proxy.deliver(&batch).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        let problem: Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!((&problem["proxy"], &problem["offset"]), (&instance, &offset));
    }
}

fn stored_in(folder: &TempDir) -> impl FnOnce(&mut Config) + use<> {
    let path = folder.path().join("store");
    move |config| {
        config.storage.kind = StorageKind::File;
        config.storage.memory.capacity = 16 << 20;
        config.storage.memory.max_object = 2 << 20;
        config.storage.file.path = path;
        config.storage.file.capacity = 64 << 20;
        config.storage.file.max_object = 16 << 20;
    }
}

/// A purge was written to a partition that had been empty until then, while the proxy was down.
#[tokio::test]
async fn a_heartbeat_in_one_partition_never_trusts_what_another_may_have_purged() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let mut proxy = Proxy::start_at(origin.address, Clock::manual(START), stored_in(&folder));
    take(&proxy, &batch(0, 5, 5, &json!({"start": "adopt"}))).await;
    take(&proxy, &batch(1, 0, 0, &json!({}))).await;
    store(&origin, &proxy, "/page", "site").await;
    proxy.leave();
    proxy.left().await;
    drop(proxy);

    let proxy = Proxy::start_at(origin.address, Clock::manual(START), stored_in(&folder));
    until("the recovery", || proxy.app.file_usage().is_some_and(|it| !it.is_loading)).await;
    let log_status = proxy.log_status().await;
    assert_eq!(log_status["positions"].as_array().unwrap().len(), 2, "{log_status}");
    take(&proxy, &batch(0, 5, 5, &json!({}))).await;
    assert_eq!(proxy.log_status().await["state"], "catching-up");
    assert!(!proxy.get("/page").await.is_hit(), "partition 1 may hold its purge");
    let missed = json!({"purges": [{"offset": 0, "tags": ["site"]}]});
    take(&proxy, &batch(1, 0, 1, &missed)).await;
    assert_eq!(proxy.log_status().await["state"], "current");
    assert!(!proxy.get("/page").await.is_hit());
    assert!(proxy.get("/page").await.is_hit());
}
