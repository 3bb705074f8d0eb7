//! `Dispatch`: one request on its way to the servers of an origin. It gets a slot and a connection,
//! is exchanged, and goes to another server after a failure, or after a while.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use settings::RetryOn;
use smallvec::SmallVec;
use tokio::time::{Instant, sleep, timeout_at};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::attempts::{Attempts, Failed, RetryMissing, copy_of, may_send_again};
use super::error::OriginError;
use super::health::ExchangeResult;
use super::origin::Origin;
use super::phases::OriginPhase;
use super::race::{ATTEMPT_DELAY, race};
use super::request_body::RequestBody;
use super::response_body::{OriginBody, is_over};
use super::server::Server;
use super::server::connection::ServerConnection;
use super::slots::RequestSlot;
use super::traffic::{Reach, ServerPlace};
use crate::framing::grammar::is_request_line;

struct Dispatch<'o> {
    origin: &'o Origin,
    /// The hash by which it is balanced.
    key: u64,
    /// The hash of its URL.
    url: u64,
    needs_http1: bool,
    deadline: Option<Instant>,
    tried: Mutex<Tried>,
}

/// The servers that were sent the request.
type Tried = SmallVec<[Arc<Server>; 2]>;

type DispatchResult = Result<Response<OriginBody>, OriginError>;

/// Sends a request and returns the head of its response. The target is in origin form, and `Host`
/// is the client's.
///
/// A request without content is sent again, `retries` times and to another server if there is one,
/// if no byte of it was written, or if it is safe and the connection broke before any byte of the
/// response. A connection that has answered before may break once without being counted: any
/// idempotent request is then sent again on a new connection (RFC 9110 §9.2.2).
pub async fn send(
    origin: &Origin,
    request: Request<RequestBody>,
) -> Result<Response<OriginBody>, OriginError> {
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let answer = if is_request_line(request.method(), request.uri()) {
        pass_circuit(origin, request, started).await
    } else {
        Err(OriginError::Unwritable)
    };
    origin.note(&path, started, &answer);
    answer
}

async fn pass_circuit(
    origin: &Origin,
    request: Request<RequestBody>,
    started: Instant,
) -> DispatchResult {
    let url = hash_of(&request);
    let pass = origin.begin(url)?;
    let dispatch = Dispatch::new(origin, &request, url, origin.deadline(started));
    let answer = match origin.hedge_after(&request) {
        Some(after) => Box::pin(dispatch.run_hedged(request, after)).await,
        None => dispatch.run(request).await,
    };
    pass.end(result_of(&answer), Instant::now());
    if let Err(OriginError::Unavailable(_)) = &answer {
        origin.health().count_unavailable();
    }
    answer
}

impl<'o> Dispatch<'o> {
    fn new(
        origin: &'o Origin,
        request: &Request<RequestBody>,
        url: u64,
        deadline: Option<Instant>,
    ) -> Self {
        let key = origin.key_of(request);
        // A protocol that takes a connection over needs one of HTTP/1.
        let needs_http1 = request.headers().contains_key(UPGRADE);
        Self { origin, key, url, needs_http1, deadline, tried: Mutex::default() }
    }

    /// Sends the request, and sends it again after failures where that is safe. Where no other
    /// server answers, the answer of one that did not have it stands.
    async fn run(&self, request: Request<RequestBody>) -> DispatchResult {
        let mut missing = None;
        let answer = self.attempt(request, &mut missing).await;
        match missing {
            Some(missing) if answer.is_err() => Ok(missing),
            _ => answer,
        }
    }

