//! `/metrics`: every counter of the proxy in the `OpenMetrics` text format. The names are an interface: a test holds them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use purge_protocol::log::State;

use super::storage;
use crate::app::App;
use crate::cache::metrics::Outcome;
use crate::purge::log::Figures;
use crate::store::Removal;
use process::metrics::{BOUNDS, Counter, Histogram};

/// Returns the page.
pub(super) fn page(app: &App) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(families(app))));
    let mut page = String::new();
    encode(&mut page, &registry)?;
    Ok(page)
}

/// One metric with all its label values, as of now.
#[derive(Debug)]
pub(super) struct Family {
    /// With prefix and unit, without `_total`.
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug)]
pub(super) struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(u64),
    Histogram { counts: Vec<u64>, sum_seconds: f64 },
}

impl Family {
    pub(super) fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            name,
            help,
            samples: vec![Sample { labels: Vec::new(), value: Value::Counter(value) }],
        }
    }

    pub(super) fn gauge(name: &'static str, help: &'static str, value: impl TryInto<u64>) -> Self {
        let value = Value::Gauge(value.try_into().unwrap_or(u64::MAX));
        Self { name, help, samples: vec![Sample { labels: Vec::new(), value }] }
    }

    pub(super) fn labelled(
        name: &'static str,
        help: &'static str,
        samples: impl Iterator<Item = Sample>,
    ) -> Self {
        Self { name, help, samples: samples.collect() }
    }

    fn metric_type(&self) -> MetricType {
        match self.samples.first().map(|sample| &sample.value) {
            Some(Value::Gauge(_)) => MetricType::Gauge,
            Some(Value::Histogram { .. }) => MetricType::Histogram,
            Some(Value::Counter(_)) | None => MetricType::Counter,
        }
    }
}

impl Sample {
    /// A gauge with one label.
    pub(super) fn gauge(label: &'static str, name: &str, value: u64) -> Self {
        Self { labels: vec![(label, name.to_owned())], value: Value::Gauge(value) }
    }

