//! Counters of compression, by content coding.

use std::time::Duration;

use process::metrics::Counter;
use settings::Coding;

use super::{ALL, name};
use crate::metrics::family::{Family, Sample};

#[derive(Debug, Default)]
pub struct CompressionMetrics {
    /// In the order of [`ALL`].
    codings: [CodingMetrics; ALL.len()],
    /// Responses that were sent as they are, because too many were being compressed.
    pub overloaded: Counter,
}

#[derive(Debug, Default)]
pub struct CodingMetrics {
    pub responses: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    nanos: Counter,
    pub failures: Counter,
}

impl CodingMetrics {
    pub fn add_time(&self, spent: Duration) {
        self.nanos.add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl CompressionMetrics {
    pub fn of(&self, coding: Coding) -> &CodingMetrics {
        let [br, gzip, zstd] = &self.codings;
        match coding {
            Coding::Br => br,
            Coding::Gzip => gzip,
            Coding::Zstd => zstd,
        }
    }

    /// Returns all families, with the number of responses that are being compressed.
    pub(crate) fn families(&self, running: usize) -> Vec<Family> {
        let by_coding = |metric, help, value: fn(&CodingMetrics) -> u64| {
            let sample = move |coding| {
                Sample::counter([("coding", name(coding).to_owned())], value(self.of(coding)))
            };
            Family::labelled(metric, help, ALL.into_iter().map(sample))
        };
        vec![
            by_coding("shellac_compression_responses", "Responses compressed, by coding", |of| {
                of.responses.value()
            }),
            by_coding("shellac_compression_bytes_in", "Bytes that were compressed", |of| {
                of.bytes_in.value()
            }),
            by_coding("shellac_compression_bytes_out", "Bytes that became of them", |of| {
                of.bytes_out.value()
            }),
            Family::labelled(
                "shellac_compression_cpu_seconds",
                "Time spent in compressors",
                ALL.into_iter().map(|coding| {
                    let time = Duration::from_nanos(self.of(coding).nanos.value());
                    Sample::counter_of([("coding", name(coding).to_owned())], time.as_secs_f64())
                }),
            ),
            by_coding(
                "shellac_compression_failures",
                "Compressions that failed; their URLs are sent as they are for a while",
                |of| of.failures.value(),
            ),
            Family::counter(
                "shellac_compression_overloads",
                "Responses sent as they are because too many were being compressed",
                self.overloaded.value(),
            ),
            Family::gauge("shellac_compression_running", "Responses being compressed", running),
        ]
    }
}
