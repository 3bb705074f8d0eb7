//! `ServerHealth`: the health of one server. It outlives changes of the settings, logs each change
//! of its state once, and counts.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use process::metrics::Counter;
use tokio::time::Instant;

use super::admin_state::AdminState;
use super::circuit::Pass;
use super::exchange_result::ExchangeResult;
use super::latency::PeriodMean;
use super::probe_result::ProbeResult;
use super::server_state::ServerState;
use super::slow_start::FULL;
use super::vitals::{EjectionCause, Exchange, HealthRules, ServerArrival, StateChange, Vitals};
use crate::live::recent_latency::RecentLatency;

#[derive(Debug)]
pub struct ServerHealth {
    origin: String,
    server: String,
    /// The server takes its full share until something happens to it: the lock is not taken.
    is_settled: AtomicBool,
    vitals: Mutex<Vitals>,
    probing: Mutex<Probing>,
    /// Probes by result, in the order of [`super::probe_result::LABELS`].
    pub(super) probes: [Counter; super::probe_result::LABELS.len()],
    pub(super) ejections: Counter,
    errors: Counter,
    latency: RecentLatency,
}

#[derive(Debug, Default)]
struct Probing {
    due: Option<Instant>,
    is_running: bool,
    last: Option<(ProbeResult, Instant)>,
}

/// The health of a server at one moment, for people.
#[derive(Clone, Debug)]
pub struct HealthReport {
    pub state: ServerState,
    pub assigned: AdminState,
    pub reason: Option<String>,
    /// Time since the last change that was logged.
    pub lasted: Duration,
    pub share: u16,
    /// Moving average of the time to the head of a response.
    pub latency: Option<Duration>,
    pub ejections: u64,
    /// Exchanges without a response, and responses with 5xx.
    pub errors: u64,
    /// Seconds to the head of a response, of the last minute.
    pub p95: Option<f64>,
    /// The good ones of the last probes, those that count, and those that are needed.
    pub probes: Option<(u32, u32, u32)>,
    /// The last probe, and the time since.
    pub last_probe: Option<(ProbeResult, Duration)>,
}

impl ServerHealth {
    pub(in crate::origins) fn new(
        origin: impl Into<String>,
        server: impl Into<String>,
        rules: Arc<HealthRules>,
        arrival: ServerArrival,
    ) -> Arc<Self> {
        let now = Instant::now();
        let vitals = Vitals::new(rules, arrival, now);
        Arc::new(Self {
            origin: origin.into(),
            server: server.into(),
            is_settled: AtomicBool::new(vitals.is_settled(now)),
            vitals: Mutex::new(vitals),
            probing: Mutex::default(),
            probes: Default::default(),
            ejections: Counter::default(),
            errors: Counter::default(),
            latency: RecentLatency::default(),
        })
    }

    /// Goes on by other rules, where they differ.
    pub(in crate::origins) fn renew(&self, rules: &Arc<HealthRules>, now: Instant) {
        self.with(now, |vitals| {
            if vitals.rules() != rules {
                vitals.renew(Arc::clone(rules), now);
            }
        });
        let mut probing = self.probing.lock();
        let soon = now + rules.health.interval;
        probing.due = probing.due.map(|due| due.min(soon));
    }

    /// Returns the part of its due requests that the server gets: from 0, none, to [`FULL`].
    pub(in crate::origins) fn share(&self, now: Instant) -> u16 {
        if self.is_settled.load(Ordering::Relaxed) {
            return FULL;
        }
        self.with(now, |vitals| vitals.share(now))
    }

    pub fn state(&self, now: Instant) -> ServerState {
        if self.is_settled.load(Ordering::Relaxed) {
            return ServerState::Up;
        }
        self.with(now, |vitals| vitals.state(now))
    }

    pub fn assign(&self, assigned: AdminState, now: Instant) {
        self.with(now, |vitals| vitals.assign(assigned, now));
    }

    /// Begins an exchange of a request whose URL has this hash.
    pub(in crate::origins) fn watch(self: &Arc<Self>, url: u64, now: Instant) -> WatchedExchange {
        let pass = if self.is_settled.load(Ordering::Relaxed) {
            Pass::Free
        } else {
            self.with(now, |vitals| vitals.begin(now))
        };
        WatchedExchange { health: Arc::clone(self), pass: Some(pass), url, begun: now }
    }

