//! `Vitals`: everything that decides on the share of one server. It is told the time.

use std::sync::Arc;
use std::time::Duration;

use settings::{CircuitSettings, HealthSettings, OriginSettings, OutlierSettings};
use tokio::time::Instant;

use super::admin_state::AdminState;
use super::circuit::{Circuit, CircuitChange, Pass, Passage};
use super::ejection::Ejection;
use super::exchange_result::ExchangeResult;
use super::latency::{Latency, PeriodMean};
use super::probe_window::ProbeWindow;
use super::server_state::ServerState;
use super::slow_start::{FLOOR, FULL, SlowStart};

/// The settings of an origin that its servers are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::origins) struct HealthRules {
    pub(super) health: HealthSettings,
    pub(super) outlier: OutlierSettings,
    pub(super) circuit: CircuitSettings,
    pub(super) slow_start: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Vitals {
    rules: Arc<HealthRules>,
    assigned: AdminState,
    probes: ProbeWindow,
    ejection: Ejection,
    ejected_for: EjectionCause,
    circuit: Circuit,
    slow_start: SlowStart,
    latency: Latency,
    told: ServerState,
    since: Instant,
}

/// The time at which a server was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origins) enum ServerArrival {
    /// With all others, when the origin began. It takes its full share at once.
    AtStart,
    /// Later: it begins with a small share.
    Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origins) enum EjectionCause {
    Failures,
    Latency,
}

/// A change of the state that is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateChange {
    pub(super) from: ServerState,
    pub(super) to: ServerState,
    pub(super) lasted: Duration,
}

/// The request that is sent, as its result is reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) pass: Pass,
    /// A hash of its URL.
    pub(super) url: u64,
    pub(super) result: ExchangeResult,
    /// Time to the head of the response.
    pub(super) time: Duration,
}

impl HealthRules {
    pub(in crate::origins) fn of(settings: &OriginSettings) -> Arc<Self> {
        Arc::new(Self {
            health: settings.health.clone(),
            outlier: settings.outlier.clone(),
            circuit: settings.circuit.clone(),
            slow_start: settings.slow_start,
        })
    }
}

impl Vitals {
    pub(super) fn new(rules: Arc<HealthRules>, arrival: ServerArrival, now: Instant) -> Self {
        let slow_start = match arrival {
            ServerArrival::AtStart => SlowStart::default(),
            ServerArrival::Later => SlowStart::begun(now),
        };
        let mut new = Self {
            assigned: AdminState::default(),
            probes: ProbeWindow::new(&rules.health),
            ejection: Ejection::default(),
            ejected_for: EjectionCause::Failures,
            circuit: Circuit::new(&rules.circuit, now),
            slow_start,
            latency: Latency::default(),
            told: ServerState::Up,
            since: now,
            rules,
        };
        new.told = new.state(now).told();
        new
    }

    /// Goes on by other rules. A circuit whose rules have changed is closed.
    pub(super) fn renew(&mut self, rules: Arc<HealthRules>, now: Instant) {
        self.probes = if self.rules.health.path == rules.health.path {
            self.probes.renewed(&rules.health)
        } else {
            ProbeWindow::new(&rules.health)
        };
        if self.rules.circuit != rules.circuit {
            self.circuit = Circuit::new(&rules.circuit, now);
        }
        if self.rules.outlier != rules.outlier {
            self.ejection.forget();
        }
        self.rules = rules;
    }

    pub(super) const fn rules(&self) -> &Arc<HealthRules> {
        &self.rules
    }

    pub(super) const fn assigned(&self) -> AdminState {
        self.assigned
    }

    pub(super) fn state(&self, now: Instant) -> ServerState {
        let is_probed = self.rules.health.path.is_some();
        match (self.assigned, self.circuit.passage(&self.rules.circuit, now)) {
            (AdminState::Disabled, _) => ServerState::Disabled,
            (AdminState::Drain, _) => ServerState::Drain,
            _ if is_probed && !self.probes.is_healthy() => ServerState::Sick,
            _ if self.ejection.is_on(now) => ServerState::Ejected,
            (_, Passage::Closed(_)) => ServerState::CircuitOpen,
            (_, Passage::Trial) => ServerState::HalfOpen,
            _ if self.slow_start.share(self.rules.slow_start, now) < FULL => ServerState::SlowStart,
            (_, Passage::Free) => ServerState::Up,
        }
    }

