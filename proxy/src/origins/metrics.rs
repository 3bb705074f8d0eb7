//! Counters of exchanges with one origin.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::phases::{OriginPhase, OriginPhases};
use super::{OriginError, Origins, health};
use crate::metrics::family::{Family, Sample};
use crate::reason::Reason;
use process::metrics::{Counter, Histogram};
use process::timestamp::Timestamp;

#[derive(Debug, Default)]
pub struct OriginMetrics {
    /// By class of the status code, 1xx to 5xx.
    pub responses: [Counter; 5],
    pub retries: Counter,
    /// Retries and hedged requests that the budget did not allow.
    pub retries_refused: Counter,
    pub hedges_refused: Counter,
    /// Requests that went to a second server as well, whose answer was used.
    pub hedges_won: Counter,
    pub hedges_lost: Counter,
    pub first_byte: Histogram,
    pub(super) phases: Arc<OriginPhases>,
    /// The origin's name, for the log.
    name: Box<str>,
    /// Exchanges that brought no head, by [`OriginError::reason`] in the order of [`REASONS`].
    failures: [Counter; REASONS.len()],
    /// Responses that broke off within their content, in the same order.
    broken_off: [Counter; REASONS.len()],
    log: [Mutex<FailureLog>; REASONS.len()],
}

/// The last log line for one reason, and the failures since.
#[derive(Debug, Default)]
struct FailureLog {
    last: Option<Instant>,
    unsaid: u64,
}

impl OriginMetrics {
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub(super) fn count<T>(&self, result: &Result<Response<T>, OriginError>, started: Instant) {
        match result {
            Ok(response) => {
                self.first_byte.record(started.elapsed(), 1);
                let class = usize::from(response.status().as_u16() / 100).saturating_sub(1);
                if let Some(counter) = self.responses.get(class) {
                    counter.add(1);
                }
            }
            // The outage that it begins or goes on with has lines of its own.
            Err(error) => {
                let _counted = count(error, &self.failures);
            }
        }
    }

    pub(super) fn count_broken_off(&self, error: &OriginError) {
        let Some(place) = count(error, &self.broken_off) else { return };
        if !error.is_of_origin() {
            return;
        }
        let now = Instant::now();
        let count = self.log.get(place).and_then(|log| log.lock().say(now));
        if let Some(count) = count {
            let (origin, reason) = (&*self.name, error.reason().as_str());
            let setting = error.setting();
            tracing::warn!(
                origin, %error, reason, setting, count,
                "an exchange with the origin broke off after its head"
            );
        }
    }

    /// Counts a tunnel in which no byte moved for too long.
    pub fn count_idle_tunnel(&self) {
        self.count_broken_off(&OriginError::TunnelTimeout);
    }

    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.failures.iter().zip(&self.broken_off);
        let sums = counts.map(|(without, within)| without.value() + within.value());
        REASONS.into_iter().map(Reason::as_str).zip(sums)
    }

    pub fn requests(&self) -> u64 {
        self.responses.iter().chain(&self.failures).map(Counter::value).sum()
    }
}

/// Returns the place of the reason.
fn count(error: &OriginError, counters: &[Counter; REASONS.len()]) -> Option<usize> {
    let place = REASONS.iter().position(|reason| *reason == error.reason())?;
    counters.get(place)?.add(1);
    Some(place)
}

