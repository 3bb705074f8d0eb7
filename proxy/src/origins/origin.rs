//! `Origin`: a named group of equal servers. It picks one for each request and bounds every wait.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{HOST, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, UPGRADE};
use http::{Request, Response, StatusCode};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::attempts::Failed;
use super::background::Background;
use super::balance::Balancer;
use super::error::OriginError;
use super::failures::Failures;
use super::health::{
    AdminState, CircuitPass, ExchangeResult, HealthGroup, ProbeResult, ServerArrival, ServerHealth,
};
use super::keep_alive;
use super::members::{Members, OriginMember};
use super::metrics::OriginMetrics;
use super::names::{NameState, NoAnswer, ServerNames};
use super::outage::Outage;
use super::phases::{OriginPhase, OriginPhases};
use super::probing::{self, ProbeRules};
use super::reachability::Reachability;
use super::request_body::RequestBody;
use super::response_body::{ContentLimits, OriginBody};
use super::selection::Selection;
use super::sending::SendingLimits;
use super::server::connection::ServerConnection;
use super::server::server_tls::ServerTls;
use super::server::{Server, ServerParts, name_of};
use super::server_order::ServerOrder;
use super::server_report::ServerReport;
use super::slots::{QueueLimits, RequestSlot};
use super::stream_patience::StreamPatience;
use super::traffic::{OriginTraffic, Reach, ServerPlace};
use crate::tls::OriginTls;
use settings::{HostHeader, OriginHttp2, RetryOn};

#[derive(Debug)]
pub struct Origin {
    settings: settings::OriginSettings,
    members: Members,
    servers: RwLock<Arc<[Arc<Server>]>>,
    balancer: Balancer,
    traffic: Arc<OriginTraffic>,
    pub metrics: Arc<OriginMetrics>,
    pub failures: Arc<Failures>,
    pub reachability: Arc<Reachability>,
    outage: Arc<Outage>,
    health: Arc<HealthGroup>,
    tls: Option<Arc<OriginTls>>,
}

impl Origin {
    pub(super) fn new(settings: settings::OriginSettings, names: &Arc<ServerNames>) -> Self {
        let health = Arc::new(HealthGroup::new(&settings));
        let tls = tls_of(&settings, None);
        let members = Members::new(&settings.servers, names);
        let metrics = Arc::new(OriginMetrics::of(&settings.name));
        let (tls_rules, phases) = (tls.as_ref(), &metrics.phases);
        let rules = ServerRules { settings: &settings, health: &health, tls: tls_rules, phases };
        let first = servers(&members, &[], &rules, ServerArrival::AtStart);
        Self {
            servers: RwLock::new(first),
            members,
            balancer: Balancer::new(settings.balance, &settings.hash_by),
            traffic: Arc::default(),
            metrics,
            failures: Arc::default(),
            reachability: Arc::default(),
            outage: Arc::default(),
            health,
            tls,
            settings,
        }
    }

    /// Returns an origin with other settings that keeps the counters, failures and servers of this
    /// one. Servers whose connections are made or kept in another way begin anew.
    pub(super) fn renewed(&self, settings: settings::OriginSettings) -> Self {
        let health = Arc::new(self.health.renewed(&settings));
        let tls = tls_of(&settings, self.tls.as_ref());
        let members = Members::new(&settings.servers, self.members.names());
        let (tls_rules, phases) = (tls.as_ref(), &self.metrics.phases);
        let rules = ServerRules { settings: &settings, health: &health, tls: tls_rules, phases };
        let now = servers(&members, &self.servers(), &rules, ServerArrival::Later);
        Self {
            servers: RwLock::new(now),
            members,
            balancer: Balancer::new(settings.balance, &settings.hash_by),
            traffic: Arc::clone(&self.traffic),
            metrics: Arc::clone(&self.metrics),
            failures: Arc::clone(&self.failures),
            reachability: Arc::clone(&self.reachability),
            outage: Arc::clone(&self.outage),
            health,
            tls,
            settings,
        }
    }

    /// Returns an origin that can answer nothing.
    pub(super) fn without_servers(names: &Arc<ServerNames>) -> Self {
        Self::new(settings::OriginSettings::new("none", Vec::new()), names)
    }

    /// Starts the tasks that follow the names of the servers.
    pub(super) fn started(self, background: &Background) -> Arc<Self> {
        let origin = Arc::new(self);
        for name in origin.members.resolved_names() {
            let (follower, states) = (Arc::downgrade(&origin), name.states());
            let gone = origin.members.gone();
            background.start(async move {
                gone.run_until_cancelled(follow(follower, states)).await;
            });
        }
        origin
    }

