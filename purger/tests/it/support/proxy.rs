//! A proxy that takes batches as a proxy does, and keeps a diary of what it was told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use purge_protocol::log::{
    Applied, Batch, Hit, LogId, LogState, LogStatus, LoggedPurge, Position, Refusal, Start,
};
use shellac::testing::purge::log::reading;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A proxy. It can be stopped and started again on the same port, with the same memory or without.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    serving: Option<JoinHandle<()>>,
}

/// What the test wants answered instead of what a proxy would; `None`: what a proxy would.
pub(crate) type Answer = Box<dyn FnMut(&Batch) -> Option<Response<Full<Bytes>>> + Send>;

struct Memory {
    instance: u32,
    positions: BTreeMap<LogId, Position>,
    /// Purges that were applied, in order.
    diary: Vec<LoggedPurge>,
    batches: Vec<Batch>,
    answer: Option<Answer>,
    /// Batches that are never answered, once that has begun.
    hung: Option<usize>,
    /// What batches with more purges than so many take.
    labour: Option<(usize, Duration)>,
    authorization: Vec<String>,
    connections: usize,
    rules: settings::PurgeSettings,
    /// Its answer to `/api/v1/live`.
    live: Option<&'static str>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let memory = Memory {
            instance: 1,
            positions: BTreeMap::new(),
            diary: Vec::new(),
            batches: Vec::new(),
            answer: None,
            hung: None,
            labour: None,
            authorization: Vec::new(),
            connections: 0,
            rules: settings::PurgeSettings::default(),
            live: None,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut proxy = Self { address, memory: Arc::new(Mutex::new(memory)), serving: None };
        proxy.resume();
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn resume(&mut self) {
        let listener = bind(self.address);
        self.address = listener.local_addr().unwrap();
        self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.memory))));
    }

    /// Stops answering: connections are refused, and those there are end.
    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _aborted = serving.await;
        }
    }

    /// Another process begins in its place, with these positions.
    pub(crate) fn reborn(&self, positions: Vec<Position>) {
        let mut memory = self.memory.lock();
        memory.instance += 1;
        memory.positions =
            positions.into_iter().map(|position| (position.log.clone(), position)).collect();
    }

    pub(crate) fn positions(&self) -> Vec<Position> {
        self.memory.lock().positions.values().cloned().collect()
    }

    pub(crate) fn answers(&self, answer: Answer) {
        self.memory.lock().answer = Some(answer);
    }

    /// Takes batches from now on, and never answers.
    pub(crate) fn hang(&self) {
        self.memory.lock().hung = Some(0);
    }

    pub(crate) fn hung(&self) -> usize {
        self.memory.lock().hung.unwrap_or(0)
    }

    /// Takes so long from now on for batches of more than `purges` purges.
    pub(crate) fn labours(&self, purges: usize, time: Duration) {
        self.memory.lock().labour = Some((purges, time));
    }

    /// Changes what it takes at once.
    pub(crate) fn limit(&self, change: impl FnOnce(&mut settings::PurgeSettings)) {
        change(&mut self.memory.lock().rules);
    }

    /// Sets its answer to `/api/v1/live`; it has none before.
    pub(crate) fn says_live(&self, document: &'static str) {
        self.memory.lock().live = Some(document);
    }

    pub(crate) fn behaves(&self) {
        self.memory.lock().answer = None;
    }

    /// Every tag that was purged, in order.
    pub(crate) fn tags(&self) -> Vec<String> {
        let memory = self.memory.lock();
        memory.diary.iter().flat_map(|purge| purge.request.tags.clone()).collect()
    }

    pub(crate) fn has(&self, tag: &str) -> bool {
        self.memory.lock().diary.iter().any(|purge| purge.request.tags.iter().any(|own| own == tag))
    }

    pub(crate) fn diary(&self) -> Vec<LoggedPurge> {
        self.memory.lock().diary.clone()
    }

    /// Every batch that came, taken or not.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.memory.lock().batches.clone()
    }

    pub(crate) fn starts(&self) -> Vec<Start> {
        self.batches().into_iter().filter_map(|batch| batch.start).collect()
    }

    pub(crate) fn authorization(&self) -> Vec<String> {
        self.memory.lock().authorization.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.memory.lock().connections
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

fn bind(address: SocketAddr) -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(64).unwrap()
}

