//! `HealthGroup`: what the servers of one origin have in common, and decisions that look at all of
//! them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use settings::OriginSettings;
use tokio::time::Instant;

use super::admin_state::AdminState;
use super::circuit::Passage;
use super::counters::HealthMetrics;
use super::ejection::EjectionRoom;
use super::exchange_result::ExchangeResult;
use super::latency;
use super::origin_circuit::{CircuitPass, OriginCircuit};
use super::server_health::{ServerHealth, WatchedExchange};
use super::server_state::ServerState;
use super::unavailable::Unavailable;
use super::vitals::{EjectionCause, HealthRules, ServerArrival};

#[derive(Debug)]
pub struct HealthGroup {
    origin: String,
    rules: Arc<HealthRules>,
    circuit: Arc<OriginCircuit>,
    /// Held while a server is ejected, so that there is room for each; the end of the period over
    /// which the servers' times are compared.
    period: Arc<Mutex<Option<Instant>>>,
    /// Orders to servers that have not joined yet, or have left, and until when they hold.
    expected: Arc<Mutex<Vec<ExpectedOrder>>>,
    pub(super) metrics: Arc<HealthMetrics>,
}

#[derive(Debug)]
struct ExpectedOrder {
    server: String,
    state: AdminState,
    /// `None`: until the server comes back.
    until: Option<Instant>,
}

impl HealthGroup {
    pub(in crate::origins) fn new(settings: &OriginSettings) -> Self {
        Self {
            origin: settings.name.clone(),
            rules: HealthRules::of(settings),
            circuit: OriginCircuit::new(&settings.name, &settings.circuit, Instant::now()),
            period: Arc::default(),
            expected: Arc::default(),
            metrics: Arc::default(),
        }
    }

    /// Returns the group with other settings. The circuit and what was counted stay.
    pub(in crate::origins) fn renewed(&self, settings: &OriginSettings) -> Self {
        self.circuit.renew(&settings.circuit, Instant::now());
        Self {
            origin: settings.name.clone(),
            rules: HealthRules::of(settings),
            circuit: Arc::clone(&self.circuit),
            period: Arc::clone(&self.period),
            expected: Arc::clone(&self.expected),
            metrics: Arc::clone(&self.metrics),
        }
    }

    pub(in crate::origins) fn server(
        &self,
        name: &str,
        arrival: ServerArrival,
    ) -> Arc<ServerHealth> {
        let server = ServerHealth::new(&*self.origin, name, Arc::clone(&self.rules), arrival);
        let now = Instant::now();
        let mut expected = self.expected.lock();
        expected.retain(|order| order.until.is_none_or(|until| now < until));
        if let Some(place) = expected.iter().rposition(|order| order.server == name) {
            let order = expected.remove(place);
            server.assign(order.state, now);
        }
        server
    }

    /// Gives an order to the server of this name as soon as it joins. A server that joins much
    /// later is another one at the same address.
    pub(in crate::origins) fn expect(&self, name: &str, state: AdminState) {
        self.expect_until(name, state, Some(Instant::now() + EXPECTED_FOR));
    }

    /// Keeps the order of a server that leaves, for when it comes back: a name server that misses
    /// an address in one answer enables no server that an operator has taken out.
    pub(in crate::origins) fn remember(&self, name: &str, state: AdminState) {
        self.expect_until(name, state, None);
    }

    fn expect_until(&self, name: &str, state: AdminState, until: Option<Instant>) {
        let mut expected = self.expected.lock();
        expected.retain(|order| order.server != name);
        if expected.len() >= EXPECTED_MAX {
            expected.remove(0);
        }
        expected.push(ExpectedOrder { server: name.to_owned(), state, until });
    }

    /// Judges a server that is known by the rules of this group.
    pub(in crate::origins) fn adopt(&self, server: &ServerHealth) {
        server.renew(&self.rules, Instant::now());
    }

    /// Lets a request go to the origin, or says why it may not.
    pub(in crate::origins) fn admit(&self, url: u64) -> Result<CircuitPass, Unavailable> {
        self.circuit.admit(url, Instant::now())
    }

