//! `/api/v1/live`: one snapshot of what happens now, and the sampler that it rests on.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::readiness;
use super::tags::{TagOrder, tags};
use crate::app::App;
use crate::front::OutcomeTotals;
use crate::live::counts::{Figure, FigureCounts};
use crate::live::latency::{Buckets, bounds_seconds};
use crate::live::moment;
use crate::live::series::{LATENCY_SECONDS, SECONDS, Series};
use crate::live::slots::window_seconds;
use crate::live::snapshot::{
    ConfigState, ConnectionCounts, HitRatios, KafkaState, Latencies, LatencyCounts, LiveSnapshot,
    OriginFigures, OutcomeRates, PartitionFigures, Quantiles, Rates, SeriesOfSeconds,
    ServerFigures, Tier, Top,
};
use crate::origins::health::ServerState;
use crate::origins::{Origin, ServerReport};
use crate::purge::endpoint::{json, problem};
use crate::response::body::ResponseBody;
use crate::store::Removal;

/// Reads all counters, and adds the seconds since the last time. Is called once a second.
pub fn sample(app: &App) {
    app.live.sample(app.clock().now(), counts(app));
}

/// Answers with the snapshot.
pub(super) fn live(app: &App, query: Option<&str>) -> Response<ResponseBody> {
    match seconds(query) {
        Some(seconds) => json(StatusCode::OK, text(app, seconds).to_vec(), "application/json"),
        None => problem(StatusCode::BAD_REQUEST, &wanted()),
    }
}

/// Returns the seconds of each series that are asked for: all, unless `series=N` says otherwise.
pub(super) fn seconds(query: Option<&str>) -> Option<usize> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Some(SECONDS) };
    let number = query.strip_prefix("series=")?.parse().ok()?;
    (number <= SECONDS).then_some(number)
}

pub(super) fn wanted() -> String {
    format!("The only parameter is series, 0 to {SECONDS}: the seconds of each series.")
}

/// Returns the snapshot as one line.
pub(super) fn text(app: &App, seconds: usize) -> Bytes {
    Bytes::from(serde_json::to_vec(&snapshot(app, seconds)).unwrap_or_default())
}

fn counts(app: &App) -> FigureCounts {
    let OutcomeTotals { answers, server_errors, sent, received } = app.front.metrics.totals();
    let mut counts = FigureCounts::default();
    for (figure, count) in Figure::ANSWERS.into_iter().zip(answers) {
        counts[figure] = count;
    }
    counts[Figure::ServerErrors] = server_errors;
    counts[Figure::BytesOut] = sent;
    counts[Figure::BytesIn] = received;
    counts[Figure::OriginRequests] =
        app.origins().iter().map(|origin| origin.metrics.requests()).sum();
    counts[Figure::Purges] = app.executor.metrics.counts().map(|(_, count)| count).sum();
    let removals = app.store.usage().removals;
    let size = Removal::ALL.iter().position(|reason| *reason == Removal::Size);
    counts[Figure::Evictions] =
        size.and_then(|place| removals.get(place).copied()).unwrap_or_default();
    counts
}

pub(super) fn snapshot(app: &App, seconds: usize) -> LiveSnapshot {
    let reason = readiness::unready(app);
    let now = app.clock().now();
    let window = window_seconds(now, app.uptime().as_secs());
    let mut snapshot = LiveSnapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: app.uptime().as_secs_f64(),
        now: moment(app.clock().wall()),
        ready: reason.is_none(),
        unready_because: reason.map(|reason| reason.trim_end().to_owned()),
        config: config(app),
        not_cached: app.live.urls.not_cached(now, window),
        top: Top { window_seconds: window, urls: app.live.urls.top(now, TOP) },
        tags: tags(app, TOP, TagOrder::Cost),
        purges: app.live.purges.last(PURGES),
        origins: app.origins().iter().map(|origin| origin_state(origin)).collect(),
        kafka: kafka(app),
        connections: connections(app),
        ..LiveSnapshot::default()
    };
    let correction = app.clock().correction();
    app.live.with_series(|series| {
        read(series, seconds, correction, &mut snapshot);
        snapshot.storage = storage(app, series);
    });
    snapshot
}

