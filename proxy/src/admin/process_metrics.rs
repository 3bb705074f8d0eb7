//! `process_*`: the families of what this process uses.

use process::usage::{ProcessMetricValue, ProcessUsage};

use crate::metrics::family::{Family, Sample};

pub(super) fn families() -> Vec<Family> {
    let metrics = ProcessUsage::read().metrics();
    metrics
        .into_iter()
        .map(|metric| match metric.value {
            ProcessMetricValue::CounterOf(value) => {
                Family::single(metric.name, metric.help, Sample::counter_of([], value))
            }
            ProcessMetricValue::GaugeOf(value) => {
                Family::single(metric.name, metric.help, Sample::gauge_of([], value))
            }
            ProcessMetricValue::Gauge(value) => Family::gauge(metric.name, metric.help, value),
        })
        .collect()
}