    /// Notes the result of an exchange, and ejects its server if that is due.
    pub(in crate::origins) fn note<'a>(
        &self,
        exchange: WatchedExchange,
        result: ExchangeResult,
        servers: impl Iterator<Item = &'a ServerHealth>,
    ) {
        let (now, server) = (Instant::now(), exchange.server());
        if exchange.end(result, now) {
            self.eject(&server, EjectionCause::Failures, servers, now);
        }
    }

    /// Notices what time has brought, and compares the servers at the end of a period.
    pub(in crate::origins) fn turn(&self, servers: &[&ServerHealth], now: Instant) {
        for server in servers {
            server.turn(now);
        }
        let Some(factor) = self.rules.outlier.latency_factor else { return };
        {
            let mut end = self.period.lock();
            if end.is_some_and(|end| now < end) {
                return;
            }
            *end = Some(now + PERIOD);
        }
        let means: Vec<_> = servers.iter().map(|server| server.end_period(now)).collect();
        let slowest = latency::outlier(&means, factor).and_then(|place| servers.get(place));
        if let Some(slowest) = slowest {
            self.eject(slowest, EjectionCause::Latency, servers.iter().copied(), now);
        }
    }

    fn eject<'a>(
        &self,
        server: &ServerHealth,
        cause: EjectionCause,
        servers: impl Iterator<Item = &'a ServerHealth>,
        now: Instant,
    ) {
        let one_at_a_time = self.period.lock();
        let mut room = EjectionRoom::default();
        for other in servers {
            let state = other.state(now);
            room.servers += 1;
            room.ejected += usize::from(state == ServerState::Ejected);
            room.others_in_use += usize::from(state.is_in_use() && !std::ptr::eq(other, server));
        }
        if server.state(now) != ServerState::Ejected
            && room.has_place(self.rules.outlier.max_ejected)
        {
            server.eject(cause, now);
        } else {
            self.metrics.kept.add(1);
        }
        drop(one_at_a_time);
    }

    /// Returns why none of these servers may get a request.
    pub(in crate::origins) fn unavailable<'a>(
        &self,
        servers: impl Iterator<Item = &'a ServerHealth>,
    ) -> Unavailable {
        let now = Instant::now();
        let soon = self.rules.health.interval.max(Duration::from_secs(1));
        Unavailable::servers(servers.map(|server| server.state(now)), soon)
    }

    /// Counts a request that found no usable server.
    pub(in crate::origins) fn count_unavailable(&self) {
        self.metrics.unavailable.add(1);
    }

    /// Counts a request that goes to a server that is left out, as no other one is left.
    pub(in crate::origins) fn count_last_resort(&self) {
        self.metrics.last_resorts.add(1);
    }

    pub fn circuit_state(&self, now: Instant) -> CircuitState {
        match self.circuit.passage(now) {
            Passage::Free => CircuitState::Closed,
            Passage::Trial => CircuitState::HalfOpen,
            Passage::Closed(_) => CircuitState::Open,
        }
    }

    pub(super) fn circuit(&self) -> &OriginCircuit {
        &self.circuit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    Closed,
    HalfOpen,
    Open,
}

impl CircuitState {
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// For names to be looked up.
const EXPECTED_FOR: Duration = Duration::from_mins(1);
/// The oldest order is forgotten for a new one.
const EXPECTED_MAX: usize = 1024;
/// The time over which the servers' times to a response are compared.
const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn group(servers: usize) -> (HealthGroup, Vec<Arc<ServerHealth>>) {
        let mut settings = OriginSettings::new("app", Vec::new());
        settings.outlier.latency_factor = Some(3);
        let group = HealthGroup::new(&settings);
        let server = |number| group.server(&format!("s{number}:1"), ServerArrival::AtStart);
        let servers = (0..servers).map(server).collect();
        (group, servers)
    }

    fn fail(group: &HealthGroup, servers: &[Arc<ServerHealth>], place: usize) {
        for _ in 0..5 {
            let exchange = servers[place].watch(1, Instant::now());
            let all = servers.iter().map(|server| &**server);
            group.note(exchange, ExchangeResult::NotConnected, all);
        }
    }

    fn states(servers: &[Arc<ServerHealth>]) -> Vec<&'static str> {
        servers.iter().map(|server| server.state(Instant::now()).as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_server_stays_whatever_it_does() {
        let (group, servers) = group(2);
        fail(&group, &servers, 0);
        fail(&group, &servers, 1);
        assert_eq!(states(&servers), ["ejected", "up"]);
        assert_eq!(group.metrics.kept.value(), 1);
        let alone = &servers[..1];
        tokio::time::advance(Duration::from_mins(2)).await;
        fail(&group, alone, 0);
        assert_eq!(states(alone), ["up"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_others_wait_for_is_left_out() {
        let (group, servers) = group(3);
        let all: Vec<_> = servers.iter().map(|server| &**server).collect();
        group.turn(&all, Instant::now());
        for _ in 0..20 {
            for (place, millis) in [(0, 50), (1, 60), (2, 1000)] {
                let begun = Instant::now();
                let exchange = servers[place].watch(1, begun);
                let answered = ExchangeResult::Answered(StatusCode::OK);
                exchange.end(answered, begun + Duration::from_millis(millis));
            }
        }
        group.turn(&all, Instant::now());
        assert_eq!(states(&servers), ["up", "up", "up"], "the period goes on");
        tokio::time::advance(PERIOD).await;
        group.turn(&all, Instant::now());
        assert_eq!(states(&servers), ["up", "up", "ejected"]);
    }
}
