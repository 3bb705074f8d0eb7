//! The purger's own listener: health, readiness, metrics, status, the fleet and its page. It only
//! reads.

mod fleet_status;
mod live_summary;
mod metrics;
mod pages;

pub use self::fleet_status::{FleetStatus, ProxyStatus};
pub use self::live_summary::LiveSummary;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, VARY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use process::metrics_page::PageFormat;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::fleet_status::FleetView;
use crate::delivery::fleet::Fleet;

/// The answer to `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub purger: String,
    pub kafka_connected: bool,
    pub partitions: Vec<PartitionStatus>,
    pub targets: Vec<TargetStatus>,
    pub dead_letters: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub topic: String,
    pub partition: i32,
    pub read_to: i64,
    /// Everything below is confirmed by every proxy that keeps up, and may be committed.
    pub confirmed: i64,
    pub end: Option<i64>,
    /// Number of records that are not confirmed.
    pub lag: i64,
    /// Age of the oldest of them, by the time in its event.
    pub lag_seconds: f64,
    pub full: bool,
    /// Records whose dead letter, delayed purge or receipt is not written yet.
    #[serde(default)]
    pub owed: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    pub url: String,
    pub state: String,
    pub instance: String,
    pub positions: Vec<(String, i32, i64)>,
    /// Records of this purger's partitions that it has not confirmed.
    pub lag: i64,
    /// Seconds since its last answer.
    pub last_answer_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Accepts connections until the process ends.
pub async fn accept(fleet: Arc<Fleet>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let view = Arc::new(FleetView::new(Arc::clone(&fleet)));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (fleet, view) = (Arc::clone(&fleet), Arc::clone(&view));
                drop(tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let (fleet, view) = (Arc::clone(&fleet), Arc::clone(&view));
                        async move { Ok::<_, Infallible>(answer(&fleet, &view, request).await) }
                    });
                    let served = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEAD_TIMEOUT)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "admin connection ended");
                    }
                    drop(permit);
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(
    fleet: &Fleet,
    view: &FleetView,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Only GET, HEAD.\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => readiness(fleet),
        "/metrics" => match metrics::page(fleet) {
            Ok(page) => {
                let format = PageFormat::accepted(request.headers());
                let mut answer = typed(StatusCode::OK, format.page(page), format.media_type());
                answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
                answer
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        "/api/v1/status" => {
            let json = serde_json::to_string(&status(fleet)).unwrap_or_default();
            typed(StatusCode::OK, json + "\n", "application/json")
        }
        "/api/v1/fleet" => {
            let json = serde_json::to_string(&*view.status().await).unwrap_or_default();
            typed(StatusCode::OK, json + "\n", "application/json")
        }
        path => pages::answer(view, path, request.headers()).await.unwrap_or_else(|| {
            text(
                StatusCode::NOT_FOUND,
                "No such page: see /, /healthz, /readyz, /metrics, /api/v1/status, /api/v1/fleet.\n",
            )
        }),
    }
}

/// Returns whether Kafka answers, the ends of all partitions are known, and there is a proxy to
/// deliver to. A proxy that is down does not make its purger unready. The answer lists paused
/// partitions and pending work.
fn readiness(fleet: &Fleet) -> Response<Full<Bytes>> {
    let not_ready = |why: &str| text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n"));
    let partitions = fleet.assignment().partitions();
    if !fleet.assignment().connection.is_up() {
        let cause = fleet.assignment().connection.causes.all().pop().unwrap_or_default();
        return not_ready(format!("the brokers do not answer: {cause}").trim_end_matches(": "));
    }
    if partitions.iter().any(|partition| partition.last_end_offset().is_none()) {
        return not_ready("the ends of some partitions are not known yet");
    }
    if fleet.targets().is_empty() {
        return not_ready("there is no proxy to deliver to: see purger.targets");
    }
    if partitions.is_empty() {
        return text(StatusCode::OK, "ready: no partition is assigned\n");
    }
    let mut told = String::from("ready\n");
    for partition in &partitions {
        let (log, progress) = (&partition.log, partition.progress());
        let owed: usize = progress.pending.iter().sum();
        if partition.is_full() {
            let _infallible = writeln!(told, "{}/{}: paused", log.topic, log.partition);
        }
        if owed > 0 {
            let _infallible = writeln!(told, "{}/{}: {owed} owed", log.topic, log.partition);
        }
    }
    text(StatusCode::OK, &told)
}

pub fn status(fleet: &Fleet) -> Status {
    let now = fleet.context().wall_time();
    let partitions = fleet.assignment().partitions();
    let of_partition = |partition: &Arc<crate::partition::Partition>| {
        let progress = partition.progress();
        let age = progress.oldest.and_then(|time| now.duration_since(time).ok());
        PartitionStatus {
            topic: partition.log.topic.clone(),
            partition: partition.log.partition,
            read_to: progress.read_to,
            confirmed: progress.committable,
            end: progress.high,
            lag: progress.high.map_or(0, |high| (high - progress.committable).max(0)),
            lag_seconds: age.map_or(0.0, |age| age.as_secs_f64()),
            full: partition.is_full(),
            owed: progress.pending.iter().sum(),
        }
    };
    let of_target = |target: &Arc<crate::delivery::target::Target>| {
        let report = target.report();
        let end = |topic: &str, number: i32| {
            let found =
                partitions.iter().find(|p| p.log.topic == topic && p.log.partition == number);
            found.and_then(|partition| partition.progress().high)
        };
        let behind = report
            .positions
            .iter()
            .filter_map(|((topic, number), next)| Some((end(topic, *number)? - next).max(0)));
        TargetStatus {
            url: target.url.clone(),
            state: report.state.as_str().to_owned(),
            instance: report.instance.clone(),
            lag: behind.sum(),
            positions: report
                .positions
                .iter()
                .map(|((topic, number), next)| (topic.clone(), *number, *next))
                .collect(),
            last_answer_seconds: report.last_answer.map(|since| since.as_secs_f64()),
            error: report.error,
        }
    };
    Status {
        purger: fleet.context().name.clone(),
        kafka_connected: fleet.assignment().connection.is_up(),
        partitions: partitions.iter().map(of_partition).collect(),
        targets: fleet.targets().iter().map(of_target).collect(),
        dead_letters: fleet.context().dead_letters.written.value(),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    typed(status, text.to_owned(), "text/plain; charset=utf-8")
}

fn typed(status: StatusCode, text: String, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const CONNECTIONS_MAX: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