    /// Returns the part of its due requests that the server gets, from 0 to [`FULL`].
    pub(super) fn share(&self, now: Instant) -> u16 {
        match self.state(now) {
            ServerState::Up => FULL,
            ServerState::SlowStart => self.slow_start.share(self.rules.slow_start, now),
            ServerState::HalfOpen => FLOOR,
            _ => 0,
        }
    }

    /// Notices what time has brought. A server whose ejection is over starts slowly.
    pub(super) fn turn(&mut self, now: Instant) {
        if let Some(ended) = self.ejection.end_if_over(now) {
            self.slow_start = SlowStart::begun(ended);
        }
        self.slow_start.end_if_over(self.rules.slow_start, now);
    }

    /// Returns whether the server is up and nothing that only time changes is going on.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.state(now) == ServerState::Up
            && self.circuit.is_closed()
            && self.ejection.until().is_none()
            && !self.slow_start.is_on()
    }

    /// Follows an order. A server that is enabled forgets its ejections and its open circuit: the
    /// operator knows better.
    pub(super) fn assign(&mut self, assigned: AdminState, now: Instant) {
        let is_left_out = self.ejection.is_on(now) || !self.circuit.is_closed();
        if self.assigned == assigned && !(assigned == AdminState::Enabled && is_left_out) {
            return;
        }
        if assigned == AdminState::Enabled {
            self.ejection.forget();
            self.circuit = Circuit::new(&self.rules.circuit, now);
            self.slow_start = SlowStart::begun(now);
        }
        self.assigned = assigned;
    }

    pub(super) fn note_probe(&mut self, is_good: bool, now: Instant) {
        let was_healthy = self.probes.is_healthy();
        self.probes.note(is_good);
        if !was_healthy && self.probes.is_healthy() {
            self.ejection.forget();
            self.slow_start = SlowStart::begun(now);
        }
    }

    /// Returns the good ones of the last probes, with the number of those that count and of those
    /// that are needed. `None` without probes.
    pub(super) fn probes(&self) -> Option<(u32, u32, u32)> {
        let health = &self.rules.health;
        health.path.as_ref().map(|_| (self.probes.good(), health.window, health.threshold))
    }

    /// Begins an exchange. It is sent also if the circuit is open: then no other server is left.
    pub(super) fn begin(&mut self, now: Instant) -> Pass {
        self.circuit.admit(&self.rules.circuit, now).unwrap_or(Pass::Free)
    }

    /// Notes the result of an exchange. Returns whether the server is to be ejected, if there is
    /// room.
    pub(super) fn end(&mut self, exchange: Exchange, now: Instant) -> bool {
        let Exchange { pass, url, result, time } = exchange;
        let rules = Arc::clone(&self.rules);
        if let ExchangeResult::Answered(_) = result {
            self.latency.note(time);
        }
        let change = self.circuit.note(&rules.circuit, (pass, url), result, now);
        if change == Some(CircuitChange::Closed) {
            self.slow_start = SlowStart::begun(now);
        }
        match result.failure(&rules.outlier.failure_status) {
            Some(_) => self.ejection.note_failure(&rules.outlier, now),
            None if result != ExchangeResult::Neutral => {
                self.ejection.note_success();
                false
            }
            None => false,
        }
    }

    pub(super) fn eject(&mut self, cause: EjectionCause, now: Instant) -> Duration {
        self.ejected_for = cause;
        self.ejection.begin(&self.rules.outlier, now)
    }

    pub(super) fn end_period(&mut self) -> Option<PeriodMean> {
        self.latency.end_period()
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.average()
    }

    /// Returns the change since the last call, if the log is to tell it.
    pub(super) fn change(&mut self, now: Instant) -> Option<StateChange> {
        let to = self.state(now).told();
        if self.told == to {
            return None;
        }
        let change = StateChange { from: self.told, to, lasted: now.duration_since(self.since) };
        (self.told, self.since) = (to, now);
        Some(change)
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// Returns why the server does not get its share, for people.
    pub(super) fn reason(&self, now: Instant) -> Option<String> {
        Some(match self.state(now) {
            ServerState::Up => return None,
            ServerState::SlowStart => "it has come back and warms up".to_owned(),
            ServerState::HalfOpen => "its circuit was open, and a few requests try it".to_owned(),
            ServerState::CircuitOpen => "its circuit is open: most requests failed".to_owned(),
            ServerState::Ejected => {
                let left = self.ejection.until().map_or(Duration::ZERO, |until| until - now);
                let cause = match self.ejected_for {
                    EjectionCause::Failures => "requests failed one after another",
                    EjectionCause::Latency => "it is much slower than the others",
                };
                format!("{cause}: left out for {} s more", left.as_secs_f64().ceil())
            }
            ServerState::Sick => {
                let (good, window, threshold) = self.probes().unwrap_or_default();
                format!("{good} of the last {window} probes were good, {threshold} are needed")
            }
            ServerState::Drain | ServerState::Disabled => "an operator said so".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn rules(change: impl FnOnce(&mut HealthRules)) -> Arc<HealthRules> {
        let mut rules = HealthRules {
            health: HealthSettings::default(),
            outlier: OutlierSettings::default(),
            circuit: CircuitSettings::default(),
            slow_start: Some(Duration::from_secs(30)),
        };
        rules.health.path = Some("/healthz".parse().unwrap());
        rules.circuit.min_requests = 4;
        change(&mut rules);
        Arc::new(rules)
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn fail(vitals: &mut Vitals, now: Instant) -> bool {
        let pass = vitals.begin(now);
        let result = ExchangeResult::NotConnected;
        vitals.end(Exchange { pass, url: 1, result, time: Duration::ZERO }, now)
    }

    fn succeed(vitals: &mut Vitals, now: Instant) {
        let (pass, result) = (vitals.begin(now), ExchangeResult::Answered(StatusCode::OK));
        let time = Duration::from_millis(5);
        assert!(!vitals.end(Exchange { pass, url: 1, result, time }, now));
    }

    #[test]
    fn a_server_is_used_at_once_and_one_that_is_added_begins_with_little() {
        let start = Instant::now();
        let first = Vitals::new(rules(|_| {}), ServerArrival::AtStart, start);
        assert_eq!((first.state(start), first.share(start)), (ServerState::Up, 1000));
        let later = Vitals::new(rules(|_| {}), ServerArrival::Later, start);
        assert_eq!((later.state(start), later.share(start)), (ServerState::SlowStart, 100));
        assert_eq!(later.share(at(start, 15)), 550);
        assert_eq!(later.state(at(start, 30)), ServerState::Up);
        let unproven =
            Vitals::new(rules(|rules| rules.health.initial = 0), ServerArrival::AtStart, start);
        assert_eq!((unproven.state(start), unproven.share(start)), (ServerState::Sick, 0));
    }

    #[test]
    fn probes_make_it_sick_and_bring_it_back_slowly() {
        let start = Instant::now();
        let mut vitals = Vitals::new(rules(|_| {}), ServerArrival::AtStart, start);
        for probe in 0..6 {
            assert_eq!(vitals.share(start), 1000, "{probe}");
            vitals.note_probe(false, start);
        }
        assert_eq!((vitals.state(start), vitals.share(start)), (ServerState::Sick, 0));
        let change = vitals.change(at(start, 7)).unwrap();
        assert_eq!((change.from, change.to), (ServerState::Up, ServerState::Sick));
        assert_eq!(vitals.change(at(start, 8)), None, "it is told once");
        assert_eq!(vitals.reason(start).unwrap(), "2 of the last 8 probes were good, 3 are needed");

        for _ in 0..3 {
            vitals.note_probe(true, at(start, 100));
        }
        assert_eq!(vitals.share(at(start, 100)), 100);
        let change = vitals.change(at(start, 100)).unwrap();
        assert_eq!((change.to, change.lasted.as_secs()), (ServerState::Up, 93));
    }

    #[test]
    fn an_ejection_ends_by_time_with_a_slow_start() {
        let start = Instant::now();
        let mut vitals = Vitals::new(rules(|_| {}), ServerArrival::AtStart, start);
        assert!((0..4).all(|_| !fail(&mut vitals, start)));
        assert!(fail(&mut vitals, start), "the fifth");
        assert_eq!(vitals.share(start), 1000, "whether there is room is not its question");
        assert_eq!(vitals.eject(EjectionCause::Failures, start).as_secs(), 30);
        assert_eq!((vitals.state(start), vitals.share(start)), (ServerState::Ejected, 0));
        assert!(vitals.reason(start).unwrap().ends_with("left out for 30 s more"));

        let mut enabled = vitals.clone();
        enabled.assign(AdminState::Enabled, start);
        assert_eq!((enabled.state(start), enabled.share(start)), (ServerState::SlowStart, 100));
        enabled.turn(at(start, 60));
        enabled.assign(AdminState::Enabled, at(start, 60));
        assert_eq!(enabled.share(at(start, 60)), 1000, "it was up");
        vitals.turn(at(start, 30));
        assert_eq!(vitals.share(at(start, 30)), 100);
        assert!(!vitals.is_settled(at(start, 30)));
        vitals.turn(at(start, 60));
        assert!(vitals.is_settled(at(start, 60)));
    }

    #[test]
    fn its_circuit_lets_a_few_requests_try_it() {
        let start = Instant::now();
        let rules = rules(|rules| {
            rules.circuit.failure_rate = Some(50);
            rules.outlier.consecutive_failures = None;
        });
        let mut vitals = Vitals::new(rules, ServerArrival::AtStart, start);
        for _ in 0..4 {
            assert!(!fail(&mut vitals, start));
        }
        assert_eq!((vitals.state(start), vitals.share(start)), (ServerState::CircuitOpen, 0));
        let later = at(start, 10);
        assert_eq!((vitals.state(later), vitals.share(later)), (ServerState::HalfOpen, 100));
        let passes = [(); 3].map(|()| vitals.begin(later));
        assert_eq!(vitals.share(later), 0, "three are on their way");
        for pass in passes {
            let result = ExchangeResult::Answered(StatusCode::OK);
            vitals.end(Exchange { pass, url: 1, result, time: Duration::ZERO }, later);
        }
        assert_eq!((vitals.state(later), vitals.share(later)), (ServerState::SlowStart, 100));
    }

    #[test]
    fn an_order_prevails_over_all_else_and_enabling_forgets_failures() {
        let start = Instant::now();
        let mut vitals = Vitals::new(rules(|_| {}), ServerArrival::AtStart, start);
        vitals.eject(EjectionCause::Failures, start);
        vitals.assign(AdminState::Drain, start);
        assert_eq!((vitals.state(start), vitals.share(start)), (ServerState::Drain, 0));
        vitals.assign(AdminState::Disabled, start);
        assert_eq!(vitals.state(start), ServerState::Disabled);
        assert!(!vitals.state(start).may_be_tried());
        vitals.assign(AdminState::Enabled, start);
        assert_eq!((vitals.state(start), vitals.share(start)), (ServerState::SlowStart, 100));
        vitals.assign(AdminState::Enabled, at(start, 15));
        assert_eq!(vitals.share(at(start, 15)), 550, "an order that it follows changes nothing");
    }

    #[test]
    fn other_rules_keep_what_is_known() {
        let start = Instant::now();
        let mut vitals = Vitals::new(rules(|_| {}), ServerArrival::AtStart, start);
        for _ in 0..6 {
            vitals.note_probe(false, start);
        }
        vitals.assign(AdminState::Drain, start);
        vitals.renew(rules(|rules| rules.slow_start = None), start);
        assert_eq!(vitals.state(start), ServerState::Drain);
        vitals.assign(AdminState::Enabled, start);
        assert_eq!(vitals.state(start), ServerState::Sick);
        vitals.renew(rules(|rules| rules.health.path = None), start);
        assert_ne!(vitals.state(start), ServerState::Sick, "without probes none is sick");
    }

    #[test]
    fn a_success_ends_a_run_of_failures() {
        let start = Instant::now();
        let mut vitals = Vitals::new(rules(|_| {}), ServerArrival::AtStart, start);
        for _ in 0..10 {
            assert!((0..4).all(|_| !fail(&mut vitals, start)));
            succeed(&mut vitals, start);
        }
        assert_eq!(vitals.latency(), Some(Duration::from_millis(5)));
    }
}
