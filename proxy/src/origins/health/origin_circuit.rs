//! `OriginCircuit`: the circuit breaker of a whole origin, by what its requests come to after all
//! retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use process::metrics::Counter;
use settings::CircuitSettings;
use tokio::time::Instant;

use super::circuit::{Circuit, CircuitChange, Pass, Passage};
use super::exchange_result::ExchangeResult;
use super::unavailable::Unavailable;

#[derive(Debug)]
pub(in crate::origins) struct OriginCircuit {
    origin: String,
    is_on: AtomicBool,
    circuit: Mutex<(Circuit, CircuitSettings)>,
    pub(super) opened: Counter,
    /// Requests that it let not pass.
    pub(super) refused: Counter,
}

/// A request that the circuit let pass. Dropped without a result, it tells nothing.
#[derive(Debug)]
pub(in crate::origins) struct CircuitPass {
    circuit: Arc<OriginCircuit>,
    pass: Option<Pass>,
    url: u64,
}

impl OriginCircuit {
    pub(super) fn new(origin: &str, settings: &CircuitSettings, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            origin: origin.to_owned(),
            is_on: AtomicBool::new(settings.failure_rate.is_some()),
            circuit: Mutex::new((Circuit::new(settings, now), settings.clone())),
            opened: Counter::default(),
            refused: Counter::default(),
        })
    }

    /// Goes on by other rules, closed, where they differ.
    pub(super) fn renew(&self, settings: &CircuitSettings, now: Instant) {
        let mut circuit = self.circuit.lock();
        if circuit.1 != *settings {
            *circuit = (Circuit::new(settings, now), settings.clone());
            self.is_on.store(settings.failure_rate.is_some(), Ordering::Relaxed);
        }
    }

    /// Lets a request pass whose URL has this hash, or says why it may not.
    pub(super) fn admit(
        self: &Arc<Self>,
        url: u64,
        now: Instant,
    ) -> Result<CircuitPass, Unavailable> {
        let mut pass = None;
        if self.is_on.load(Ordering::Relaxed) {
            let mut circuit = self.circuit.lock();
            let (circuit, settings) = &mut *circuit;
            let admitted = circuit.admit(settings, now).map_err(|wait| {
                self.refused.add(1);
                Unavailable::circuit(wait)
            });
            pass = Some(admitted?);
        }
        Ok(CircuitPass { circuit: Arc::clone(self), pass, url })
    }

    pub(super) fn passage(&self, now: Instant) -> Passage {
        let circuit = self.circuit.lock();
        circuit.0.passage(&circuit.1, now)
    }

    fn note(&self, (pass, url): (Pass, u64), result: ExchangeResult, now: Instant) {
        let change = {
            let mut circuit = self.circuit.lock();
            let (circuit, settings) = &mut *circuit;
            let change = circuit.note(settings, (pass, url), result, now);
            change.map(|change| (change, settings.open_for))
        };
        let origin = &*self.origin;
        match change {
            Some((CircuitChange::Opened, open_for)) => {
                self.opened.add(1);
                tracing::warn!(
                    origin,
                    ?open_for,
                    "the circuit is open: the origin gets no requests"
                );
            }
            Some((CircuitChange::Closed, _)) => {
                tracing::info!(origin, "the circuit is closed again");
            }
            None => {}
        }
    }
}

impl CircuitPass {
    pub(in crate::origins) fn end(mut self, result: ExchangeResult, now: Instant) {
        self.finish(result, now);
    }

    fn finish(&mut self, result: ExchangeResult, now: Instant) {
        if let Some(pass) = self.pass.take() {
            self.circuit.note((pass, self.url), result, now);
        }
    }
}

impl Drop for CircuitPass {
    fn drop(&mut self) {
        self.finish(ExchangeResult::Neutral, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_circuit_refuses_and_a_trial_that_is_given_up_makes_room() {
        let mut settings =
            CircuitSettings { failure_rate: Some(100), ..CircuitSettings::default() };
        settings.trials = 1;
        let start = Instant::now();
        let circuit = OriginCircuit::new("app", &settings, start);
        for _ in 0..20 {
            circuit.admit(1, start).unwrap().end(ExchangeResult::NotConnected, start);
        }
        let refused = circuit.admit(1, start).unwrap_err();
        assert_eq!(refused, Unavailable::circuit(Duration::from_secs(10)));
        assert_eq!((circuit.opened.value(), circuit.refused.value()), (1, 1));

        let later = start + Duration::from_secs(10);
        let trial = circuit.admit(1, later).unwrap();
        assert!(circuit.admit(1, later).is_err());
        drop(trial);
        circuit.admit(1, later).unwrap().end(ExchangeResult::Answered(StatusCode::OK), later);
        assert_eq!(circuit.passage(later), Passage::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_it_is_never_in_the_way() {
        let (settings, now) = (CircuitSettings::default(), Instant::now());
        let circuit = OriginCircuit::new("app", &settings, now);
        for _ in 0..1_000 {
            circuit.admit(1, now).unwrap().end(ExchangeResult::NotConnected, now);
        }
        let on = CircuitSettings { failure_rate: Some(1), ..settings };
        circuit.renew(&on, now);
        for _ in 0..20 {
            circuit.admit(1, now).unwrap().end(ExchangeResult::NotConnected, now);
        }
        assert!(circuit.admit(1, now).is_err());
        circuit.renew(&CircuitSettings { trials: 5, ..on }, now);
        assert!(circuit.admit(1, now).is_ok(), "other rules begin anew");
    }
}