impl FailureLog {
    /// Notes a failure. Returns the number of failures since the last line, if another line is due.
    fn say(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.last.is_some_and(|last| now.duration_since(last) < LOG_PAUSE) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

const REASONS: [Reason; 28] = [
    Reason::Resolve,
    Reason::ConnectRefused,
    Reason::Unreachable,
    Reason::ConnectTimeout,
    Reason::TlsCertificate,
    Reason::TlsAlert,
    Reason::TlsProtocol,
    Reason::TlsBroken,
    Reason::TlsTimeout,
    Reason::TlsSetup,
    Reason::Unavailable,
    Reason::Busy,
    Reason::SendTimeout,
    Reason::FirstByteTimeout,
    Reason::IdleTimeout,
    Reason::StreamIdleTimeout,
    Reason::TunnelTimeout,
    Reason::TotalTimeout,
    Reason::Broken,
    Reason::Unprocessed,
    Reason::Reset,
    Reason::Malformed,
    Reason::Incomplete,
    Reason::RequestStalled,
    Reason::RequestBody,
    Reason::Descriptors,
    Reason::Unwritable,
    Reason::Abandoned,
];

const LOG_PAUSE: Duration = Duration::from_secs(10);

pub(crate) fn families(origins: &Origins) -> Vec<Family> {
    let all =
        || origins.iter().map(|origin| (("origin", origin.name().to_owned()), &*origin.metrics));
    vec![
        Family::labelled(
            "shellac_origin_requests",
            "Responses of the origin by the class of their status code",
            all().flat_map(|(name, metrics)| {
                CLASSES.into_iter().zip(&metrics.responses).map(move |(code, count)| {
                    Sample::counter([name.clone(), ("code", code.to_owned())], count.value())
                })
            }),
        ),
        Family::labelled(
            "shellac_origin_failures",
            "Exchanges with the origin that failed or broke off, by the reason",
            all().flat_map(|(name, metrics)| {
                metrics.failures().map(move |(reason, count)| {
                    Sample::counter([name.clone(), ("reason", reason.to_owned())], count)
                })
            }),
        ),
        Family::labelled(
            "shellac_origin_request_duration_seconds",
            "Time from a request to the head of the origin's response",
            all().map(|(name, metrics)| Sample::histogram([name], &metrics.first_byte)),
        ),
        Family::labelled(
            "shellac_origin_http2_connections",
            "HTTP/2 connections to the origin",
            origins.iter().map(|origin| {
                let load = origin.http2_load().0;
                Sample::gauge("origin", origin.name(), load as u64)
            }),
        ),
        Family::labelled(
            "shellac_origin_http2_streams",
            "Requests on HTTP/2 connections to the origin",
            origins.iter().map(|origin| {
                let load = origin.http2_load().1;
                Sample::gauge("origin", origin.name(), load as u64)
            }),
        ),
        Family::labelled(
            "shellac_origin_retries",
            "Requests that were sent once more",
            all().map(|(name, metrics)| Sample::counter([name], metrics.retries.value())),
        ),
        Family::labelled(
            "shellac_origin_queue",
            "Requests that wait while every server has as many as it may have",
            origins
                .iter()
                .map(|origin| Sample::gauge("origin", origin.name(), origin.queued() as u64)),
        ),
    ]
}

/// Returns the families of requests besides those that were asked for.
pub(crate) fn extra_families(origins: &Origins) -> Vec<Family> {
    let all =
        || origins.iter().map(|origin| (("origin", origin.name().to_owned()), &*origin.metrics));
    vec![
        Family::labelled(
            "shellac_origin_hedges",
            "Requests that went to a second server as well, by whether its answer was used",
            all().flat_map(|(name, metrics)| {
                let outcomes = [("won", &metrics.hedges_won), ("lost", &metrics.hedges_lost)];
                outcomes.into_iter().map(move |(outcome, count)| {
                    Sample::counter([name.clone(), ("outcome", outcome.to_owned())], count.value())
                })
            }),
        ),
        Family::labelled(
            "shellac_origin_budget_refusals",
            "Retries and second requests that the budget did not allow",
            all().flat_map(|(name, metrics)| {
                let kinds =
                    [("retry", &metrics.retries_refused), ("hedge", &metrics.hedges_refused)];
                kinds.into_iter().map(move |(kind, count)| {
                    Sample::counter([name.clone(), ("kind", kind.to_owned())], count.value())
                })
            }),
        ),
    ]
}

/// Returns the time that the steps of exchanges took. Where no server has TLS, there is no such
/// step.
pub(crate) fn phase_family(origins: &Origins) -> Family {
    let samples = origins.iter().flat_map(|origin| {
        let phases = origin.metrics.phases.each();
        let done = phases.filter(|(phase, _)| *phase != OriginPhase::Tls || origin.tls().is_some());
        done.map(|(phase, times)| {
            let origin = ("origin", origin.name().to_owned());
            Sample::histogram([origin, ("phase", phase.as_str().to_owned())], times)
        })
    });
    Family::labelled(
        "shellac_origin_phase_seconds",
        "Time of the steps of exchanges with the origin",
        samples,
    )
}

/// Returns the families of single servers.
pub(crate) fn server_families(origins: &Origins) -> Vec<Family> {
    let now = Instant::now();
    let servers: Vec<_> = origins
        .iter()
        .flat_map(|origin| {
            let name = origin.name().to_owned();
            let servers = origin.servers();
            servers.iter().map(|server| (name.clone(), Arc::clone(server))).collect::<Vec<_>>()
        })
        .collect();
    let all = || {
        servers.iter().map(|(origin, server)| {
            let labels = [("origin", origin.clone()), ("server", server.name().to_owned())];
            (labels, server)
        })
    };
    vec![
        Family::labelled(
            "shellac_server_requests",
            "Requests that were given to the server",
            all().map(|(labels, server)| Sample::counter(labels, server.load().requests.value())),
        ),
        Family::labelled(
            "shellac_server_requests_in_flight",
            "Requests at the server, up to the end of the response",
            all().map(|(labels, server)| {
                Sample::labelled_gauge(labels, server.load().in_flight() as u64)
            }),
        ),
        Family::labelled(
            "shellac_server_idle_connections",
            "Connections to the server that are kept for later",
            all().map(|(labels, server)| Sample::labelled_gauge(labels, server.idle() as u64)),
        ),
        Family::labelled(
            "shellac_server_latency_seconds",
            "Time to the head of a response, as the balancer sees it: rises at once, falls slowly",
            all().map(|(labels, server)| Sample::gauge_of(labels, server.load().latency(now))),
        ),
    ]
}

pub(crate) fn failure_families(origins: &Origins, now: Timestamp) -> Vec<Family> {
    let failures = || origins.iter().map(|origin| &origin.failures);
    vec![
        Family::gauge(
            "shellac_cache_failing_urls",
            "URLs whose last fetch failed a moment ago",
            failures().map(|urls| urls.count(now)).sum::<usize>(),
        ),
        Family::counter(
            "shellac_cache_failing_urls_forgotten",
            "URLs whose failure was forgotten because there were too many",
            failures().map(|urls| urls.forgotten.value()).sum::<u64>(),
        ),
    ]
}

pub(crate) fn health_families(origins: &Origins) -> Vec<Family> {
    let all: Vec<_> = origins.iter().map(|origin| (origin, origin.servers())).collect();
    let groups: Vec<health::GroupView<'_>> = all
        .iter()
        .map(|(origin, servers)| {
            let servers = servers.iter().map(|server| (server.name(), &**server.health()));
            (origin.name(), &**origin.health(), servers.collect())
        })
        .collect();
    health::families(&groups, Instant::now())
}

/// The classes of status codes, as the labels of `shellac_origin_requests`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ServerTlsError;

    #[test]
    fn failures_for_one_reason_are_logged_once_in_a_while_with_their_number() {
        let mut log = FailureLog::default();
        let start = Instant::now();
        let said = |log: &mut FailureLog, seconds| log.say(start + Duration::from_secs(seconds));

        assert_eq!(said(&mut log, 0), Some(1));
        assert_eq!(said(&mut log, 1), None);
        assert_eq!(said(&mut log, 9), None);
        assert_eq!(said(&mut log, 10), Some(3));
        assert_eq!(said(&mut log, 11), None);
    }

    #[test]
    fn every_cut_is_counted_by_its_name() {
        let metrics = OriginMetrics::default();
        let server = "a:1".to_owned();
        for error in [
            OriginError::ConnectTimeout { server: server.clone() },
            OriginError::Tls { server, error: ServerTlsError::Timeout },
            OriginError::SendTimeout,
            OriginError::HeadTimeout,
            OriginError::IdleTimeout,
            OriginError::StreamIdleTimeout,
            OriginError::TunnelTimeout,
            OriginError::TotalTimeout,
            OriginError::RequestStalled,
        ] {
            metrics.count_broken_off(&error);
            let counted = metrics.failures().find(|(reason, _)| *reason == error.reason().as_str());
            assert_eq!(counted, Some((error.reason().as_str(), 1)));
            assert!(error.setting().is_some());
        }
        assert_eq!(metrics.requests(), 0);
    }
}
