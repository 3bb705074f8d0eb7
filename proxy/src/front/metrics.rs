//! Requests by outcome and status code, and their durations.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::cache::outcome::Outcome;
use crate::cache::record::CLIENT_LEFT;
use crate::metrics::family::{Family, Sample};
use process::metrics::{Counter, Histogram, Sharded};

/// Requests by outcome and status code, and the time to the head of the response.
#[derive(Debug, Default)]
pub struct RequestMetrics {
    counts: Sharded<OutcomeCounts>,
    /// Time from the request's head to the response's, for every outcome but hits.
    pub durations: [Histogram; Outcome::ALL.len()],
    /// Time to the last byte, of requests whose origin was asked.
    totals: [Histogram; Outcome::ALL.len()],
    /// Bytes of content of requests whose origin was asked.
    received: [Counter; Outcome::ALL.len()],
}

#[derive(Debug)]
struct OutcomeCounts([OutcomeCount; Outcome::ALL.len()]);

/// The requests of one outcome.
#[derive(Debug)]
struct OutcomeCount {
    codes: [AtomicU64; CODES.len() + 1],
    /// Bytes of content that were sent, or are about to be.
    sent: AtomicU64,
}

impl Default for OutcomeCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OutcomeCount {
            codes: std::array::from_fn(|_| AtomicU64::new(0)),
            sent: AtomicU64::new(0),
        }))
    }
}

impl RequestMetrics {
    /// Adds bytes of content that were sent, and received, for a request that is counted already.
    pub fn moved(&self, outcome: Outcome, sent: u64, received: u64) {
        if let Some(counts) = self.counts.own().0.get(outcome as usize) {
            counts.sent.fetch_add(sent, Ordering::Relaxed);
        }
        if let Some(counter) = self.received.get(outcome as usize).filter(|_| received > 0) {
            counter.add(received);
        }
    }

    /// Records the time to the last byte of a response for which the origin was asked.
    pub fn end(&self, outcome: Outcome, duration: Duration) {
        if let Some(histogram) = self.totals.get(outcome as usize) {
            histogram.record(duration, 1);
        }
    }

    pub fn received(&self, outcome: Outcome) -> u64 {
        self.received.get(outcome as usize).map_or(0, Counter::value)
    }

    /// Counts a request, and the bytes of its response's content.
    pub fn count(&self, outcome: Outcome, status: StatusCode, content: u64) {
        self.add(outcome, status.as_u16(), content);
    }

    /// Counts a request whose client left before there was a response.
    pub fn count_unanswered(&self, outcome: Outcome) {
        self.add(outcome, CLIENT_LEFT, 0);
    }