    async fn attempt(
        &self,
        mut request: Request<RequestBody>,
        missing: &mut Option<Response<OriginBody>>,
    ) -> DispatchResult {
        let method = request.method().clone();
        let retries_missing = request.extensions().get::<RetryMissing>().is_some();
        let mut attempts = Attempts::new(self.origin.retries(), retries_missing);
        self.in_time(self.origin.named_servers()).await?;
        let mut place = self.queue().await?;
        loop {
            let copy = request.body().is_empty().then(|| copy_of(&request));
            let (connection, slot) = self.connect(place, attempts.may_reuse()).await?;
            let is_reused = connection.is_reused;
            let (error, again) = match self.exchange(connection, slot, request).await {
                Ok(response) => {
                    let is_missing = attempts.retries_missing(response.status());
                    let retried = copy.filter(|_| method.is_safe()).zip(self.place_after(
                        &response,
                        &method,
                        &mut attempts,
                    ));
                    let Some((copy, other)) = retried else { return Ok(response) };
                    (request, place) = (copy, other);
                    *missing = is_missing.then_some(response);
                    self.origin.metrics.retries.add(1);
                    continue;
                }
                Err(Failed::Unsent(error, unsent)) => (error, Some(*unsent)),
                Err(Failed::Sent(
                    error @ (OriginError::Broken(_) | OriginError::Unprocessed(_)),
                    extent,
                )) => (error, copy.filter(|_| may_send_again(&method, extent, is_reused))),
                Err(Failed::Sent(error, _)) => return Err(error),
            };
            let again = again.filter(|_| !is_over(self.deadline));
            let Some(again) = again.filter(|_| self.may_repeat(&mut attempts, is_reused)) else {
                return Err(error);
            };
            request = again;
            self.origin.metrics.retries.add(1);
            place = self.queue().await.map_err(|_busy| error)?;
        }
    }

    /// Sends the request, and the same to another server if there is no answer in this time. The
    /// first good answer is used, and the other exchange broken off.
    async fn run_hedged(&self, request: Request<RequestBody>, after: Duration) -> DispatchResult {
        let mut copy = copy_of(&request);
        *copy.extensions_mut() = Extensions::new(); // interim responses come from the first
        let mut first = Box::pin(self.run(request));
        tokio::select! {
            biased;
            answer = &mut first => return answer,
            () = sleep(after) => {}
        }
        let Some(place) = self.hedge_place() else { return first.await };
        let mut second = pin!(self.once(place, copy));
        let metrics = &self.origin.metrics;
        let (answer, is_first) = tokio::select! {
            biased;
            answer = &mut first => (answer, true),
            answer = &mut second => (answer, false),
        };
        if is_good(&answer) {
            let counter = if is_first { &metrics.hedges_lost } else { &metrics.hedges_won };
            counter.add(1);
            return answer;
        }
        let other = if is_first { second.await } else { first.await };
        let is_won = is_first && is_good(&other);
        let counter = if is_won { &metrics.hedges_won } else { &metrics.hedges_lost };
        counter.add(1);
        if is_first && !is_won { answer } else { other }
    }

    async fn once(&self, place: ServerPlace, request: Request<RequestBody>) -> DispatchResult {
        let (connection, slot) = self.connect(place, true).await?;
        self.exchange(connection, slot, request).await.map_err(Failed::into_error)
    }

    async fn queue(&self) -> Result<ServerPlace, OriginError> {
        let begun = Instant::now();
        let pick = || self.origin.pick(self.key, &self.tried.lock(), Reach::All);
        let place = self.in_time(self.origin.admit(pick)).await;
        self.origin.metrics.phases.end(OriginPhase::Queue, begun);
        place
    }

