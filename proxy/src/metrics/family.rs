//! `Family`: a metric with all its label values, and the page of all families in the `OpenMetrics`
//! text format.

use std::fmt;
use std::marker::PhantomData;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use process::metrics::{BOUNDS, Histogram};
use process::metrics_page::PageFormat;

/// Writes families as a page in this format.
pub(crate) fn page_in(families: Vec<Family>, format: PageFormat) -> Result<String, fmt::Error> {
    let page = page(families)?;
    Ok(format.page(page))
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
    kind: MetricType,
    samples: Vec<AnySample>,
}

/// One value of a metric of kind `K`: a family is announced as what it is, samples or none.
#[derive(Debug)]
pub(crate) struct Sample<K> {
    sample: AnySample,
    kind: PhantomData<K>,
}

#[derive(Debug)]
pub(crate) struct OfCounter;

#[derive(Debug)]
pub(crate) struct OfGauge;

#[derive(Debug)]
pub(crate) struct OfHistogram;

pub(crate) trait FamilyKind {
    const TYPE: MetricType;
}

impl FamilyKind for OfCounter {
    const TYPE: MetricType = MetricType::Counter;
}

impl FamilyKind for OfGauge {
    const TYPE: MetricType = MetricType::Gauge;
}

impl FamilyKind for OfHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[derive(Debug)]
struct AnySample {
    labels: Labels,
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
        Self::single(name, help, Sample::counter([], value))
    }

    pub(crate) fn gauge(name: &'static str, help: &'static str, value: impl TryInto<u64>) -> Self {
        let value = value.try_into().unwrap_or(u64::MAX);
        Self::single(name, help, Sample::labelled_gauge([], value))
    }

    pub(crate) fn single<K: FamilyKind>(
        name: &'static str,
        help: &'static str,
        sample: Sample<K>,
    ) -> Self {
        Self::labelled(name, help, std::iter::once(sample))
    }

    pub(crate) fn labelled<K: FamilyKind>(
        name: &'static str,
        help: &'static str,
        samples: impl Iterator<Item = Sample<K>>,
    ) -> Self {
        Self { name, help, kind: K::TYPE, samples: samples.map(|sample| sample.sample).collect() }
    }
}

impl<K> Sample<K> {
    fn new(labels: impl IntoIterator<Item = Label>, value: SampleValue) -> Self {
        let labels = labels.into_iter().collect();
        Self { sample: AnySample { labels, value }, kind: PhantomData }
    }
}

impl Sample<OfGauge> {
    pub(crate) fn labelled_gauge(labels: impl IntoIterator<Item = Label>, value: u64) -> Self {
        Self::new(labels, SampleValue::Gauge(value))
    }

    pub(crate) fn gauge(label: &'static str, name: &str, value: u64) -> Self {
        Self::new([(label, name.to_owned())], SampleValue::Gauge(value))
    }

    pub(crate) fn gauge_of(labels: impl IntoIterator<Item = Label>, value: f64) -> Self {
        Self::new(labels, SampleValue::GaugeOf(value))
    }
}

impl Sample<OfCounter> {
    pub(crate) fn counter(labels: impl IntoIterator<Item = Label>, value: u64) -> Self {
        Self::new(labels, SampleValue::Counter(value))
    }

    pub(crate) fn counter_of(labels: impl IntoIterator<Item = Label>, value: f64) -> Self {
        Self::new(labels, SampleValue::CounterOf(value))
    }

    /// A time in seconds, counted in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "a sum of durations for a graph")]
    pub(crate) fn seconds(labels: impl IntoIterator<Item = Label>, nanos: u64) -> Self {
        Self::counter_of(labels, nanos as f64 / 1e9)
    }
}

impl Sample<OfHistogram> {
    #[expect(clippy::cast_precision_loss, reason = "a sum of durations for a graph")]
    pub(crate) fn histogram(
        labels: impl IntoIterator<Item = Label>,
        histogram: &Histogram,
    ) -> Self {
        let sum_seconds = histogram.sum_nanos() as f64 / 1e9;
        let (bounds, counts) = (BOUNDS.to_vec(), histogram.counts().to_vec());
        Self::new(labels, SampleValue::Histogram { bounds, counts, sum_seconds })
    }

    /// A histogram with bounds of its own. There is one count more than bounds.
    pub(crate) fn buckets(bounds: Vec<f64>, counts: Vec<u64>, sum_seconds: f64) -> Self {
        Self::new([], SampleValue::Histogram { bounds, counts, sum_seconds })
    }
}

#[derive(Debug)]
struct Snapshot(Vec<Family>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
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

type Label = (&'static str, String);
type Labels = Vec<Label>;
const NO_EXEMPLAR: Option<&Exemplar<Labels, u64>> = None;
const NO_EXEMPLAR_OF: Option<&Exemplar<Labels, f64>> = None;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_without_samples_is_announced_as_what_it_is() {
        let families = vec![
            Family::labelled("x", "X", std::iter::empty::<Sample<OfGauge>>()),
            Family::labelled("y", "Y", std::iter::empty::<Sample<OfCounter>>()),
            Family::labelled("z", "Z", std::iter::empty::<Sample<OfHistogram>>()),
        ];
        let page = page(families).unwrap();
        let types: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(types, ["# TYPE x gauge", "# TYPE y counter", "# TYPE z histogram"]);
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