    pub(super) fn counter(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        value: u64,
    ) -> Self {
        Self { labels: labels.into_iter().collect(), value: Value::Counter(value) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of durations for a graph")]
    fn histogram(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        histogram: &Histogram,
    ) -> Self {
        let sum_seconds = histogram.sum_nanos() as f64 / 1e9;
        let value = Value::Histogram { counts: histogram.counts().to_vec(), sum_seconds };
        Self { labels: labels.into_iter().collect(), value }
    }
}

fn families(app: &App) -> Vec<Family> {
    let mut all = http_families(app);
    all.extend(cache_families(app));
    all.extend(fetch_families(app));
    all.extend(failure_families(app));
    all.extend(origin_families(app));
    all.extend(purge_families(app));
    all.extend(purge_log_families(app));
    all.extend(process_families(app));
    all.extend(storage::families(app));
    all
}

fn http_families(app: &App) -> Vec<Family> {
    let settings = app.settings.current();
    let listeners = || settings.listen.iter().zip(&app.front.cache.metrics);
    let requests = listeners().flat_map(|(listen, metrics)| {
        metrics.counts().into_iter().map(|(outcome, code, count)| {
            let code = if code == 0 { "other".to_owned() } else { code.to_string() };
            Sample::counter(
                [
                    ("listener", listen.name.clone()),
                    ("cache", outcome.as_str().to_owned()),
                    ("code", code),
                ],
                count,
            )
        })
    });
    let durations = Outcome::ALL.into_iter().enumerate().flat_map(|(place, outcome)| {
        listeners().filter_map(move |(listen, metrics)| {
            let labels =
                [("listener", listen.name.clone()), ("cache", outcome.as_str().to_owned())];
            metrics.durations.get(place).map(|histogram| Sample::histogram(labels, histogram))
        })
    });
    let listening = &app.listeners;
    vec![
        Family::labelled("shellac_http_requests", "Requests by how they were answered", requests),
        Family::labelled(
            "shellac_http_ttfb_seconds",
            "Time from a request to its response's head; hits are answered at once and not timed",
            durations,
        ),
        Family::gauge(
            "shellac_http_connections",
            "Client connections that are open",
            listening.connections(),
        ),
        Family::counter(
            "shellac_http_connections_accepted",
            "Client connections",
            listening.metrics.accepted.value(),
        ),
        Family::labelled(
            "shellac_http_errors",
            "Client connections, and HTTP/2 streams, that ended badly",
            [
                ("accept", listening.metrics.accept_failures.value()),
                ("timeout", listening.metrics.cut.value()),
                ("stream_timeout", listening.metrics.reset_streams.value()),
                ("slow_reader", listening.metrics.cut_slowest.value()),
                ("broken", listening.metrics.broken.value()),
            ]
            .into_iter()
            .map(|(reason, count)| Sample::counter([("reason", reason.to_owned())], count)),
        ),
    ]
}

fn cache_families(app: &App) -> Vec<Family> {
    let usage = app.store.usage();
    let tier = || ("tier", "memory".to_owned());
    let removals = Removal::ALL.into_iter().zip(app.store.removals());
    let gauge = |name, help, value: u64| {
        let sample = Sample { labels: vec![tier()], value: Value::Gauge(value) };
        Family::labelled(name, help, std::iter::once(sample))
    };
    vec![
        gauge("shellac_cache_objects", "Stored responses", usage.objects),
        gauge(
            "shellac_cache_bytes",
            "Bytes that stored responses occupy, index and tags included",
            usage.bytes,
        ),
        gauge("shellac_cache_capacity_bytes", "Bytes that they may occupy", usage.capacity),
        Family::labelled(
            "shellac_cache_inserts",
            "Responses that were stored",
            std::iter::once(Sample::counter([tier()], usage.inserts)),
        ),
        Family::labelled(
            "shellac_cache_evictions",
            "Stored responses that left, by reason",
            removals.map(|(reason, count)| {
                Sample::counter([tier(), ("reason", reason.as_str().to_owned())], count)
            }),
        ),
        Family::gauge("shellac_tags", "Tags that are known", app.invalidation.tag_count()),
    ]
}

/// Fetches that failed, and what is done about it.
fn failure_families(app: &App) -> Vec<Family> {
    let fetcher = app.front.cache.fetcher();
    let origins = app.origins();
    let failures = || origins.iter().map(|origin| &origin.failures);
    let now = app.clock().now();
    vec![
        Family::counter(
            "shellac_cache_stale_at_once",
            "Requests that got a stale response at once because the last fetch of their URL timed out",
            fetcher.metrics().stale_at_once.value(),
        ),
        Family::counter(
            "shellac_cache_fetches_cancelled",
            "Fetches that were cancelled because nobody waited for them any more, and their responses are not stored",
            fetcher.metrics().cancelled.value(),
        ),
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

fn fetch_families(app: &App) -> Vec<Family> {
    let fetcher = app.front.cache.fetcher();
    let (misses, flights, inflight_bytes) = fetcher.in_flight();
    let metrics = fetcher.metrics();
    let not_stored = metrics
        .not_stored()
        .map(|(reason, count)| Sample::counter([("reason", reason.code().to_owned())], count));
    let collapsed = [
        ("served", metrics.collapsed.value()),
        ("uncacheable", metrics.collapsed_uncacheable.value()),
        ("timeout", metrics.collapsed_late.value()),
    ];
    let collapsed = collapsed
        .into_iter()
        .map(|(outcome, count)| Sample::counter([("outcome", outcome.to_owned())], count));
    let counter = |name, help, value: &Counter| Family::counter(name, help, value.value());
    vec![
        Family::labelled(
            "shellac_cache_uncacheable",
            "Responses that were not stored, by reason",
            not_stored,
        ),
        Family::labelled(
            "shellac_cache_collapsed",
            "Requests that waited for another's fetch",
            collapsed,
        ),
        counter(
            "shellac_cache_revalidations",
            "Stored responses that the origin confirmed",
            &metrics.validated,
        ),
        counter(
            "shellac_cache_refreshes",
            "Fetches in the background for stale responses",
            &metrics.background,
        ),
        counter(
            "shellac_cache_fetch_failures",
            "Fetches that brought no whole response",
            &metrics.failed,
        ),
        counter(
            "shellac_cache_overloads",
            "Requests that found too many at the origin, or in a fetch",
            &metrics.overloaded,
        ),
        counter(
            "shellac_cache_untrusted_https_redirects",
            "Redirects to https of what a peer that is not trusted says was asked over https",
            &metrics.untrusted_redirects,
        ),
        Family::gauge("shellac_cache_misses_in_flight", "Requests at the origin", misses),
        Family::gauge("shellac_cache_flights", "Fetches that may be joined", flights),
        Family::gauge(
            "shellac_cache_inflight_bytes",
            "Bytes of bodies that are being fetched",
            inflight_bytes,
        ),
        Family::gauge(
            "shellac_cache_pinned_bytes",
            "Bytes of bodies that left the store while clients read them",
            app.store.pinned_bytes(),
        ),
    ]
}

fn origin_families(app: &App) -> Vec<Family> {
    let origins = app.origins();
    let all =
        || origins.iter().map(|origin| (("origin", origin.name().to_owned()), &*origin.metrics));
    let (in_use, idle) = origins.connections();
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
        Family::counter(
            "shellac_origin_retries",
            "Requests that were sent once more",
            all().map(|(_, metrics)| metrics.retries.value()).sum::<u64>(),
        ),
        Family::gauge("shellac_origin_connections", "Connections to the origin in use", in_use),
        Family::gauge(
            "shellac_origin_idle_connections",
            "Connections to the origin kept for later",
            idle,
        ),
        Family::gauge(
            "shellac_origin_queue",
            "Requests that wait for a connection",
            origins.queued(),
        ),
    ]
}

fn purge_families(app: &App) -> Vec<Family> {
    let metrics = &app.front.door.purger().metrics;
    let implied = Sample::counter(
        [
            ("source", "response".to_owned()),
            ("kind", "url".to_owned()),
            ("mode", "hard".to_owned()),
        ],
        metrics.responses.value(),
    );
    let asked = metrics.counts().map(|([source, kind, mode], count)| {
        let labels =
            [("source", source.to_owned()), ("kind", kind.to_owned()), ("mode", mode.to_owned())];
        Sample::counter(labels, count)
    });
    vec![
        Family::labelled("shellac_purges", "Selectors of purges", asked.chain([implied])),
        Family::counter(
            "shellac_purged_objects",
            "Stored responses that purges invalidated",
            metrics.purged.value(),
        ),
        Family::counter(
            "shellac_purges_refused",
            "Purges that were refused",
            metrics.refused.value(),
        ),
        Family::labelled(
            "shellac_purge_duration_seconds",
            "Time that a purge took",
            std::iter::once(Sample::histogram([], &metrics.durations)),
        ),
        Family::gauge(
            "shellac_purge_sequence",
            "The last purge's place in the order of all",
            app.invalidation.sequence().number(),
        ),
        Family::gauge(
            "shellac_purged_prefixes",
            "Purges by prefix that are remembered for running fetches",
            app.invalidation.prefix_count(),
        ),
        Family::counter(
            "shellac_purge_floor_raised",
            "Times that old fetches were given up because too many purges waited for them",
            app.invalidation.floor_raised.value(),
        ),
    ]
}

fn purge_log_families(app: &App) -> Vec<Family> {
    let log = &app.purge_log;
    let figures = log.figures();
    let state = |(state, name): (State, &str)| Sample {
        labels: vec![("state", name.to_owned())],
        value: Value::Gauge(u64::from(figures.standing.state == state)),
    };
    let batches = log
        .metrics
        .outcomes()
        .map(|(outcome, count)| Sample::counter([("outcome", outcome.as_str().to_owned())], count));
    let counter = |name, help, value: &Counter| Family::counter(name, help, value.value());
    let mut all = vec![
        Family::labelled(
            "shellac_purge_log_state",
            "How stored responses are treated",
            STATES.into_iter().map(state),
        ),
        Family::gauge(
            "shellac_purge_log_quarantined",
            "Whether what was recovered has to be validated",
            figures.is_catching_up,
        ),
        Family::gauge(
            "shellac_purge_log_degraded",
            "Whether nobody says that all purges have arrived",
            figures.is_degraded,
        ),
        Family::labelled("shellac_purge_log_batches", "Batches by what became of them", batches),
        counter("shellac_purge_log_purges", "Purges that were applied", &log.metrics.purges),
        counter(
            "shellac_purge_log_purges_skipped",
            "Purges that had been applied before",
            &log.metrics.skipped,
        ),
    ];
    all.extend(purge_log_gauges(&figures));
    all.extend(aftermath_families(app));
    all
}

/// What is known of the log only once a purger has been there.
fn purge_log_gauges(figures: &Figures) -> Vec<Family> {
    let ages = [
        (
            "shellac_purge_log_clean_age_seconds",
            "Time since the moment up to which all purges have arrived",
            figures.clean_age,
        ),
        (
            "shellac_purge_log_last_batch_age_seconds",
            "Time since a purger has been there",
            figures.last_batch_age,
        ),
    ];
    let known = ages.into_iter().filter_map(|(name, help, age)| Some((name, help, age?)));
    let mut all: Vec<_> =
        known.map(|(name, help, age)| Family::gauge(name, help, age.as_secs())).collect();
    let positions = figures.standing.positions.iter().map(|position| {
        let log = &position.log;
        let labels = vec![
            ("cluster", log.cluster.clone()),
            ("topic", log.topic.clone()),
            ("partition", log.partition.to_string()),
        ];
        Sample { labels, value: Value::Gauge(u64::try_from(position.next).unwrap_or(0)) }
    });
    if positions.len() > 0 {
        let help = "All purges below this offset have been applied";
        all.push(Family::labelled("shellac_purge_log_position", help, positions));
    }
    all
}

/// What purges leave behind: fetches, and lowest revisions.
fn aftermath_families(app: &App) -> Vec<Family> {
    let rewarming = app.purge_log.rewarming();
    let rewarmed = [
        ("queued", &rewarming.queued),
        ("fetched", &rewarming.fetched),
        ("needless", &rewarming.needless),
        ("cancelled", &rewarming.cancelled),
        ("dropped", &rewarming.dropped),
        ("failed", &rewarming.failed),
    ];
    let rewarmed = rewarmed
        .into_iter()
        .map(|(outcome, count)| Sample::counter([("outcome", outcome.to_owned())], count.value()));
    let fence = app.invalidation.fence();
    vec![
        Family::labelled("shellac_rewarm", "Fetches that purges wanted", rewarmed),
        Family::gauge("shellac_revisions", "Tags and hosts with a lowest revision", fence.len()),
        Family::counter(
            "shellac_revisions_dropped",
            "Lowest revisions that made room",
            fence.dropped.value(),
        ),
    ]
}

fn process_families(app: &App) -> Vec<Family> {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let build = Sample { labels: version, value: Value::Gauge(1) };
    let is_draining = app.listeners.drain.is_begun();
    vec![
        Family::labelled("shellac_build_info", "What is running", std::iter::once(build)),
        Family::gauge("shellac_uptime_seconds", "Time since the start", app.uptime().as_secs()),
        Family::gauge(
            "shellac_ready",
            "Whether requests are welcome",
            u64::from(!is_draining && !app.is_leaving() && app.purge_log.unready().is_none()),
        ),
        Family::gauge("shellac_draining", "Whether the end has begun", u64::from(is_draining)),
    ]
}

/// The families, for the encoder.
#[derive(Debug)]
struct Snapshot(Vec<Family>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, family.metric_type())?;
            for sample in &family.samples {
                if sample.labels.is_empty() {
                    sample.value.encode(&mut metric)?;
                } else {
                    sample.value.encode(&mut metric.encode_family(&sample.labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Counter(value) => metric.encode_counter(value, NO_EXEMPLAR),
            Self::Gauge(value) => metric.encode_gauge(value),
            Self::Histogram { counts, sum_seconds } => {
                let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
                let count = counts.iter().sum();
                metric.encode_histogram::<Labels>(*sum_seconds, count, &buckets, None)
            }
        }
    }
}

const STATES: [(State, &str); 4] = [
    (State::Unattended, "unattended"),
    (State::CatchingUp, "catching-up"),
    (State::Current, "current"),
    (State::Degraded, "degraded"),
];

type Labels = Vec<(&'static str, String)>;
const NO_EXEMPLAR: Option<&Exemplar<Labels, u64>> = None;

/// The classes of status codes, as the labels of `shellac_origin_requests`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
