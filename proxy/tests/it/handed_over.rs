//! What a process that is replaced hands over of its memory: pages, what they declared, and the
//! present deployment.

use serde_json::json;

use crate::replaced::Program;
use crate::support::origin::{Origin, cacheable};
use crate::support::until;

const HANDED_OVER: &str = "[storage.memory]\ncapacity = \"64MiB\"\nhand_over = \"1MiB\"\n";

#[tokio::test]
async fn the_pages_in_memory_that_fit_are_handed_over_and_purged_ones_are_not() {
    let origin = Origin::start().await;
    let program = Program::start(&origin, HANDED_OVER).await;
    let tagged = |text: &str| cacheable(text).field("cache-tag", "red");
    let large = "x".repeat(900 << 10);
    origin.on("/hot", tagged("old"));
    origin.on("/purged", tagged("old"));
    origin.on("/soft", cacheable("old"));
    origin.on("/large/1", cacheable(&large));
    origin.on("/large/2", cacheable(&large));
    for path in ["/hot", "/purged", "/soft", "/large/1", "/large/2"] {
        program.get(path).await;
    }
    assert_eq!(program.purge("/purged").await, 200);
    let soft = r#"{"urls":["http://site.example/soft"],"mode":"soft"}"#;
    assert_eq!(program.post_purge(soft).await, 200);
    for path in ["/hot", "/purged", "/soft", "/large/1", "/large/2"] {
        origin.on(path, tagged("new"));
    }
    assert!(program.upgrade(&["--wait"]).await.status.success());
    until("the pages", || program.has_said("pages of the process before")).await;

    let hot = program.get("/hot").await;
    assert_eq!((hot.text(), hot.is_hit()), ("old", true), "{:?}", program.said.lock());
    assert_eq!(program.get("/purged").await.text(), "new");
    assert_eq!(program.get("/soft").await.text(), "new");
    let larges = [program.get("/large/1").await, program.get("/large/2").await];
    assert_eq!(larges.iter().filter(|it| it.text() == "new").count(), 1, "one fits");

    // The tag of a page that was handed over means the same in the new process.
    assert_eq!(program.post_purge(r#"{"tags":["red"]}"#).await, 200);
    assert_eq!(program.get("/hot").await.text(), "new");
}

#[tokio::test]
async fn a_page_that_was_handed_over_is_purged_by_any_equivalent_url() {
    let origin = Origin::start().await;
    origin.on("/p?id=1&ref=a", cacheable("p").field("no-vary-search", "params=(\"ref\")"));
    let program = Program::start(&origin, HANDED_OVER).await;
    program.get("/p?id=1&ref=a").await;
    let upgrade = async |count| {
        assert!(program.upgrade(&["--wait"]).await.status.success());
        until("the pages", || program.count_of("pages of the process before") == count).await;
    };
    upgrade(1).await;
    for same in ["/p?id=1&ref=a", "/p?id=1&ref=b"] {
        assert!(program.get(same).await.is_hit(), "{same}");
    }
    upgrade(2).await;
    assert_eq!(program.purge("/p?id=1&ref=never-seen").await, 200);
    assert!(!program.get("/p?id=1&ref=a").await.is_hit());
}

#[tokio::test]
async fn no_page_is_handed_over_where_that_is_off() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("old"));
    let storage = "[storage.memory]\ncapacity = \"64MiB\"\nhand_over = \"off\"\n";
    let program = Program::start(&origin, storage).await;
    program.get("/a").await;
    origin.on("/a", cacheable("new"));
    assert!(program.upgrade(&["--wait"]).await.status.success());
    assert_eq!(program.get("/a").await.text(), "new");
    assert!(program.has_said("what was stored in memory is lost"));
}

#[tokio::test]
async fn the_present_deployment_is_handed_over_with_pages_and_without() {
    for hand_over in ["1MiB", "off"] {
        let origin = Origin::start().await;
        origin.on("/p", cacheable("old").field("x-deployment-id", "v1"));
        let settings = format!(
            "[key]\ndeployment = {{ header = \"X-Deployment-Id\" }}\n\
             [storage.memory]\ncapacity = \"64MiB\"\nhand_over = \"{hand_over}\"\n"
        );
        let program = Program::start(&origin, &settings).await;
        assert_eq!(program.post_purge(r#"{"deploys":[{"id":"v2"}]}"#).await, 200);
        assert!(program.upgrade(&["--wait"]).await.status.success());
        program.get("/p").await;
        assert!(!program.get("/p").await.is_hit(), "{hand_over}: an old server has answered");
        origin.on("/p", cacheable("new").field("x-deployment-id", "v2"));
        program.get("/p").await;
        assert!(program.get("/p").await.is_hit(), "{hand_over}");
    }
}

#[tokio::test]
async fn the_lowest_revisions_are_handed_over_with_pages_and_without() {
    for hand_over in ["1MiB", "off"] {
        let origin = Origin::start().await;
        let page = |revision: &str| {
            let page = cacheable(revision).field("cache-tag", "red");
            page.field("x-site-revision", revision)
        };
        let storage =
            format!("[storage.memory]\ncapacity = \"64MiB\"\nhand_over = \"{hand_over}\"\n");
        let program = Program::start(&origin, &storage).await;
        let batch = json!({
            "log": {"cluster": "c", "topic": "t", "partition": 0}, "partitions": 1, "from": 0, "to": 1,
            "clean_ms": 0, "purger": "p", "start": "adopt",
            "purges": [{"offset": 0, "tags": ["red"], "revision": 42}],
        });
        assert_eq!(program.post("/api/v1/log", &batch.to_string()).await, 200);
        assert!(program.upgrade(&["--wait"]).await.status.success());
        origin.on_each("/p", [page("41"), page("42")]);
        for (expected, is_hit) in [("41", false), ("42", false), ("42", true)] {
            let answer = program.get("/p").await;
            assert_eq!((answer.text(), answer.is_hit()), (expected, is_hit), "{hand_over}");
        }
    }
}
