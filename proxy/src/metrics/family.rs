//! `Family`: a metric with all its label values, and the page of all families in the `OpenMetrics`
//! text format.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use process::metrics::{BOUNDS, Histogram};

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
    Histogram { counts: Vec<u64>, sum_seconds: f64 },
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
            Some(SampleValue::Gauge(_)) => MetricType::Gauge,
            Some(SampleValue::Histogram { .. }) => MetricType::Histogram,
            Some(SampleValue::Counter(_)) | None => MetricType::Counter,
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
        let value = SampleValue::Histogram { counts: histogram.counts().to_vec(), sum_seconds };
        Self { labels: labels.into_iter().collect(), value }
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
            Self::Histogram { counts, sum_seconds } => {
                let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
                let count = counts.iter().sum();
                metric.encode_histogram::<Labels>(*sum_seconds, count, &buckets, None)
            }
        }
    }
}

type Labels = Vec<(&'static str, String)>;
const NO_EXEMPLAR: Option<&Exemplar<Labels, u64>> = None;
