//! The origin: picks a server, lends a connection, sends a request, bounds every wait. It knows of no cache.

mod connector;
mod error;
mod keep_alive;
mod outage;
mod pool;
mod race;
mod request_body;
mod response_body;
mod sending;
mod server_stream;
pub mod metrics;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{HOST, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::error::OriginError;
pub use self::request_body::{ClientBody, RequestBody, RequestBodyError};
pub use self::response_body::OriginBody;

use self::metrics::OriginMetrics;
use self::outage::{Line, Outage};
use self::pool::{Lease, Pool};
use self::race::race;
use self::response_body::ContentLimits;
use self::sending::{Extent, SendingLimits};
use crate::framing::grammar::is_request_line;
use settings::HostHeader;

/// The servers that responses come from.
#[derive(Debug)]
pub struct Origin {
    settings: settings::Origin,
    pools: Box<[Arc<Pool>]>,
    /// Which server is next.
    turn: AtomicUsize,
    /// One permit for each exchange.
    slots: Arc<Semaphore>,
    /// Requests that wait for a permit.
    queued: AtomicUsize,
    /// What happened.
    pub metrics: Arc<OriginMetrics>,
    /// What the log was told.
    outage: Outage,
}

impl Origin {
    /// Makes the pools; connects to nobody yet.
    pub fn new(settings: settings::Origin) -> Self {
        let pools = settings
            .servers
            .iter()
            .map(|server| Arc::new(Pool::new(server.clone(), &settings)))
            .collect();
        Self {
            pools,
            turn: AtomicUsize::new(0),
            slots: Arc::new(Semaphore::new(settings.max_connections)),
            queued: AtomicUsize::new(0),
            metrics: Arc::default(),
            outage: Outage::default(),
            settings,
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Sends a request whose target is in origin form and whose `Host` is the client's, and returns the response's head.
    ///
    /// A safe request without content is sent again when the connection broke before any byte of the response, `retries` times,
    /// and so is any that never left. A broken connection that had been idle does not count, once: the next one is new. There,
    /// any idempotent request is sent again (RFC 9110 §9.2.2).
    pub async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<OriginBody>, OriginError> {
        let started = Instant::now();
        let deadline = self.settings.total_timeout.map(|timeout| started + timeout);
        let path = request.uri().path().to_owned();
        let result = if is_request_line(request.method(), request.uri()) {
            self.try_send(request, deadline).await
        } else {
            Err(OriginError::Unwritable)
        };
        self.metrics.count(&result, started);
        self.tell_of(&path, &result);
        result
    }

    /// Writes to the log what an operator has to know: that exchanges fail, and that they succeed again.
    fn tell_of(&self, path: &str, result: &Result<Response<OriginBody>, OriginError>) {
        let (now, origin) = (Instant::now(), self.name());
        let line = match result {
            Ok(response) if !response.status().is_server_error() => self.outage.answered(now),
            Ok(_) | Err(_) => self.outage.failed(now),
        };
        match (line, result) {
            (Some(Line::Answering(failures, lasted)), _) => {
                tracing::info!(origin, failures, ?lasted, "the origin answers again");
            }
            (Some(Line::Failing(failures)), Ok(response)) => {
                let status = response.status().as_u16();
                tracing::warn!(origin, path, status, failures, "the origin answers with an error");
            }
            (Some(Line::Failing(failures)), Err(error)) => {
                tracing::warn!(origin, path, %error, failures, "the origin does not answer");
            }
            (None, _) => {}
        }
    }

    async fn try_send(
        &self,
        mut request: Request<RequestBody>,
        deadline: Option<Instant>,
    ) -> Result<Response<OriginBody>, OriginError> {
        let method = request.method().clone();
        let mut attempts = Attempts { left: self.settings.retries, idle_was_lost: false };
        loop {
            let permit = self.admit().await?;
            let lease = self.lease(&attempts).await?;
            let is_reused = lease.is_reused;
            self.set_host(&mut request, lease.server());
            let again = request.body().is_empty().then(|| copy_of(&request));
            let (error, copy) = match self.exchange(lease, permit, request, deadline).await {
                Ok(response) => return Ok(response),
                Err(Failed::Unsent(error, unsent)) => (error, Some(*unsent)),
                Err(Failed::Sent(error @ OriginError::Broken(_), extent)) => {
                    (error, again.filter(|_| may_send_again(&method, extent, is_reused)))
                }
                Err(Failed::Sent(error, _)) => return Err(error),
            };
            match copy.filter(|_| attempts.may_repeat(is_reused) && !is_over(deadline)) {
                Some(copy) => request = copy,
                None => return Err(error),
            }
            self.metrics.retries.add(1);
        }
    }

    /// Waits for a permit, bounded in number and time.
    async fn admit(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(permit);
        }
        let queued = Queued::enter(&self.queued);
        if queued.position > self.settings.max_queue {
            return Err(OriginError::Busy);
        }
        match timeout(self.settings.queue_timeout, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(OriginError::Busy),
        }
    }

    /// Takes an idle connection, or makes one to the next server that can be reached. Those that could not be lately are last.
    async fn lease(&self, attempts: &Attempts) -> Result<Lease, OriginError> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            (0..self.pools.len())
                .filter_map(|step| self.pools.get((first.wrapping_add(step)) % self.pools.len()))
        };
        if !attempts.idle_was_lost
            && let Some(lease) = in_turn().find_map(Pool::take_idle)
        {
            return Ok(lease);
        }
        let (last, first): (Vec<_>, Vec<_>) =
            in_turn().map(Arc::clone).partition(|pool| pool.slow.is_slow());
        race(
            first.into_iter().chain(last),
            |pool| Arc::clone(pool).connect(),
            |pool, speed| pool.slow.note(speed),
        )
        .await
        .map_err(|error| error.unwrap_or(OriginError::Abandoned))
    }