    /// Takes servers in that joined a name, and takes out those that left: their requests end, and
    /// their idle connections are closed. A server whose name has left an address connects anew.
    pub(super) fn refresh(&self) {
        let mut known = self.servers.write();
        let arrival = if known.is_empty() { ServerArrival::AtStart } else { ServerArrival::Later };
        let (settings, health, tls) = (&self.settings, &*self.health, self.tls.as_ref());
        let rules = ServerRules { settings, health, tls, phases: &self.metrics.phases };
        let now = servers(&self.members, &known, &rules, arrival);
        let origin = self.name();
        for new in now.iter().filter(|new| known.iter().all(|old| old.address() != new.address())) {
            tracing::info!(origin, server = new.name(), "a server has joined");
        }
        for old in known.iter().filter(|old| now.iter().all(|new| !Arc::ptr_eq(old, new))) {
            if now.iter().all(|new| old.address() != new.address()) {
                tracing::info!(origin, server = old.name(), "a server has left");
                let assigned = old.report(Instant::now()).health.assigned;
                if assigned != AdminState::Enabled {
                    self.health.remember(old.name(), assigned);
                }
            }
            old.pool().close();
        }
        *known = now;
    }

    /// Returns the servers. Waits for their names while there is none at all.
    pub(super) async fn named_servers(&self) -> Result<Arc<[Arc<Server>]>, OriginError> {
        let servers = self.servers();
        if !servers.is_empty() || self.members.resolved_names().next().is_none() {
            return Ok(servers);
        }
        let answers = timeout(self.settings.connect_timeout, self.members.first_answers()).await;
        self.refresh();
        let servers = self.servers();
        if servers.is_empty() {
            let failure = answers.map(Result::err).ok().flatten();
            let (server, source) =
                failure.unwrap_or_else(|| (self.name().to_owned(), NoAnswer::TimedOut));
            return Err(OriginError::Resolve { server, source });
        }
        Ok(servers)
    }

    pub(super) fn has(&self, settings: &settings::OriginSettings) -> bool {
        self.settings == *settings
    }

