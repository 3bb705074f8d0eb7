//! `Target`: one proxy as the purger sees it, with its connections and its health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use purge_protocol::log::{LogStatus, PATH};
use settings::{Secret, TargetHttp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::outcome::DeliveryOutcome;
use crate::partition::commit_tracker::TargetId;

#[derive(Debug)]
pub struct Target {
    pub id: TargetId,
    pub url: String,
    /// Cancelled when the proxy is forgotten.
    pub gone: CancellationToken,
    client: Client<HttpConnector, Full<Bytes>>,
    authorization: Option<HeaderValue>,
    /// False for a proxy that left the configuration or the name: another host may have its
    /// address, and must not get the token.
    is_present: AtomicBool,
    timeout: Duration,
    health: Mutex<TargetHealth>,
    room: Mutex<BatchRoom>,
}

/// The batches that may be in flight.
#[derive(Debug)]
struct BatchRoom {
    bytes: usize,
    free: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
pub struct TargetOptions {
    pub http: TargetHttp,
    pub token: Option<Secret>,
    pub timeout: Duration,
}

/// The failure of a request.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("{}", no_answer(*.0))]
    Late(Duration),
    #[error("{0}")]
    Failed(String),
}

#[derive(Clone, Debug, Default)]
struct TargetHealth {
    instance: String,
    positions: BTreeMap<(String, i32), Position>,
    last_answer: Option<Instant>,
    last_error: Option<String>,
    failing_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    next: i64,
    is_catching_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetState {
    Ok,
    Behind,
    /// It does not answer, or refuses batches.
    Down,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct TargetReport {
    pub state: TargetState,
    pub instance: String,
    pub positions: Vec<((String, i32), i64)>,
    pub last_answer: Option<Duration>,
    /// The last failure, unless an answer came since.
    pub error: Option<String>,
}

impl TargetState {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Behind, Self::Down, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Behind => "behind",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

impl BatchRoom {
    fn of(bytes: usize) -> Self {
        Self { bytes, free: Arc::new(Semaphore::new(bytes)) }
    }
}

impl Target {
    /// Makes a proxy that has not been contacted.
    pub fn new(id: TargetId, url: String, options: &TargetOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.timeout));
        connector.set_keepalive(Some(KEEPALIVE));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(options.timeout)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(IDLE)
            .http2_only(options.http == TargetHttp::Http2)
            .build(connector);
        let bearer = |token: &Secret| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Self {
            id,
            url,
            gone: CancellationToken::new(),
            client,
            authorization: options.token.as_ref().and_then(bearer),
            is_present: AtomicBool::new(true),
            timeout: options.timeout,
            health: Mutex::default(),
            room: Mutex::new(BatchRoom::of(ROOM_BYTES)),
        }
    }

    pub fn set_present(&self, is_present: bool) {
        self.is_present.store(is_present, Ordering::Relaxed);
    }

    pub async fn log_status(&self) -> Result<LogStatus, DeliveryOutcome> {
        let (status, body) = self.send(Method::GET, Bytes::new(), self.timeout).await?;
        match status.0 {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| {
                DeliveryOutcome::Failed(format!(
                    "{PATH} is answered, but not with a log_status: {error}"
                ))
            }),
            other => Err(match DeliveryOutcome::of(other, &status.1, &body) {
                DeliveryOutcome::Applied(_)
                | DeliveryOutcome::Gap(_)
                | DeliveryOutcome::Refused(_) => {
                    DeliveryOutcome::Failed(format!("{other} to a question"))
                }
                outcome => outcome,
            }),
        }
    }

    /// Sets the bytes of batches that may be in flight. Those that are on their way stay.
    pub fn set_room(&self, bytes: usize) {
        let mut room = self.room.lock();
        if room.bytes != bytes {
            *room = BatchRoom::of(bytes);
        }
    }

    /// Waits until a batch of this size may be encoded. A larger one than there is room for goes
    /// alone, and one without purges never waits.
    pub async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes == 0 {
            return None;
        }
        let (free, all) = {
            let room = self.room.lock();
            (Arc::clone(&room.free), room.bytes)
        };
        let bytes = u32::try_from(bytes.min(all)).unwrap_or(u32::MAX);
        free.acquire_many_owned(bytes).await.ok()
    }

    /// Delivers a batch; gives up when there is no answer within `patience`.
    pub async fn deliver(&self, batch: Bytes, patience: Duration) -> DeliveryOutcome {
        match self.send(Method::POST, batch, patience).await {
            Ok((status, body)) => DeliveryOutcome::of(status.0, &status.1, &body),
            Err(outcome) => outcome,
        }
    }

    /// Sends a request to any path of the admin listener; returns status and content.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let sent = self.exchange(method, path, body, self.timeout).await;
        let sent = sent.map_err(|error| error.to_string())?;
        Ok((sent.0.0, sent.1))
    }

    async fn send(
        &self,
        method: Method,
        body: Bytes,
        patience: Duration,
    ) -> Result<((StatusCode, http::HeaderMap), Bytes), DeliveryOutcome> {
        self.exchange(method, PATH, body, patience).await.map_err(|error| match error {
            ExchangeError::Late(patience) => DeliveryOutcome::Late(patience),
            ExchangeError::Failed(text) => DeliveryOutcome::Failed(text),
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<((StatusCode, http::HeaderMap), Bytes), ExchangeError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let is_present = self.is_present.load(Ordering::Relaxed);
        if let Some(authorization) = self.authorization.as_ref().filter(|_| is_present) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer_max = ANSWER_BYTES + 2 * body.len();
        let request = request
            .body(Full::new(body))
            .map_err(|error| ExchangeError::Failed(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| causes(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, answer_max).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(((head.status, head.headers), body))
        };
        match timeout(patience, exchange).await {
            Ok(exchanged) => exchanged.map_err(ExchangeError::Failed),
            Err(_elapsed) => Err(ExchangeError::Late(patience)),
        }
    }

    pub fn note_position(&self, log: (&str, i32), next: i64, is_catching_up: bool) {
        let mut health = self.health.lock();
        health.positions.insert((log.0.to_owned(), log.1), Position { next, is_catching_up });
        health.last_answer = Some(Instant::now());
        health.failing_since = None;
        health.last_error = None;
    }

    /// Records the process that answered; returns whether it has changed.
    pub fn note_instance(&self, instance: &str) -> bool {
        let mut health = self.health.lock();
        let is_another = !health.instance.is_empty() && health.instance != instance;
        instance.clone_into(&mut health.instance);
        is_another
    }

    /// Records a failure. It is logged once, until the proxy confirms again or fails in another
    /// way.
    pub fn note_failure(&self, outcome: &DeliveryOutcome) {
        let text = match outcome {
            DeliveryOutcome::Failed(text) | DeliveryOutcome::NotAllowed(text) => text.clone(),
            DeliveryOutcome::Refused(refusal) => refusal.detail.clone(),
            DeliveryOutcome::Late(patience) => no_answer(*patience),
            DeliveryOutcome::Wait(_) => "it asks for a pause".to_owned(),
            DeliveryOutcome::Gap(_) | DeliveryOutcome::Applied(_) => return,
        };
        let mut health = self.health.lock();
        let is_news = health.last_error.as_ref() != Some(&text);
        health.failing_since.get_or_insert_with(Instant::now);
        health.last_error = Some(text.clone());
        drop(health);
        match outcome {
            DeliveryOutcome::NotAllowed(_) if is_news => tracing::error!(
                proxy = self.url,
                error = text,
                "a proxy denies access: set purger.targets.token to its admin.token"
            ),
            _ if is_news => {
                tracing::warn!(proxy = self.url, error = text, "a proxy does not confirm");
            }
            _ => {}
        }
    }

    /// Returns how long it has confirmed nothing although it was asked to.
    pub fn failing_for(&self) -> Option<Duration> {
        self.health.lock().failing_since.map(|since| since.elapsed())
    }

    /// Forgets the position in a partition that another purger has now.
    pub fn forget_position(&self, log: (&str, i32)) {
        self.health.lock().positions.remove(&(log.0.to_owned(), log.1));
    }

    pub fn report(&self) -> TargetReport {
        let health = self.health.lock();
        let state = match &health.failing_since {
            Some(_) => TargetState::Down,
            None if health.positions.is_empty() => TargetState::Unknown,
            None if health.positions.values().any(|position| position.is_catching_up) => {
                TargetState::Behind
            }
            None => TargetState::Ok,
        };
        TargetReport {
            state,
            instance: health.instance.clone(),
            positions: health.positions.iter().map(|(log, p)| (log.clone(), p.next)).collect(),
            last_answer: health.last_answer.map(|at| at.elapsed()),
            error: health.last_error.clone(),
        }
    }
}

/// Returns the words for a proxy that does not answer in time.
pub fn no_answer(patience: Duration) -> String {
    format!("no answer within {patience:?}")
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Bytes of an answer, besides twice the batch's: what it says of a purge is shorter than that.
const ANSWER_BYTES: usize = 1 << 20;
/// Bytes of batches in flight, until the purger knows how many proxies there are.
const ROOM_BYTES: usize = 1 << 20;
/// Idle connections are closed before the proxy does it, which is after a minute.
const IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Interval between two questions over HTTP/2 whether the proxy is still there.
const PING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use http::Response;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;
    use tokio::sync::Notify;

    use super::*;

    /// Answers one request on its first connection, which it looks at no more when another one has
    /// come, and all requests on the next one.
    async fn fall_silent(listener: TcpListener) {
        let again = Arc::new(Notify::new());
        let (told, asked) = (Arc::clone(&again), AtomicBool::new(false));
        let once = service_fn(move |_request| {
            let told = asked.swap(true, Ordering::Relaxed).then(|| Arc::clone(&told));
            async move {
                if let Some(told) = told {
                    told.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let server = || http2::Builder::new(TokioExecutor::new());
        let stream = TokioIo::new(listener.accept().await.unwrap().0);
        let mut silent = pin!(server().serve_connection(stream, once));
        tokio::select! {
            _ended = &mut silent => {}
            () = again.notified() => {}
        }
        let always =
            service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
        let stream = TokioIo::new(listener.accept().await.unwrap().0);
        let _ended = server().serve_connection(stream, always).await;
    }

    /// It takes as long as a PING waits.
    #[tokio::test]
    async fn a_silent_connection_is_given_up_and_another_one_is_made() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(fall_silent(listener));
        let timeout = Duration::from_millis(500);
        let options = TargetOptions { http: TargetHttp::Http2, token: None, timeout };
        let target = Target::new(1, url, &options);
        let ask = || target.ask(Method::GET, "/", Bytes::new());
        ask().await.unwrap();
        ask().await.unwrap_err();
        let recovered = async { while ask().await.is_err() {} };
        tokio::time::timeout(4 * PING, recovered).await.unwrap();
    }

    fn waits(target: &Target, bytes: usize) -> bool {
        let asked = pin!(target.room_for(bytes));
        asked.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn batches_in_flight_to_a_proxy_take_no_more_than_its_room() {
        let timeout = Duration::from_secs(1);
        let options = TargetOptions { http: TargetHttp::Http1, token: None, timeout };
        let target = Target::new(1, "http://127.0.0.1:1".to_owned(), &options);
        target.set_room(100);
        let small = target.room_for(40).await;
        let other = target.room_for(60).await;
        assert!(waits(&target, 1), "there is none left");
        assert!(!waits(&target, 0), "a heartbeat never waits");
        drop(small);
        assert!(waits(&target, 1000), "the other is on its way");
        drop(other);
        let _alone = target.room_for(1000).await;
        assert!(waits(&target, 1));
    }
}
