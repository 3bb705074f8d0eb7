//! A thousand visitors ask for one cold page at the same moment.

use std::collections::HashSet;

use http::StatusCode;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Answer, Client, Renderer, Shellac};

const VISITORS: usize = 1000;

/// On a loaded machine, the last visitors may connect long after the first, and a thousand renders
/// take long.
const PATIENT_FETCH: &str = "first_byte_timeout = \"100s\"";
const PATIENT_VISITORS: &str = "[cache]\ncollapse_patience = \"100s\"";

#[tokio::test]
async fn a_cold_page_is_rendered_once_for_a_thousand_visitors() {
    let renderer = Renderer::start();
    let shellac = Shellac::configured(renderer.address(), PATIENT_FETCH, PATIENT_VISITORS);
    let path = "/slow?ms=2000&id=cold";

    let answers = all_at_once(shellac.client(), path).await;

    assert_eq!(renderer.requests_for(path).await, 1);
    let first = answers.first().expect("there are visitors");
    assert_eq!(first.status, StatusCode::OK);
    assert!(answers.iter().all(|answer| answer.status == first.status));
    assert!(answers.iter().all(|answer| answer.body == first.body));
}

#[tokio::test]
async fn a_private_page_is_rendered_for_a_thousand_visitors_in_parallel() {
    let renderer = Renderer::start();
    let shellac = Shellac::configured(renderer.address(), PATIENT_FETCH, PATIENT_VISITORS);
    let path = "/slow?ms=6000&id=mine&private=1";

    let answers = all_at_once(shellac.client(), path).await;

    assert_eq!(renderer.requests_for(path).await, VISITORS as u64);
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let renders: HashSet<_> = answers.iter().map(|answer| answer.shown("render")).collect();
    assert_eq!(renders.len(), VISITORS, "two visitors got the same render");
    // One finds out that the page is private; after that nobody waits for another.
    let in_parallel = renderer.count("inFlightMax").await;
    assert!(in_parallel > VISITORS as u64 / 2, "only {in_parallel} requests at once");
}

async fn all_at_once(client: Client, path: &'static str) -> Vec<Answer> {
    raise_descriptor_limit();
    let started = Instant::now();
    let mut visits = JoinSet::new();
    for _ in 0..VISITORS {
        visits.spawn(async move { client.get(path).await });
    }
    let answers = visits.join_all().await;
    println!("{path}: {VISITORS} answers within {:?}", started.elapsed());
    answers
}

/// A thousand connections need more descriptors than the usual 1024.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised to the hard one");
}
