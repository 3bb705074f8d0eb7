//! The renderer fails: pages that may stand in do, nothing else pretends.

use http::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Answer, PATIENCE, Renderer, Shellac};

/// Stale after a second; may stand in for a failure for ten minutes.
const PATIENT_PAGE: &str = "/fail";
const FRESH_PAGE: &str = "/s/amber/p/1";
const PURGED_PAGE: &str = "/s/amber/p/2";
const UNKNOWN_PAGE: &str = "/s/amber/p/3";

#[tokio::test]
async fn a_renderer_that_answers_503() {
    let stage = Stage::set("").await;
    stage.renderer.fail_with(json!(503)).await;
    stage.expect_stand_ins(StatusCode::SERVICE_UNAVAILABLE).await;
    stage.renderer.fail_with(json!(0)).await;
    stage.expect_recovery().await;
}

#[tokio::test]
async fn a_renderer_that_drops_connections() {
    let stage = Stage::set("").await;
    stage.renderer.fail_with(json!("drop")).await;
    stage.expect_stand_ins(StatusCode::BAD_GATEWAY).await;
    stage.renderer.fail_with(json!(0)).await;
    stage.expect_recovery().await;
}

#[tokio::test]
async fn a_renderer_that_hangs() {
    let stage = Stage::set("first_byte_timeout = \"3s\"").await;
    stage.renderer.fail_with(json!("hang")).await;
    stage.expect_stand_ins(StatusCode::GATEWAY_TIMEOUT).await;
    stage.renderer.fail_with(json!(0)).await;
    stage.expect_recovery().await;
}

#[tokio::test]
async fn a_renderer_that_was_killed() {
    let Stage { renderer, shellac, .. } = Stage::set("").await;
    let dead = renderer.kill();
    expect_stand_ins(&shellac, StatusCode::BAD_GATEWAY).await;
    let renderer = dead.revive();
    // Another process: it counts its renders anew.
    Stage { renderer, shellac, stored_render: 0 }.expect_recovery().await;
}

/// A renderer of its own, and a proxy that has stored what a test needs.
struct Stage {
    renderer: Renderer,
    shellac: Shellac,
    /// The number of the render of the patient page that is stored.
    stored_render: u64,
}

impl Stage {
    /// Stores a page that is stale and one that is fresh.
    async fn set(origin_settings: &str) -> Self {
        let renderer = Renderer::start();
        let shellac = Shellac::configured(renderer.address(), origin_settings, "");
        let client = shellac.client();
        for path in [FRESH_PAGE, PURGED_PAGE] {
            assert_eq!(client.get(path).await.status, StatusCode::OK);
        }
        let stored_render = render_of(&client.get(PATIENT_PAGE).await);
        let soft = json!({"tags": ["fail"], "mode": "soft"});
        assert_eq!(shellac.admin().post("/api/v1/purge", &soft).await.purged(), 1);
        let hard = json!({"tags": ["page-product-2"]});
        assert_eq!(shellac.admin().post("/api/v1/purge", &hard).await.purged(), 1);
        Self { renderer, shellac, stored_render }
    }

    async fn expect_stand_ins(&self, error: StatusCode) {
        let patient = expect_stand_ins(&self.shellac, error).await;
        assert_eq!(render_of(&patient), self.stored_render);
    }

    /// All pages come from the renderer again, or are fresh.
    async fn expect_recovery(&self) {
        let client = self.shellac.client();
        // After a time-out, the stale page may be served until a request in the background has
        // succeeded.
        let recovered = async {
            loop {
                let patient = client.get(PATIENT_PAGE).await;
                assert_eq!(patient.status, StatusCode::OK);
                if render_of(&patient) > self.stored_render {
                    return;
                }
            }
        };
        timeout(PATIENCE, recovered).await.expect("it is rendered anew");
        assert!(client.get(FRESH_PAGE).await.is_hit());
        for path in [PURGED_PAGE, UNKNOWN_PAGE] {
            let answer = client.get(path).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.cache_says("fwd=uri-miss"), "{:?}", answer.fields);
        }
        assert!(self.renderer.count("requests").await > 0);
    }
}

/// What is fresh is a hit, what is stale stands in, and what is purged or unknown is an error.
async fn expect_stand_ins(shellac: &Shellac, error: StatusCode) -> Answer {
    let client = shellac.client();
    let (patient, fresh, purged, unknown) = tokio::join!(
        client.get(PATIENT_PAGE),
        client.get(FRESH_PAGE),
        client.get(PURGED_PAGE),
        client.get(UNKNOWN_PAGE)
    );
    assert_eq!(patient.status, StatusCode::OK);
    assert!(patient.cache_says("detail=stale_if_error"), "{:?}", patient.fields);
    assert!(fresh.is_hit(), "{:?}", fresh.fields);
    assert_eq!((purged.status, unknown.status), (error, error));
    patient
}

fn render_of(answer: &Answer) -> u64 {
    answer.shown("render").parse().expect("renders are numbered")
}