    fn add(&self, outcome: Outcome, status: u16, content: u64) {
        let code = CODES.iter().position(|code| *code == status).unwrap_or(CODES.len());
        let Some(counts) = self.counts.own().0.get(outcome as usize) else { return };
        if let Some(count) = counts.codes.get(code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        counts.sent.fetch_add(content, Ordering::Relaxed);
    }

    /// Records the time to the head of a response that is not a hit.
    pub fn time(&self, outcome: Outcome, duration: Duration) {
        if let Some(histogram) = self.durations.get(outcome as usize) {
            histogram.record(duration, 1);
        }
    }

    /// Returns the requests by outcome and code, without zeros. Code 0 stands for any that is not
    /// in `CODES`.
    pub fn counts(&self) -> Vec<(Outcome, u16, u64)> {
        let mut all = Vec::new();
        for outcome in Outcome::ALL {
            for (place, code) in CODES.into_iter().chain([0]).enumerate() {
                let read = |counts: &OutcomeCounts| {
                    let counts = counts.0.get(outcome as usize);
                    let cell = counts.and_then(|counts| counts.codes.get(place));
                    cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
                };
                let count = self.counts.sum(read);
                if count > 0 {
                    all.push((outcome, code, count));
                }
            }
        }
        all
    }

    /// Adds what another one has counted and timed.
    pub(super) fn absorb(&self, other: &Self) {
        for (outcome, code, count) in other.counts() {
            let place = CODES.iter().position(|own| *own == code).unwrap_or(CODES.len());
            let counts = self.counts.own().0.get(outcome as usize);
            if let Some(cell) = counts.and_then(|counts| counts.codes.get(place)) {
                cell.fetch_add(count, Ordering::Relaxed);
            }
        }
        for outcome in Outcome::ALL {
            self.moved(outcome, other.sent(outcome), other.received(outcome));
        }
        let pairs = self.durations.iter().zip(&other.durations);
        for (own, other) in pairs.chain(self.totals.iter().zip(&other.totals)) {
            own.absorb(other);
        }
    }

    /// Begins anew. Nobody counts meanwhile.
    pub(super) fn reset(&self) {
        for counts in self.counts.iter().flat_map(|counts| &counts.0) {
            let cells = counts.codes.iter().chain([&counts.sent]);
            cells.for_each(|cell| cell.store(0, Ordering::Relaxed));
        }
        self.durations.iter().chain(&self.totals).for_each(Histogram::reset);
        self.received.iter().for_each(Counter::reset);
    }

    /// Returns the bytes of content of the responses with this outcome.
    pub fn sent(&self, outcome: Outcome) -> u64 {
        self.counts.sum(|counts| {
            let counts = counts.0.get(outcome as usize);
            counts.map_or(0, |counts| counts.sent.load(Ordering::Relaxed))
        })
    }

    pub fn of(&self, outcome: Outcome) -> u64 {
        self.counts()
            .into_iter()
            .filter(|(own, _, _)| *own == outcome)
            .map(|(_, _, count)| count)
            .sum()
    }
}

/// The status codes that have a label of their own; the most frequent come first.
const CODES: [u16; 27] = [
    200,
    304,
    404,
    206,
    301,
    302,
    307,
    308,
    204,
    201,
    303,
    400,
    401,
    403,
    405,
    410,
    412,
    413,
    414,
    416,
    429,
    500,
    502,
    503,
    504,
    101,
    CLIENT_LEFT,
];

/// Returns the families of the requests of all listeners, with the names of these.
pub(crate) fn families(listeners: &[(&str, RequestMetrics)]) -> Vec<Family> {
    let requests = listeners.iter().flat_map(|(listener, metrics)| {
        metrics.counts().into_iter().map(|(outcome, code, count)| {
            let code = code_label(code);
            Sample::counter(
                [
                    ("listener", (*listener).to_owned()),
                    ("cache", outcome.as_str().to_owned()),
                    ("code", code),
                ],
                count,
            )
        })
    });
    let each = || {
        let outcomes = Outcome::ALL.into_iter().enumerate();
        outcomes.flat_map(|(place, outcome)| {
            listeners.iter().map(move |(listener, metrics)| {
                let listener = ("listener", (*listener).to_owned());
                let labels = [listener, ("cache", outcome.as_str().to_owned())];
                (place, outcome, labels, metrics)
            })
        })
    };
    let durations = each().filter_map(|(place, _, labels, metrics)| {
        metrics.durations.get(place).map(|histogram| Sample::histogram(labels, histogram))
    });
    let totals = each().filter_map(|(place, _, labels, metrics)| {
        metrics.totals.get(place).map(|histogram| Sample::histogram(labels, histogram))
    });
    let sent =
        each().map(|(_, outcome, labels, metrics)| Sample::counter(labels, metrics.sent(outcome)));
    let received = each()
        .map(|(_, outcome, labels, metrics)| Sample::counter(labels, metrics.received(outcome)));
    vec![
        Family::labelled("shellac_http_requests", "Requests by how they were answered", requests),
        Family::labelled(
            "shellac_http_ttfb_seconds",
            "Time from a request to its response's head; hits are answered at once and not timed",
            durations,
        ),
        Family::labelled(
            "shellac_http_duration_seconds",
            "Time from a request to the last byte of its response, where the origin was asked",
            totals,
        ),
        Family::labelled(
            "shellac_http_response_bytes",
            "Bytes of content of responses; those of a hit count when its response begins",
            sent,
        ),
        Family::labelled(
            "shellac_http_request_bytes",
            "Bytes of content of requests that went to an origin",
            received,
        ),
    ]
}

/// Returns the families of sites that are counted apart, with their hosts; none without such sites.
pub(crate) fn site_families(sites: &[(&str, &RequestMetrics)]) -> Vec<Family> {
    if sites.is_empty() {
        return Vec::new();
    }
    let site = |host: &str| ("site", host.to_owned());
    let requests = sites.iter().flat_map(|(host, metrics)| {
        metrics.counts().into_iter().map(|(outcome, code, count)| {
            let labels =
                [site(host), ("cache", outcome.as_str().to_owned()), ("code", code_label(code))];
            Sample::counter(labels, count)
        })
    });
    let sent = sites.iter().map(|(host, metrics)| {
        let bytes = Outcome::ALL.into_iter().map(|outcome| metrics.sent(outcome));
        Sample::counter([site(host)], bytes.sum())
    });
    let ttfb = sites.iter().map(|(host, it)| Sample::histogram([site(host)], &sum(&it.durations)));
    let total = sites.iter().map(|(host, it)| Sample::histogram([site(host)], &sum(&it.totals)));
    vec![
        Family::labelled("shellac_site_requests", "Requests for the site", requests),
        Family::labelled(
            "shellac_site_response_bytes",
            "Bytes of content of responses of the site",
            sent,
        ),
        Family::labelled(
            "shellac_site_ttfb_seconds",
            "Time from a request for the site to its response's head, where the origin was asked",
            ttfb,
        ),
        Family::labelled(
            "shellac_site_duration_seconds",
            "Time from a request for the site to the last byte, where the origin was asked",
            total,
        ),
    ]
}

fn sum(parts: &[Histogram]) -> Histogram {
    let sum = Histogram::default();
    for part in parts {
        sum.absorb(part);
    }
    sum
}

fn code_label(code: u16) -> String {
    if code == 0 { "other".to_owned() } else { code.to_string() }
}