    pub(in crate::origins) fn eject(&self, cause: EjectionCause, now: Instant) {
        self.with(now, |vitals| vitals.eject(cause, now));
        self.ejections.add(1);
    }

    /// Counts an exchange for people.
    fn note(&self, result: ExchangeResult, time: Duration) {
        match result {
            ExchangeResult::Answered(status) => {
                self.latency.record(time);
                self.errors.add(u64::from(status.is_server_error()));
            }
            ExchangeResult::NotConnected | ExchangeResult::NoResponse => self.errors.add(1),
            ExchangeResult::Neutral => {}
        }
    }

    /// Forgets latencies of the period before the last.
    pub(in crate::origins) fn turn_latency(&self) {
        self.latency.turn();
    }

    /// Ends a period of measurement. Returns the mean time to a response in it.
    pub(in crate::origins) fn end_period(&self, now: Instant) -> Option<PeriodMean> {
        self.with(now, Vitals::end_period)
    }

    /// Returns whether a probe is due. It is begun by that, and [`ServerHealth::end_probe`] ends
    /// it.
    pub(in crate::origins) fn begin_due_probe(&self, now: Instant) -> bool {
        let (interval, is_wanted) = {
            let vitals = self.vitals.lock();
            let health = &vitals.rules().health;
            let is_disabled = vitals.assigned() == AdminState::Disabled;
            (health.interval, health.path.is_some() && !is_disabled)
        };
        let mut probing = self.probing.lock();
        if !is_wanted || probing.is_running || probing.due.is_some_and(|due| now < due) {
            return false;
        }
        probing.due = Some(now + jittered(interval, RandomState::new().hash_one(0)));
        probing.is_running = true;
        true
    }

    pub(in crate::origins) fn end_probe(&self, result: ProbeResult, now: Instant) {
        if let Some(counter) = self.probes.get(result.place()) {
            counter.add(1);
        }
        let is_good = result.is_good();
        {
            let mut probing = self.probing.lock();
            probing.is_running = false;
            probing.last = Some((result, now));
        }
        self.with(now, |vitals| {
            if vitals.rules().health.path.is_some() {
                vitals.note_probe(is_good, now);
            }
        });
    }

    /// Notices what time has brought, and logs it.
    pub(in crate::origins) fn turn(&self, now: Instant) {
        if !self.is_settled.load(Ordering::Relaxed) {
            self.with(now, |_| ());
        }
    }

    pub fn report(&self, now: Instant) -> HealthReport {
        let last_probe = self.probing.lock().last.clone();
        let last_probe = last_probe.map(|(result, at)| (result, now.duration_since(at)));
        self.with(now, |vitals| HealthReport {
            state: vitals.state(now),
            assigned: vitals.assigned(),
            reason: vitals.reason(now),
            lasted: now.duration_since(vitals.since()),
            share: vitals.share(now),
            latency: vitals.latency(),
            ejections: self.ejections.value(),
            errors: self.errors.value(),
            p95: self.latency.quantile(0.95),
            probes: vitals.probes(),
            last_probe,
        })
    }

    /// Looks at the vitals as of now, or changes them, and logs the change of state that it makes.
    fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Vitals) -> T) -> T {
        let (result, change, reason) = {
            let mut vitals = self.vitals.lock();
            vitals.turn(now);
            let result = act(&mut vitals);
            self.is_settled.store(vitals.is_settled(now), Ordering::Relaxed);
            let change = vitals.change(now);
            (result, change, change.and_then(|_| vitals.reason(now)))
        };
        if let Some(change) = change {
            self.tell(change, reason.as_deref());
        }
        result
    }

    fn tell(&self, change: StateChange, reason: Option<&str>) {
        let (origin, server) = (&*self.origin, &*self.server);
        let StateChange { from, to, lasted } = change;
        let (from, to) = (from.as_str(), to.as_str());
        match change.to {
            ServerState::Up => {
                tracing::info!(origin, server, from, ?lasted, "the server is in use again");
            }
            ServerState::Drain | ServerState::Disabled => {
                tracing::info!(origin, server, from, to, "the server gets no new requests");
            }
            _ => {
                let last = self.probing.lock().last.as_ref().map(|(last, _)| last.to_string());
                tracing::warn!(
                    origin,
                    server,
                    from,
                    to,
                    reason,
                    last_probe = last,
                    "the server is left out"
                );
            }
        }
    }
}