    pub(super) const fn tls(&self) -> Option<&Arc<OriginTls>> {
        self.tls.as_ref()
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn servers(&self) -> Arc<[Arc<Server>]> {
        Arc::clone(&self.servers.read())
    }

    pub const fn first_byte_timeout(&self) -> Duration {
        self.settings.first_byte_timeout
    }

    /// Returns how long a request with these fields may be silent, in both directions, if it is a
    /// call of gRPC and may be sent here.
    pub fn patience_with_call(&self, fields: &HeaderMap) -> Option<Duration> {
        StreamPatience::of(&self.settings, fields).of_call()
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// The longest wait before a request is sent: in the queue, and for a connection.
    pub fn connect_allowance(&self) -> Duration {
        self.settings.queue_timeout + self.settings.connect_timeout
    }

    /// Counts and logs the result of a request for this path.
    pub(super) fn note(
        &self,
        path: &str,
        started: Instant,
        result: &Result<Response<OriginBody>, OriginError>,
    ) {
        self.metrics.count(result, started);
        self.outage.log((self.name(), path), result.as_ref().map(Response::status));
    }

    /// Lets a request pass, unless the circuit of the origin is open.
    pub(super) fn begin(&self, url: u64) -> Result<CircuitPass, OriginError> {
        let pass = self.health.admit(url).map_err(OriginError::Unavailable)?;
        self.traffic.retries.deposit();
        Ok(pass)
    }

    /// The end of an exchange that began then, even if it makes progress.
    pub(super) fn deadline(&self, started: Instant) -> Option<Instant> {
        self.settings.total_timeout.map(|timeout| started + timeout)
    }

    /// Returns the time after which a request may go to a second server.
    pub(super) fn hedge_after(&self, request: &Request<RequestBody>) -> Option<Duration> {
        let may_be = request.method().is_safe()
            && request.body().is_empty()
            && !request.headers().contains_key(UPGRADE);
        self.traffic.hedge_after(self.settings.hedge_after).filter(|_| may_be)
    }

    pub(super) const fn retries(&self) -> u32 {
        self.settings.retries
    }

    pub(super) fn retries_on(&self, cause: RetryOn) -> bool {
        self.settings.retry_on.contains(&cause)
    }

    /// Returns whether the budget allows one more retry, and counts it or the refusal.
    pub(super) fn withdraw_retry(&self) -> bool {
        let is_allowed = self.traffic.retries.withdraw(self.settings.retry_budget);
        self.metrics.retries_refused.add(u64::from(!is_allowed));
        is_allowed
    }

    pub(super) fn withdraw_hedge(&self) -> bool {
        let is_allowed = self.traffic.hedges.withdraw(self.settings.hedge_budget);
        self.metrics.hedges_refused.add(u64::from(!is_allowed));
        is_allowed
    }

    pub(super) fn key_of(&self, request: &Request<RequestBody>) -> u64 {
        self.balancer.key(request.uri(), request.headers())
    }

    /// Waits in the queue until `take` succeeds.
    pub(super) async fn admit(
        &self,
        take: impl FnMut() -> Result<Option<ServerPlace>, OriginError>,
    ) -> Result<ServerPlace, OriginError> {
        let limits = QueueLimits {
            requests_max: self.settings.max_queue,
            wait_max: self.settings.queue_timeout,
        };
        self.traffic.queue.admit(limits, take).await
    }

    pub(super) fn slot(&self, server: &Server) -> Option<RequestSlot> {
        self.selection(0).slot(server)
    }

    /// Chooses a usable server and takes a slot there. Returns `None` while none has a free slot.
    pub(super) fn pick(
        &self,
        key: u64,
        tried: &[Arc<Server>],
        reach: Reach,
    ) -> Result<Option<ServerPlace>, OriginError> {
        let servers = self.servers();
        let place = self.selection(key).pick(&self.usable(&servers)?, tried, reach);
        if place.as_ref().is_some_and(|place| place.server.share(Instant::now()) == 0) {
            self.health.count_last_resort();
        }
        Ok(place)
    }

    /// Returns the servers that are tried, in this order, when this one cannot be connected to.
    pub(super) fn others(&self, chosen: &Arc<Server>, key: u64) -> Vec<Arc<Server>> {
        let servers = self.servers();
        let usable = self.usable(&servers).unwrap_or_default();
        self.selection(key).others(&usable, chosen)
    }

    fn selection(&self, key: u64) -> Selection<'_> {
        Selection {
            balancer: &self.balancer,
            queue: &self.traffic.queue,
            requests_max: self.settings.max_requests,
            key,
        }
    }

    /// Connects to a server where the request has a slot, and notes the failure to.
    pub(super) fn connect(
        &self,
        server: &Arc<Server>,
        slot: RequestSlot,
        url: u64,
        needs_http1: bool,
    ) -> impl Future<Output = Result<(ServerConnection, RequestSlot), OriginError>> + Send + use<>
    {
        let (server, group) = (Arc::clone(server), (Arc::clone(&self.health), self.servers()));
        async move { Ok((connect(server, url, needs_http1, group).await?, slot)) }
    }

    /// Returns the servers that may get a request: those in use, else those that are left out
    /// because of their requests only.
    fn usable<'a>(&self, servers: &'a [Arc<Server>]) -> Result<Vec<&'a Arc<Server>>, OriginError> {
        let now = Instant::now();
        let mut usable: Vec<_> = servers.iter().filter(|server| server.share(now) > 0).collect();
        if usable.is_empty() {
            let may_be_tried = |server: &&Arc<Server>| server.health().state(now).may_be_tried();
            usable = servers.iter().filter(may_be_tried).collect();
            if usable.is_empty() {
                let why = self.health.unavailable(health_of(servers));
                return Err(OriginError::Unavailable(why));
            }
        }
        let first = usable.iter().map(|server| server.priority()).min();
        usable.retain(|server| Some(server.priority()) == first);
        Ok(usable)
    }

    /// Sends the request on this connection.
    pub(super) async fn exchange(
        &self,
        connection: ServerConnection,
        slot: RequestSlot,
        (mut request, url): (Request<RequestBody>, u64),
        deadline: Option<Instant>,
    ) -> Result<Response<OriginBody>, Failed> {
        let was_idle = connection.was_idle;
        self.set_host(&mut request, connection.server());
        let watched = connection.server().health().watch(url, Instant::now());
        let is_timed = request.body().is_empty(); // else the client takes time, too
        let load = connection.server().load();
        let stopwatch = is_timed.then(|| self.traffic.stopwatch(load, self.settings.hedge_after));
        let answer = self.answer(connection, slot, request, deadline).await;
        // A server that closed an idle connection has not failed.
        let result = match &answer {
            Ok(response) => ExchangeResult::Answered(response.status()),
            Err(
                Failed::Unsent(OriginError::Broken(_), _) | Failed::Sent(OriginError::Broken(_), _),
            ) if was_idle => ExchangeResult::Neutral,
            Err(Failed::Unsent(error, _) | Failed::Sent(error, _)) => ExchangeResult::of(error),
        };
        if let Some(stopwatch) = stopwatch {
            match result {
                ExchangeResult::Answered(_) => stopwatch.answered(),
                ExchangeResult::Neutral => stopwatch.discard(),
                ExchangeResult::NotConnected | ExchangeResult::NoResponse => stopwatch.failed(),
            }
        }
        self.health.note(watched, result, health_of(&self.servers()));
        answer
    }

    async fn answer(
        &self,
        mut connection: ServerConnection,
        slot: RequestSlot,
        request: Request<RequestBody>,
        deadline: Option<Instant>,
    ) -> Result<Response<OriginBody>, Failed> {
        let may_switch = request.headers().contains_key(UPGRADE);
        let has_conditions = request.headers().contains_key(IF_NONE_MATCH)
            || request.headers().contains_key(IF_MODIFIED_SINCE);
        let patience = StreamPatience::of(&self.settings, request.headers());
        let limits = SendingLimits {
            send_timeout: patience.send(self.settings.idle_timeout),
            first_byte_timeout: patience.first_byte(self.settings.first_byte_timeout),
            deadline,
        };
        let begun = Instant::now();
        let answer = connection.answer(request, limits).await;
        if answer.is_ok() {
            self.metrics.phases.end(OriginPhase::FirstByte, begun);
        }
        let response = answer.map_err(|failed| failed.map(|error| patience.named(error)))?;
        let sent = |error| Failed::Sent(error, connection.extent());
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS if !may_switch => {
                return Err(sent(OriginError::Switched));
            }
            StatusCode::NOT_MODIFIED if !has_conditions => return Err(sent(OriginError::Unasked)),
            _ => {}
        }
        connection.end_upload();
        if let Some(limit) = keep_alive::idle_limit(response.headers()) {
            connection.limit_idle(limit);
        }
        let idle_timeout = patience.idle(response.headers(), self.settings.idle_timeout);
        let limits = ContentLimits {
            idle_timeout,
            deadline,
            is_grpc: patience.is_grpc(),
            is_stream: idle_timeout > self.settings.idle_timeout,
        };
        let extent = connection.extent();
        let metrics = Arc::clone(&self.metrics);
        let (head, body) = response.into_parts();
        let body = OriginBody::new(body, (connection, slot), limits, metrics);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Response::from_parts(head, body));
        }
        let body = body.look_ahead().await.map_err(|error| Failed::Sent(error, extent))?;
        Ok(Response::from_parts(head, body))
    }

    fn set_host(&self, request: &mut Request<RequestBody>, server: &Server) {
        let host = match &self.settings.host_header {
            HostHeader::Preserve => return,
            HostHeader::Server => server.host(),
            HostHeader::Literal(value) => Some(value.clone()),
        };
        if let Some(host) = host {
            request.headers_mut().insert(HOST, host);
        }
    }

    pub fn sweep(&self) {
        self.servers().iter().for_each(|server| server.sweep());
    }

    /// Requests in flight, and idle connections.
    pub fn connections(&self) -> (usize, usize) {
        let servers = self.servers();
        let each = servers.iter().map(|server| (server.load().in_flight(), server.idle()));
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Returns the number of HTTP/2 connections, and of the requests on them.
    pub fn http2_load(&self) -> (usize, usize) {
        let servers = self.servers();
        let each = servers.iter().map(|server| server.http2_load());
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub fn queued(&self) -> usize {
        self.traffic.queue.queued()
    }

    /// Begins the probes that are due, each of which ends within its time-out, and notices what
    /// time has brought to the servers.
    pub(super) fn watch_over(&self, now: Instant) {
        if self.servers().iter().any(|server| server.has_moved()) {
            self.refresh();
        }
        let servers = self.servers();
        for server in servers.iter().filter(|server| server.health().begin_due_probe(now)) {
            tokio::spawn(probing::check(Arc::clone(server), ProbeRules::of(&self.settings)));
        }
        let servers: Vec<_> = health_of(&servers).collect();
        self.health.turn(&servers, now);
    }

    pub fn reports(&self) -> Vec<ServerReport> {
        let now = Instant::now();
        self.servers().iter().map(|server| server.report(now)).collect()
    }

    /// Returns whether a request would find a server.
    pub fn is_usable(&self) -> bool {
        let now = Instant::now();
        self.servers().iter().any(|server| server.share(now) > 0)
    }

    /// Gives an order to the server of this name. Returns whether there is one.
    pub fn assign(&self, server: &str, assignment: AdminState) -> bool {
        let servers = self.servers();
        let server = servers.iter().find(|known| known.name() == server);
        if let Some(server) = server {
            server.health().assign(assignment, Instant::now());
        }
        server.is_some()
    }

    pub(super) fn orders(&self) -> Vec<ServerOrder> {
        let reports = self.reports().into_iter();
        let ordered = reports.filter(|server| server.health.assigned != AdminState::Enabled);
        ordered
            .map(|server| ServerOrder {
                origin: self.name().to_owned(),
                server: server.name,
                state: server.health.assigned,
            })
            .collect()
    }

    pub(super) fn follow(&self, order: &ServerOrder) {
        // The lock keeps the server from joining between the two steps.
        let known = self.servers.write();
        match known.iter().find(|known| known.name() == order.server) {
            Some(server) => server.health().assign(order.state, Instant::now()),
            None => self.health.expect(&order.server, order.state),
        }
        drop(known);
    }

    /// Probes the server of this name now.
    pub async fn check(&self, server: &str) -> Option<ProbeResult> {
        let servers = self.servers();
        let server = servers.iter().find(|known| known.name() == server)?;
        Some(probing::check(Arc::clone(server), ProbeRules::of(&self.settings)).await)
    }

    pub const fn health(&self) -> &Arc<HealthGroup> {
        &self.health
    }
}

/// Connects to a server, and notes its failure to be connected to.
async fn connect(
    server: Arc<Server>,
    url: u64,
    needs_http1: bool,
    (health, servers): (Arc<HealthGroup>, Arc<[Arc<Server>]>),
) -> Result<ServerConnection, OriginError> {
    let watched = server.health().watch(url, Instant::now());
    let connected = server.connect(needs_http1).await;
    if let Err(error) = &connected {
        health.note(watched, ExchangeResult::of(error), health_of(&servers));
    }
    connected
}

fn health_of(servers: &[Arc<Server>]) -> impl Iterator<Item = &ServerHealth> {
    servers.iter().map(|server| &**server.health())
}

/// Follows the changes of a name until the origin is gone.
async fn follow(origin: Weak<Origin>, mut states: watch::Receiver<NameState>) {
    loop {
        match origin.upgrade() {
            Some(origin) => origin.refresh(),
            None => return,
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Returns the servers of these members. Those that are known already stay.
fn servers(
    members: &Members,
    known: &[Arc<Server>],
    rules: &ServerRules<'_>,
    arrival: ServerArrival,
) -> Arc<[Arc<Server>]> {
    let (names, settings) = (members.names(), rules.settings);
    let server = |OriginMember { settings: server, priority, host }: OriginMember| {
        let before = known.iter().find(|known| *known.address() == server.address);
        let tls = rules.tls.map(|tls| ServerTls::new(tls, &server.address, host.as_deref()));
        let server = if let Some(before) = before {
            rules.health.adopt(before.health());
            before.renewed(&server, settings, names, tls)
        } else {
            let health = rules.health.server(&name_of(&server.address), arrival);
            let phases = Arc::clone(rules.phases);
            let parts = ServerParts { health, load: Arc::default(), tls, phases };
            Arc::new(Server::new(&server, settings, parts, names))
        };
        server.set_priority(priority);
        server
    };
    members.current().into_iter().map(server).collect()
}

/// The settings and tools that the servers of an origin are made by.
struct ServerRules<'a> {
    settings: &'a settings::OriginSettings,
    health: &'a HealthGroup,
    tls: Option<&'a Arc<OriginTls>>,
    phases: &'a Arc<OriginPhases>,
}

/// Makes TLS to the servers, or keeps the one before.
fn tls_of(
    settings: &settings::OriginSettings,
    before: Option<&Arc<OriginTls>>,
) -> Option<Arc<OriginTls>> {
    let tls = settings.tls.as_ref()?;
    let offers_http2 = settings.http2 == OriginHttp2::Alpn;
    Some(OriginTls::renewed(&settings.name, tls, offers_http2, before))
}