    async fn exchange(
        &self,
        mut lease: Lease,
        permit: OwnedSemaphorePermit,
        request: Request<RequestBody>,
        deadline: Option<Instant>,
    ) -> Result<Response<OriginBody>, Failed> {
        let may_switch = request.headers().contains_key(UPGRADE);
        let has_conditions = request.headers().contains_key(IF_NONE_MATCH)
            || request.headers().contains_key(IF_MODIFIED_SINCE);
        let answer = self.answer(&mut lease, request, deadline).await;
        let sent = |error| Failed::Sent(error, lease.sending.extent());
        let answer = answer.map_err(sent)?;
        match answer {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch => {
                Err(sent(OriginError::Switched))
            }
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED && !has_conditions => {
                Err(sent(OriginError::Unasked))
            }
            Ok(response) => {
                if !lease.sending.is_complete() {
                    lease.spoil(); // it answered before it had read the request
                }
                if let Some(limit) = keep_alive::idle_limit(response.headers()) {
                    lease.limit_idle(limit);
                }
                let idle_timeout = self.settings.idle_timeout;
                let limits = ContentLimits { idle_timeout, deadline };
                let metrics = Arc::clone(&self.metrics);
                Ok(response.map(|body| OriginBody::new(body, (lease, permit), limits, metrics)))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(unsent) => {
                    Failed::Unsent(OriginError::head(error.into_error()), Box::new(unsent))
                }
                None => sent(OriginError::head(error.into_error())),
            }),
        }
    }

    /// Sends the request and waits for the head of the response: as long as the server reads and the client sends, and then
    /// for `first_byte_timeout`.
    async fn answer(
        &self,
        lease: &mut Lease,
        request: Request<RequestBody>,
        deadline: Option<Instant>,
    ) -> Result<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>, OriginError> {
        lease.sending.begin(*request.method() == Method::HEAD, request.body().upload());
        let limits = SendingLimits {
            send_timeout: self.settings.idle_timeout,
            first_byte_timeout: self.settings.first_byte_timeout,
            deadline,
        };
        let sending = Arc::clone(&lease.sending);
        let mut answer = pin!(lease.sender.try_send_request(request));
        loop {
            let due = limits.due(sending.phase(), Instant::now())?;
            if let Ok(answer) = timeout_at(due, &mut answer).await {
                return Ok(answer);
            }
        }
    }

    fn set_host(&self, request: &mut Request<RequestBody>, server: &str) {
        let host = match &self.settings.host_header {
            HostHeader::Preserve => return,
            HostHeader::Server => HeaderValue::from_str(server).ok(),
            HostHeader::Literal(value) => Some(value.clone()),
        };
        if let Some(host) = host {
            request.headers_mut().insert(HOST, host);
        }
    }

    /// Closes connections that were idle for too long.
    pub fn sweep(&self) {
        self.pools.iter().for_each(|pool| pool.sweep());
    }

    /// Connections in use, and idle ones.
    pub fn connections(&self) -> (usize, usize) {
        let in_use = self.settings.max_connections - self.slots.available_permits();
        (in_use, self.pools.iter().map(|pool| pool.idle()).sum())
    }

    /// Requests that wait for a connection.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

/// How often a request may still be sent.
struct Attempts {
    left: u32,
    /// An idle connection broke: that is nobody's fault, once, and the next one is to be new.
    idle_was_lost: bool,
}

impl Attempts {
    fn may_repeat(&mut self, is_reused: bool) -> bool {
        if is_reused && !self.idle_was_lost {
            self.idle_was_lost = true;
            return true;
        }
        let may_repeat = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may_repeat
    }
}

enum Failed {
    /// It never left: the connection was closed.
    Unsent(OriginError, Box<Request<RequestBody>>),
    /// The connection was given it, and so much happened.
    Sent(OriginError, Extent),
}

/// A place in the queue, given up when dropped.
struct Queued<'a> {
    queued: &'a AtomicUsize,
    position: usize,
}

impl<'a> Queued<'a> {
    fn enter(queued: &'a AtomicUsize) -> Self {
        Self { queued, position: queued.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns whether a request without content may be sent again after its connection broke.
fn may_send_again(method: &Method, extent: Extent, is_reused: bool) -> bool {
    match extent {
        Extent::Nothing => true,
        Extent::Sent => method.is_safe() || is_reused && method.is_idempotent(),
        Extent::Answered => false,
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}