/// An exchange whose result tells of its server. Dropped without a result, it tells nothing.
#[derive(Debug)]
pub(in crate::origins) struct WatchedExchange {
    health: Arc<ServerHealth>,
    pass: Option<Pass>,
    url: u64,
    begun: Instant,
}

impl WatchedExchange {
    pub(super) fn server(&self) -> Arc<ServerHealth> {
        Arc::clone(&self.health)
    }

    /// Notes the result. Returns whether the server is to be ejected, if there is room.
    pub(in crate::origins) fn end(mut self, result: ExchangeResult, now: Instant) -> bool {
        self.finish(result, now)
    }

    fn finish(&mut self, result: ExchangeResult, now: Instant) -> bool {
        let Some(pass) = self.pass.take() else { return false };
        let (url, time) = (self.url, now.duration_since(self.begun));
        self.health.note(result, time);
        let exchange = Exchange { pass, url, result, time };
        self.health.with(now, |vitals| vitals.end(exchange, now))
    }
}

impl Drop for WatchedExchange {
    fn drop(&mut self) {
        self.finish(ExchangeResult::Neutral, Instant::now());
    }
}

/// Returns the interval, longer or shorter by up to a tenth of it.
fn jittered(interval: Duration, random: u64) -> Duration {
    let thousandths = u32::try_from(random % 201).unwrap_or(100) + 900;
    interval * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use settings::OriginSettings;

    use super::*;

    fn health(change: impl FnOnce(&mut OriginSettings)) -> Arc<ServerHealth> {
        let mut settings = OriginSettings::new("app", Vec::new());
        settings.health.path = Some("/healthz".parse().unwrap());
        change(&mut settings);
        ServerHealth::new("app", "a:1", HealthRules::of(&settings), ServerArrival::AtStart)
    }

    #[test]
    fn a_probe_is_early_or_late_by_a_tenth_at_most() {
        let second = Duration::from_secs(1);
        for (random, millis) in [(0, 900), (100, 1000), (200, 1100), (201, 900)] {
            assert_eq!(jittered(second, random).as_millis(), millis);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_runs_at_a_time_and_the_next_comes_after_the_interval() {
        let health = health(|_| {});
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert!(health.begin_due_probe(at(0)), "the first is due at once");
        assert!(!health.begin_due_probe(at(60_000)), "it still runs");
        health.end_probe(ProbeResult::good(StatusCode::OK, Duration::ZERO), at(1));
        assert!(!health.begin_due_probe(at(4_499)) && health.begin_due_probe(at(5_500)));
        assert_eq!(health.probes[0].value(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_probes_are_sent_without_a_path_or_to_a_disabled_server() {
        let (without, now) = (health(|settings| settings.health.path = None), Instant::now());
        assert!(!without.begin_due_probe(now));
        let disabled = health(|_| {});
        disabled.assign(AdminState::Disabled, now);
        assert!(!disabled.begin_due_probe(now));
        disabled.assign(AdminState::Drain, now);
        assert!(disabled.begin_due_probe(now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_is_given_up_says_nothing_of_the_server() {
        let (health, now) = (health(|_| {}), Instant::now());
        for _ in 0..100 {
            drop(health.watch(1, now));
        }
        let due = |_| health.watch(1, now).end(ExchangeResult::NotConnected, now);
        assert_eq!((0..5).map(due).collect::<Vec<_>>(), [false, false, false, false, true]);
        health.eject(EjectionCause::Failures, now);
        assert_eq!((health.share(now), health.ejections.value()), (0, 1));
        assert_eq!(health.state(now), ServerState::Ejected);
        let later = now + Duration::from_secs(30);
        assert_eq!(health.share(later), 100, "nobody has to wake it");
        assert_eq!(health.share(later + Duration::from_secs(30)), FULL);
        assert!(health.is_settled.load(Ordering::Relaxed));
    }
}