    /// Ends what takes longer than the exchange may.
    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, OriginError>>,
    ) -> Result<T, OriginError> {
        match self.deadline {
            Some(deadline) => {
                timeout_at(deadline, step).await.unwrap_or(Err(OriginError::TotalTimeout))
            }
            None => step.await,
        }
    }

    async fn exchange(
        &self,
        connection: ServerConnection,
        slot: RequestSlot,
        request: Request<RequestBody>,
    ) -> Result<Response<OriginBody>, Failed> {
        self.tried.lock().push(Arc::clone(connection.server()));
        let request = (request, self.url);
        self.origin.exchange(connection, slot, request, self.deadline).await
    }

    /// Takes an idle connection of the server, or connects to it. When that fails, or takes long,
    /// the other servers are tried as well.
    async fn connect(
        &self,
        place: ServerPlace,
        may_reuse: bool,
    ) -> Result<(ServerConnection, RequestSlot), OriginError> {
        let ServerPlace { server, slot } = place;
        if may_reuse && let Some(connection) = server.take_idle(self.needs_http1) {
            return Ok((connection, slot));
        }
        let others = if self.origin.retries_on(RetryOn::Connect) {
            self.origin.others(&server, self.key)
        } else {
            Vec::new()
        };
        let own = Mutex::new(Some(slot)); // of the server that is tried first
        let first = server.name().to_owned();
        let until = Instant::now() + self.origin.connect_timeout() + OTHERS_TIME;
        let connecting = race(
            std::iter::once(server).chain(others),
            |server| {
                let slot = own.lock().take().or_else(|| self.origin.slot(server))?;
                Some(self.origin.connect(server, slot, self.url, self.needs_http1))
            },
            |server, speed| server.note(speed),
        );
        let connected = self.in_time(async {
            let raced = timeout_at(until, connecting).await;
            let raced = raced.unwrap_or(Err(Some(OriginError::ConnectTimeout { server: first })));
            raced.map_err(|error| error.unwrap_or(OriginError::Abandoned))
        });
        connected.await
    }

    /// Returns the place for another attempt, if one is due after this response.
    fn place_after(
        &self,
        response: &Response<OriginBody>,
        method: &Method,
        attempts: &mut Attempts,
    ) -> Option<ServerPlace> {
        let status = response.status();
        let is_missing = attempts.retries_missing(status);
        let is_due = method.is_safe()
            && !is_over(self.deadline)
            && (is_missing || self.retries_after(status) && attempts.is_left());
        let place = is_due.then(|| self.other_place()).flatten()?;
        self.origin.withdraw_retry().then(|| {
            if is_missing {
                attempts.use_up_missing();
            } else {
                attempts.use_up();
            }
            place
        })
    }

    fn retries_after(&self, status: StatusCode) -> bool {
        let cause = match status {
            StatusCode::BAD_GATEWAY => RetryOn::BadGateway,
            StatusCode::SERVICE_UNAVAILABLE => RetryOn::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => RetryOn::GatewayTimeout,
            _ => return false,
        };
        self.origin.retries_on(cause)
    }

    /// Returns whether a request that was not answered may be sent again.
    fn may_repeat(&self, attempts: &mut Attempts, is_reused: bool) -> bool {
        if attempts.lose_idle(is_reused) {
            self.tried.lock().pop(); // it may have another connection
            return true;
        }
        let is_allowed = attempts.is_left()
            && self.origin.retries_on(RetryOn::Reset)
            && self.origin.withdraw_retry();
        attempts.use_up();
        is_allowed
    }

    fn hedge_place(&self) -> Option<ServerPlace> {
        if self.tried.lock().is_empty() {
            return None; // it waits for a slot or a connection: no server is slow
        }
        self.other_place().filter(|_| self.origin.withdraw_hedge())
    }

    /// Takes a slot of a server that was not sent the request, if there is one.
    fn other_place(&self) -> Option<ServerPlace> {
        self.origin.pick(self.key, &self.tried.lock(), Reach::Untried).ok().flatten()
    }
}

/// The time beyond `connect_timeout` for servers that are tried after the first one: each begins
/// this much later than the one before, and not all of many are waited for.
const OTHERS_TIME: Duration = ATTEMPT_DELAY.saturating_mul(4);

fn is_good(answer: &DispatchResult) -> bool {
    answer.as_ref().is_ok_and(|response| !response.status().is_server_error())
}

fn result_of(result: &Result<Response<OriginBody>, OriginError>) -> ExchangeResult {
    match result {
        Ok(response) => ExchangeResult::Answered(response.status()),
        Err(error) => ExchangeResult::of(error),
    }
}

/// Tells URLs apart, as far as failures of one are told from those of many.
fn hash_of(request: &Request<RequestBody>) -> u64 {
    let host = request.headers().get(HOST).map_or(&[][..], HeaderValue::as_bytes);
    let target = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    xxh3_64_with_seed(target.as_bytes(), xxh3_64_with_seed(host, 0))
}