/// Fills in what the series tell. `correction` leads from the even clock to the wall clock.
fn read(series: &Series, seconds: usize, correction: i64, snapshot: &mut LiveSnapshot) {
    let ratio = |seconds| series.sum(seconds).0.hit_ratio().map(rounded);
    snapshot.number = series.number();
    snapshot.hit_ratio = HitRatios {
        second: ratio(1),
        ten_seconds: ratio(10),
        minute: ratio(60),
        quarter: ratio(SECONDS),
    };
    let (sum, there) = series.sum(RATE_SECONDS);
    let rate = |figure| per_second(sum[figure], there);
    snapshot.rates = Rates {
        requests: per_second(sum.requests(), there),
        origin_requests: rate(Figure::OriginRequests),
        bytes_in: rate(Figure::BytesIn),
        bytes_out: rate(Figure::BytesOut),
    };
    snapshot.outcomes = OutcomeRates {
        hit: rate(Figure::Hits),
        stale: rate(Figure::Stale),
        revalidated: rate(Figure::Revalidated),
        miss: rate(Figure::Misses),
        bypass: rate(Figure::Bypasses),
        uncacheable: rate(Figure::Uncacheable),
        error: rate(Figure::Errors),
        synthetic: rate(Figure::Synthetic),
        purge: rate(Figure::PurgeAnswers),
    };
    let [hit, miss] = series.latencies(RATE_SECONDS).map(|buckets| quantiles(&buckets));
    snapshot.latency_seconds = Latencies { hit, miss };
    let [hits, misses] = series.latencies(LATENCY_SECONDS);
    let all = series.sum(LATENCY_SECONDS).0;
    snapshot.histogram = LatencyCounts {
        bounds_seconds: bounds_seconds().collect(),
        hits: hits.scaled_to(all[Figure::Hits] + all[Figure::Stale]),
        misses: misses.counts(),
    };
    let each = |figure| series.figure(seconds, figure);
    snapshot.series = SeriesOfSeconds {
        step_seconds: 1,
        until: moment(series.until().moved(correction)),
        requests: series.each(seconds, FigureCounts::requests),
        hits: each(Figure::Hits),
        stale: each(Figure::Stale),
        misses: series.each(seconds, |counts| {
            counts[Figure::Misses] + counts[Figure::Revalidated] + counts[Figure::Uncacheable]
        }),
        bypasses: each(Figure::Bypasses),
        errors: each(Figure::Errors),
        purges: each(Figure::Purges),
        origin_requests: each(Figure::OriginRequests),
        bytes_out: each(Figure::BytesOut),
    };
}

fn quantiles(buckets: &Buckets) -> Quantiles {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|part| buckets.quantile(part));
    Quantiles { p50, p95, p99 }
}

fn config(app: &App) -> ConfigState {
    let (hash, loaded, problem) = app.reloads.summary();
    ConfigState {
        hash,
        loaded_at: moment(loaded),
        last_reload: if problem.is_some() { "failed" } else { "ok" }.to_owned(),
        problem,
    }
}

fn connections(app: &App) -> ConnectionCounts {
    let metrics = &app.listeners.metrics;
    ConnectionCounts {
        open: app.listeners.connections() as u64,
        tls: metrics.tls.value(),
        http2: metrics.http2.value(),
    }
}

fn origin_state(origin: &Origin) -> OriginFigures {
    let queue = origin.queued() as u64;
    OriginFigures {
        name: origin.name().to_owned(),
        is_usable: origin.is_usable(),
        queue,
        requests: origin.metrics.requests(),
        errors: origin.metrics.failures().map(|(_, count)| count).sum(),
        servers: origin.reports().into_iter().map(|server| server_state(server, queue)).collect(),
    }
}

fn server_state(server: ServerReport, queue: u64) -> ServerFigures {
    let ServerReport { name, health, in_flight, requests, .. } = server;
    ServerFigures {
        address: name,
        state: word_of(health.state).to_owned(),
        detail: health.state.as_str().to_owned(),
        reason: health.reason,
        in_flight: in_flight as u64,
        queue,
        requests,
        errors: health.errors,
        p95_seconds: health.p95,
    }
}

/// Returns one of four words, for colours.
const fn word_of(state: ServerState) -> &'static str {
    match state {
        ServerState::Up | ServerState::SlowStart => "up",
        ServerState::HalfOpen => "probing",
        ServerState::CircuitOpen | ServerState::Ejected | ServerState::Sick => "down",
        ServerState::Drain | ServerState::Disabled => "draining",
    }
}

fn storage(app: &App, series: &Series) -> Vec<Tier> {
    let usage = app.store.usage();
    let (sum, there) = series.sum(RATE_SECONDS);
    let memory = Tier {
        name: "memory".to_owned(),
        objects: usage.objects,
        bytes: usage.bytes,
        capacity_bytes: usage.capacity,
        evictions_per_second: Some(per_second(sum[Figure::Evictions], there)),
    };
    let file = app.file_usage().map(|usage| Tier {
        name: "file".to_owned(),
        objects: usage.objects,
        bytes: usage.live_bytes,
        capacity_bytes: usage.capacity,
        evictions_per_second: None,
    });
    std::iter::once(memory).chain(file).collect()
}

