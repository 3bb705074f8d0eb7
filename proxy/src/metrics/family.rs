//! `Family`: a metric with all its label values, and the page of all families in the `OpenMetrics`
//! text format.

use std::collections::HashSet;
use std::fmt;

use http::HeaderMap;
use http::header::ACCEPT;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use process::metrics::{BOUNDS, Histogram};

/// The text formats that scrapers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFormat {
    OpenMetrics,
    /// Version 0.0.4 of Prometheus.
    Classic,
}

impl PageFormat {
    /// `OpenMetrics`, unless plain text is accepted and that is not.
    pub(crate) fn accepted(fields: &HeaderMap) -> Self {
        let accepts = |media: &str| {
            let mut values = fields.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            values.any(|value| value.contains(media))
        };
        let is_classic = accepts("text/plain") && !accepts("application/openmetrics-text");
        if is_classic { Self::Classic } else { Self::OpenMetrics }
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes families as a page in this format.
pub(crate) fn page_in(families: Vec<Family>, format: PageFormat) -> Result<String, fmt::Error> {
    let page = page(families)?;
    Ok(if format == PageFormat::Classic { classic(&page) } else { page })
}

/// Rewrites a page for the classic format, in which a counter is described by the name of its
/// samples, and no label means no braces.
fn classic(page: &str) -> String {
    let counters: HashSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF") {
        let described = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let renamed = described.and_then(|(word, rest)| {
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(name).then(|| format!("# {word} {name}_total {rest}"))
        });
        text.push_str(&renamed.unwrap_or_else(|| line.replacen("{} ", " ", 1)));
        text.push('\n');
    }
    text
}

/// Writes families as a page, in their order.
pub(crate) fn page(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(families)));
    let mut page = String::new();
    encode(&mut page, &registry)?;
    Ok(page)
}

/// One metric with all its label values, as of now.
#[derive(Debug)]
pub(crate) struct Family {
    /// With prefix and unit, without `_total`.
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    labels: Vec<(&'static str, String)>,
    value: SampleValue,
}

#[derive(Debug)]
enum SampleValue {
    Counter(u64),
    Gauge(u64),
    /// Seconds.
    CounterOf(f64),
    GaugeOf(f64),
    Histogram {
        bounds: Vec<f64>,
        counts: Vec<u64>,
        sum_seconds: f64,
    },
}

impl Family {
    pub(crate) fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            name,
            help,
            samples: vec![Sample { labels: Vec::new(), value: SampleValue::Counter(value) }],
        }
    }

    pub(crate) fn gauge(name: &'static str, help: &'static str, value: impl TryInto<u64>) -> Self {
        let value = SampleValue::Gauge(value.try_into().unwrap_or(u64::MAX));
        Self { name, help, samples: vec![Sample { labels: Vec::new(), value }] }
    }

    pub(crate) fn labelled(
        name: &'static str,
        help: &'static str,
        samples: impl Iterator<Item = Sample>,
    ) -> Self {
        Self { name, help, samples: samples.collect() }
    }

    fn metric_type(&self) -> MetricType {
        match self.samples.first().map(|sample| &sample.value) {
            Some(SampleValue::Gauge(_) | SampleValue::GaugeOf(_)) => MetricType::Gauge,
            Some(SampleValue::Histogram { .. }) => MetricType::Histogram,
            Some(SampleValue::Counter(_) | SampleValue::CounterOf(_)) | None => MetricType::Counter,
        }
    }
}

impl Sample {
    pub(crate) fn labelled_gauge(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        value: u64,
    ) -> Self {
        Self { labels: labels.into_iter().collect(), value: SampleValue::Gauge(value) }
    }

    pub(crate) fn gauge(label: &'static str, name: &str, value: u64) -> Self {
        Self { labels: vec![(label, name.to_owned())], value: SampleValue::Gauge(value) }
    }

    pub(crate) fn counter(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        value: u64,
    ) -> Self {
        Self { labels: labels.into_iter().collect(), value: SampleValue::Counter(value) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of durations for a graph")]
    pub(crate) fn histogram(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        histogram: &Histogram,
    ) -> Self {
        let sum_seconds = histogram.sum_nanos() as f64 / 1e9;
        let (bounds, counts) = (BOUNDS.to_vec(), histogram.counts().to_vec());
        let value = SampleValue::Histogram { bounds, counts, sum_seconds };
        Self { labels: labels.into_iter().collect(), value }
    }
}

impl Sample {
    pub(crate) fn counter_of(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        value: f64,
    ) -> Self {
        Self { labels: labels.into_iter().collect(), value: SampleValue::CounterOf(value) }
    }

    pub(crate) fn gauge_of(
        labels: impl IntoIterator<Item = (&'static str, String)>,
        value: f64,
    ) -> Self {
        Self { labels: labels.into_iter().collect(), value: SampleValue::GaugeOf(value) }
    }

    /// A histogram with bounds of its own. There is one count more than bounds.
    pub(crate) fn buckets(bounds: Vec<f64>, counts: Vec<u64>, sum_seconds: f64) -> Self {
        let value = SampleValue::Histogram { bounds, counts, sum_seconds };
        Self { labels: Vec::new(), value }
    }
}

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

impl SampleValue {
    fn encode(&self, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Counter(value) => metric.encode_counter(value, NO_EXEMPLAR),
            Self::Gauge(value) => metric.encode_gauge(value),
            Self::CounterOf(value) => metric.encode_counter(value, NO_EXEMPLAR_OF),
            Self::GaugeOf(value) => metric.encode_gauge(value),
            Self::Histogram { bounds, counts, sum_seconds } => {
                let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
                let count = counts.iter().sum();
                metric.encode_histogram::<Labels>(*sum_seconds, count, &buckets, None)
            }
        }
    }
}

type Labels = Vec<(&'static str, String)>;
const NO_EXEMPLAR: Option<&Exemplar<Labels, u64>> = None;
const NO_EXEMPLAR_OF: Option<&Exemplar<Labels, f64>> = None;

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> PageFormat {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT, http::HeaderValue::from_static(value));
        PageFormat::accepted(&fields)
    }

    #[test]
    fn plain_text_is_for_those_who_ask_for_it_alone() {
        assert_eq!(PageFormat::accepted(&HeaderMap::new()), PageFormat::OpenMetrics);
        assert_eq!(accepting("*/*"), PageFormat::OpenMetrics);
        assert_eq!(accepting("text/plain;version=0.0.4"), PageFormat::Classic);
        let scraper = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(accepting(scraper), PageFormat::OpenMetrics);
    }

    #[test]
    fn the_classic_format_describes_counters_by_their_samples() {
        let labelled = Sample::counter([("a", "b".to_owned())], 2);
        let families = vec![
            Family::counter("x", "Some", 1),
            Family::labelled("y", "Others", std::iter::once(labelled)),
            Family::gauge("z", "A gauge", 3_u64),
            Family::labelled("s_seconds", "Time", std::iter::once(Sample::counter_of([], 0.5))),
        ];
        let page = page_in(families, PageFormat::Classic).unwrap();
        let expected = "# HELP x_total Some.\n# TYPE x_total counter\nx_total 1\n\
            # HELP y_total Others.\n# TYPE y_total counter\ny_total{a=\"b\"} 2\n\
            # HELP z A gauge.\n# TYPE z gauge\nz 3\n\
            # HELP s_seconds_total Time.\n# TYPE s_seconds_total counter\ns_seconds_total 0.5\n";
        assert_eq!(
            page.replace(".\n# TYPE", "\n# TYPE"),
            expected.replace(".\n# TYPE", "\n# TYPE")
        );
    }
}
