//! `Target`: one proxy, as the purger sees it: how it is reached, and how it is doing.

use std::collections::BTreeMap;
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
use purge_protocol::log::{PATH, Standing};
use settings::{Secret, TargetHttp};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use crate::memory::SMALL_BATCH_BYTES;
use crate::partition::ledger::TargetId;

/// A proxy.
#[derive(Debug)]
pub struct Target {
    /// Its number in this purger.
    pub id: TargetId,
    /// The URL of its admin listener.
    pub url: String,
    /// Ends when it is forgotten.
    pub gone: CancellationToken,
    client: Client<HttpConnector, Full<Bytes>>,
    authorization: Option<HeaderValue>,
    /// Whether it is still configured, or under its name. Else somebody else may have its address, who must not get the token.
    is_present: AtomicBool,
    timeout: Duration,
    condition: Mutex<Condition>,
    /// Held while a large batch is on its way.
    large: tokio::sync::Mutex<()>,
}

/// How proxies are spoken to.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The version of HTTP.
    pub http: TargetHttp,
    /// Their `admin.token`.
    pub token: Option<Secret>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// How a proxy is doing.
#[derive(Clone, Debug, Default)]
struct Condition {
    instance: String,
    /// Its positions, by topic and partition.
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

/// How a proxy is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetState {
    /// It confirms.
    Ok,
    /// It confirms, but reads what it missed.
    Behind,
    /// It does not answer, or refuses.
    Down,
    /// Nothing was heard of it yet.
    Unknown,
}

/// What is told of a proxy.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// How it is doing.
    pub state: TargetState,
    /// Its process.
    pub instance: String,
    /// Its positions, by topic and partition.
    pub positions: Vec<((String, i32), i64)>,
    /// Time since its last answer.
    pub last_answer: Option<Duration>,
    /// What went wrong last, unless it has answered since.
    pub error: Option<String>,
}

impl TargetState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Behind, Self::Down, Self::Unknown];

    /// Its name in metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Behind => "behind",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

impl Target {
    /// Makes a proxy that was not spoken to yet.
    pub fn new(id: TargetId, url: String, manner: &Manner) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(manner.timeout));
        connector.set_keepalive(Some(KEEPALIVE));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_only(manner.http == TargetHttp::Http2)
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
            authorization: manner.token.as_ref().and_then(bearer),
            is_present: AtomicBool::new(true),
            timeout: manner.timeout,
            condition: Mutex::default(),
            large: tokio::sync::Mutex::default(),
        }
    }

    /// Notes whether it is still configured, or under its name.
    pub fn set_present(&self, is_present: bool) {
        self.is_present.store(is_present, Ordering::Relaxed);
    }

    /// Asks where the proxy stands.
    pub async fn standing(&self) -> Result<Standing, Outcome> {
        let (status, body) = self.send(Method::GET, Bytes::new()).await?;
        match status.0 {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| {
                Outcome::Failed(format!("{PATH} is answered, but not with a standing: {error}"))
            }),
            other => Err(match Outcome::of(other, &status.1, &body) {
                Outcome::Applied(_) | Outcome::Hole(_) | Outcome::Refused(_) => {
                    Outcome::Failed(format!("{other} to a question"))
                }
                outcome => outcome,
            }),
        }
    }

    /// Waits until a batch of so many bytes may be encoded: one large batch at a time is on its way to a proxy.
    pub async fn room_for(&self, bytes: usize) -> Option<MutexGuard<'_, ()>> {
        if bytes > SMALL_BATCH_BYTES { Some(self.large.lock().await) } else { None }
    }

    /// Delivers a batch.
    pub async fn deliver(&self, batch: Bytes) -> Outcome {
        match self.send(Method::POST, batch).await {
            Ok((status, body)) => Outcome::of(status.0, &status.1, &body),
            Err(outcome) => outcome,
        }
    }

    /// Sends a request to any path of the admin listener; returns the status and the content.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let sent = self.exchange(method, path, body).await?;
        Ok((sent.0.0, sent.1))
    }

    async fn send(
        &self,
        method: Method,
        body: Bytes,
    ) -> Result<((StatusCode, http::HeaderMap), Bytes), Outcome> {
        self.exchange(method, PATH, body).await.map_err(Outcome::Failed)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<((StatusCode, http::HeaderMap), Bytes), String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let is_present = self.is_present.load(Ordering::Relaxed);
        if let Some(authorization) = self.authorization.as_ref().filter(|_| is_present) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| causes(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(((head.status, head.headers), body))
        };
        let late = |_elapsed| format!("no answer within {:?}", self.timeout);
        timeout(self.timeout, exchange).await.map_err(late)?
    }

    /// Notes that it answered as it should.
    pub fn note_position(&self, log: (&str, i32), next: i64, is_catching_up: bool) {
        let mut condition = self.condition.lock();
        condition.positions.insert((log.0.to_owned(), log.1), Position { next, is_catching_up });
        condition.last_answer = Some(Instant::now());
        condition.failing_since = None;
        condition.last_error = None;
    }

    /// Notes which process answered; returns whether it is another one than before.
    pub fn note_instance(&self, instance: &str) -> bool {
        let mut condition = self.condition.lock();
        let is_another = !condition.instance.is_empty() && condition.instance != instance;
        instance.clone_into(&mut condition.instance);
        is_another
    }

    /// Notes that something went wrong. An operator hears of it once, until it works again.
    pub fn note_failure(&self, outcome: &Outcome) {
        let text = match outcome {
            Outcome::Failed(text) | Outcome::NotAllowed(text) => text.clone(),
            Outcome::Refused(refusal) => refusal.detail.clone(),
            Outcome::Wait(_) => "it asks for a pause".to_owned(),
            Outcome::Hole(_) | Outcome::Applied(_) => return,
        };
        let mut condition = self.condition.lock();
        let is_news = condition.last_error.as_ref() != Some(&text);
        condition.failing_since.get_or_insert_with(Instant::now);
        condition.last_error = Some(text.clone());
        drop(condition);
        match outcome {
            Outcome::NotAllowed(_) if is_news => tracing::error!(
                proxy = self.url,
                error = text,
                "a proxy does not let the purger in: set purger.targets.token to its admin.token"
            ),
            _ if is_news => {
                tracing::warn!(proxy = self.url, error = text, "a proxy does not confirm");
            }
            _ => {}
        }
    }

    /// Forgets the position in a partition that is another purger's now.
    pub fn forget_position(&self, log: (&str, i32)) {
        self.condition.lock().positions.remove(&(log.0.to_owned(), log.1));
    }

    /// How it is doing.
    pub fn report(&self) -> TargetReport {
        let condition = self.condition.lock();
        let state = match &condition.failing_since {
            Some(_) => TargetState::Down,
            None if condition.positions.is_empty() => TargetState::Unknown,
            None if condition.positions.values().any(|position| position.is_catching_up) => {
                TargetState::Behind
            }
            None => TargetState::Ok,
        };
        TargetReport {
            state,
            instance: condition.instance.clone(),
            positions: condition.positions.iter().map(|(log, p)| (log.clone(), p.next)).collect(),
            last_answer: condition.last_answer.map(|at| at.elapsed()),
            error: condition.last_error.clone(),
        }
    }
}

/// Spells an error with everything that caused it.
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

/// Bytes of an answer: a batch of 100,000 purges that all hit something takes 5 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Idle connections are closed before the proxy does it, which is after a minute.
const IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(15);