/// Returns the positions in the first topic that delivers purges; `None` if none does.
fn kafka(app: &App) -> Option<KafkaState> {
    let status = app.purge_log.log_status();
    let topic = status.positions.first()?.log.topic.clone();
    let of_topic = status.positions.iter().filter(|position| position.log.topic == topic);
    let partitions = of_topic.map(|position| PartitionFigures {
        partition: u32::try_from(position.log.partition).unwrap_or_default(),
        position: position.next,
        lag: app.purge_log.lag(&position.log),
        clean_seconds: position.clean_ms.map(|millis| seconds_of(Duration::from_millis(millis))),
    });
    let state = serde_json::to_value(status.state).ok();
    let state = state.and_then(|state| state.as_str().map(str::to_owned)).unwrap_or_default();
    let left = app.invalidation.lease().left(app.clock().now());
    Some(KafkaState {
        partitions: partitions.collect(),
        topic,
        state,
        lease_seconds: left.map(seconds_of),
    })
}

fn seconds_of(span: Duration) -> f64 {
    rounded(span.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn per_second(count: u64, seconds: usize) -> f64 {
    if seconds == 0 { 0.0 } else { rounded(count as f64 / seconds as f64) }
}

/// Rounds to four digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

pub(super) const PATH: &str = "/api/v1/live";
/// URLs and tags in the snapshot, and purges.
const TOP: usize = 100;
const PURGES: usize = 100;
/// The seconds that rates and quantiles are of.
const RATE_SECONDS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::latency::LatencyHistogram;
    use crate::live::series::FigureReading;
    use process::timestamp::Timestamp;

    const START: Timestamp = Timestamp::from_secs(784_111_777);

    fn series(seconds: u64, each: &[(Figure, u64)]) -> Series {
        let mut series = Series::new(START);
        let misses = LatencyHistogram::default();
        let mut counts = FigureCounts::default();
        for second in 1..=seconds {
            for (figure, count) in each {
                counts[*figure] += count;
            }
            misses.record(Duration::from_millis(80));
            let reading =
                FigureReading { counts, misses: misses.counts(), ..FigureReading::default() };
            series.sample(START.plus(Duration::from_secs(second)), &reading);
        }
        series
    }

    #[test]
    fn rates_ratios_and_series_are_those_of_the_traffic() {
        let each =
            [(Figure::Hits, 90), (Figure::Misses, 10), (Figure::Errors, 5), (Figure::BytesOut, 7)];
        let mut snapshot = LiveSnapshot::default();
        read(&series(12, &each), 3, 1000, &mut snapshot);

        assert_eq!(snapshot.number, 12);
        assert_eq!(snapshot.hit_ratio.second, Some(0.9));
        assert_eq!(snapshot.hit_ratio.quarter, Some(0.9));
        assert_eq!((snapshot.rates.requests, snapshot.rates.bytes_out), (105.0, 7.0));
        let OutcomeRates { hit, miss, error, bypass, .. } = snapshot.outcomes;
        assert_eq!((hit, miss, error, bypass), (90.0, 10.0, 5.0, 0.0));
        assert_eq!(snapshot.series.requests, [105; 3]);
        assert_eq!(snapshot.series.until, "1994-11-06T08:49:50.000Z", "by the wall clock");
        assert_eq!(snapshot.histogram.misses.iter().sum::<u64>(), 12);
        assert_eq!(snapshot.histogram.hits.iter().sum::<u64>(), 0, "none was timed");
        assert_eq!(snapshot.latency_seconds.hit, Quantiles::default());
        let median = snapshot.latency_seconds.miss.p50.unwrap();
        assert!((0.063..=0.1).contains(&median), "{median}");
    }

    #[test]
    fn where_nothing_was_asked_there_is_no_ratio() {
        let mut snapshot = LiveSnapshot::default();
        read(&Series::new(START), SECONDS, 0, &mut snapshot);
        assert_eq!(snapshot.hit_ratio, HitRatios::default());
        assert_eq!(snapshot.rates, Rates::default());
        assert!(snapshot.series.requests.is_empty());
    }

    #[test]
    fn the_length_of_the_series_can_be_chosen() {
        assert_eq!(seconds(None), Some(SECONDS));
        assert_eq!(seconds(Some("series=60")), Some(60));
        for wrong in ["series=901", "series=x", "series", "other=1", "series=1&series=2"] {
            assert_eq!(seconds(Some(wrong)), None, "{wrong}");
        }
    }
}