async fn serve(listener: TcpListener, memory: Arc<Mutex<Memory>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        memory.lock().connections += 1;
        let memory = Arc::clone(&memory);
        let service = service_fn(move |request| {
            let memory = Arc::clone(&memory);
            async move { Ok::<_, Infallible>(answer(&memory, request).await) }
        });
        connections.spawn(async move {
            let _ended = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(memory: &Mutex<Memory>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/api/v1/live" {
        let live = memory.lock().live;
        let mut response = Response::new(Full::from(live.unwrap_or_default()));
        let status = if live.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        *response.status_mut() = status;
        return response;
    }
    assert_eq!(head.uri.path(), purge_protocol::log::PATH);
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Response::new(Full::default()),
    };
    let hangs = head.method == Method::POST && memory.lock().hangs();
    if hangs {
        std::future::pending::<()>().await;
    }
    let labour = memory.lock().labour;
    if let Some((purges, time)) = labour
        && serde_json::from_slice::<Batch>(&body).is_ok_and(|it| it.purges.len() > purges)
    {
        tokio::time::sleep(time).await;
    }
    let mut memory = memory.lock();
    let field = head.headers.get("authorization");
    memory.authorization.extend(field.map(|value| value.to_str().unwrap().to_owned()));
    if head.method == Method::GET {
        return json(StatusCode::OK, &memory.log_status());
    }
    let batch: Batch = serde_json::from_slice(&body).unwrap();
    memory.batches.push(batch.clone());
    let own = memory.answer.as_mut().and_then(|answer| answer(&batch));
    own.unwrap_or_else(|| match memory.refusal(&body) {
        Some((status, refusal)) => json(status, &refusal),
        None => memory.take(batch),
    })
}

/// The answer with which a proxy refuses a batch.
pub(crate) fn refuse(batch: &Batch, status: u16) -> Response<Full<Bytes>> {
    let proxy = batch.instance.clone().unwrap();
    let refusal = Refusal { proxy, detail: "no".into(), offset: None };
    json(StatusCode::from_u16(status).unwrap(), &refusal)
}

/// The answer with which a proxy asks for a pause.
pub(crate) fn asks_for_a_pause(pause: Duration) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, pause.as_secs().into());
    response
}

impl Memory {
    fn instance(&self) -> String {
        format!("process-{}", self.instance)
    }

    fn hangs(&mut self) -> bool {
        self.hung = self.hung.map(|hung| hung + 1);
        self.hung.is_some()
    }

    fn log_status(&self) -> LogStatus {
        LogStatus {
            instance: self.instance(),
            clock: None,
            state: LogState::Current,
            positions: self.positions.values().cloned().collect(),
        }
    }

    fn refusal(&self, body: &[u8]) -> Option<(StatusCode, Refusal)> {
        let status = if body.len() as u64 > self.rules.log.max_body {
            StatusCode::PAYLOAD_TOO_LARGE
        } else if reading::read(body, &self.rules).is_err() {
            StatusCode::BAD_REQUEST
        } else {
            return None;
        };
        Some((status, Refusal { proxy: self.instance(), detail: "too much".into(), offset: None }))
    }

    fn take(&mut self, batch: Batch) -> Response<Full<Bytes>> {
        let known = self.positions.get(&batch.log).map(|position| position.next);
        if batch.instance.as_ref().is_some_and(|instance| *instance != self.instance()) {
            return json(StatusCode::CONFLICT, &self.log_status());
        }
        let next = match (batch.start, known) {
            (Some(_), _) => batch.from,
            (None, Some(next)) => next,
            (None, None) if batch.from == 0 => 0,
            (None, None) => return json(StatusCode::CONFLICT, &self.log_status()),
        };
        if batch.from > next {
            return json(StatusCode::CONFLICT, &self.log_status());
        }
        let fresh = batch.purges.into_iter().filter(|purge| purge.offset >= next);
        let fresh: Vec<LoggedPurge> = fresh.collect();
        let hits = fresh.iter().map(|purge| Hit { offset: purge.offset, objects: 2 }).collect();
        self.diary.extend(fresh);
        let next = match batch.start {
            Some(_) => batch.to,
            None => next.max(batch.to),
        };
        let last = batch.last.filter(|_| batch.to == next);
        let position = Position { log: batch.log.clone(), next, last, clean_ms: batch.clean_ms };
        self.positions.insert(batch.log, position);
        json(StatusCode::OK, &Applied { instance: self.instance(), next, clock: None, hits })
    }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(serde_json::to_vec(value).unwrap()));
    *response.status_mut() = status;
    response
}
