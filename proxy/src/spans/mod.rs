//! Spans of requests, for those who follow a request through several services, over OTLP/HTTP.
//! Programs have this that are built with the feature `otlp`.
//!
//! ```text
//! request ─► RequestSpan: ids, told to the origin in `traceparent`
//! record ──► SpanSink ─► SpanQueue, bounded ─► SpanExporter, a thread ─► Collector ─► HTTP
//! ```
//! A worker never waits: spans that find no room are dropped and counted.

mod collector;
mod exporter;
pub mod message;
mod span_queue;
mod span_sink;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use process::clock::Clock;
use process::metrics::Counter;
use settings::Config;

use self::exporter::SpanExporter;
use self::span_queue::SpanCounts;
use self::span_sink::SpanSink;
use crate::front::record_sinks::{RecordSink, RecordSinks};
use crate::metrics::family::{Family, Sample};
use crate::policy::LiveSettings;

/// The export of spans, as the settings say.
#[derive(Debug)]
pub struct Spans {
    sink: Mutex<Option<Arc<SpanSink>>>,
    /// The counts of exports that others have replaced, in the order of [`counts`].
    gone: [Counter; COUNTS],
    sinks: Arc<RecordSinks>,
    live: Arc<LiveSettings>,
    clock: Clock,
}

impl Spans {
    pub fn begin(
        config: &Config,
        live: &Arc<LiveSettings>,
        clock: &Clock,
        sinks: &Arc<RecordSinks>,
    ) -> Self {
        let spans = Self {
            sink: Mutex::default(),
            gone: Default::default(),
            sinks: Arc::clone(sinks),
            live: Arc::clone(live),
            clock: clock.clone(),
        };
        spans.configure(config);
        spans
    }

    /// Exports as these settings say. An export whose settings are the same goes on.
    pub fn configure(&self, config: &Config) {
        let mut current = self.sink.lock();
        if current.as_ref().is_some_and(|sink| sink.exporter.settings == config.tracing) {
            return;
        }
        let exporter = SpanExporter::start(&config.tracing)
            .inspect_err(|error| tracing::error!(%error, "cannot start the export of spans"));
        let sink = exporter.ok().flatten().map(|exporter| {
            let (live, clock) = (Arc::clone(&self.live), self.clock.clone());
            Arc::new(SpanSink { exporter, live, clock })
        });
        if sink.is_some() || current.is_some() {
            self.sinks.replace(NAME, sink.clone().map(|sink| -> Arc<dyn RecordSink> { sink }));
        }
        if let Some(before) = std::mem::replace(&mut *current, sink) {
            before.exporter.queue.close();
            for (sum, count) in self.gone.iter().zip(counts(&before.exporter.queue.counts)) {
                sum.add(count);
            }
        }
    }

    /// Ends the export, for which spans may wait a moment longer.
    pub fn close(&self) {
        let sink = self.sink.lock().take();
        if let Some(sink) = sink {
            self.sinks.replace(NAME, None);
            sink.exporter.close(CLOSING_PATIENCE);
        }
    }

    /// Returns the families of spans; none where none were ever exported.
    pub(crate) fn families(&self) -> Vec<Family> {
        let sink = self.sink.lock();
        let now = sink.as_deref().map(|sink| counts(&sink.exporter.queue.counts));
        let gone = self.gone.each_ref().map(Counter::value);
        if now.is_none() && gone.iter().all(|count| *count == 0) {
            return Vec::new();
        }
        let mut sums = gone.into_iter().zip(now.unwrap_or_default()).map(|(one, two)| one + two);
        let exported = sums.next().unwrap_or_default();
        let lost = REASONS.into_iter().zip(sums);
        vec![
            Family::counter("shellac_spans_exported", "Spans that the collector took", exported),
            Family::labelled(
                "shellac_spans_lost",
                "Spans that found no room, or that the collector did not take",
                lost.map(|(reason, count)| Sample::counter([("reason", reason.to_owned())], count)),
            ),
        ]
    }
}

/// Returns the spans that were exported, and those that were lost in the order of [`REASONS`].
fn counts(counts: &SpanCounts) -> [u64; COUNTS] {
    let SpanCounts { exported, crowded_out, undelivered, rejected } = counts;
    [exported, crowded_out, undelivered, rejected].map(Counter::value)
}

const NAME: &str = "spans";
const REASONS: [&str; 3] = ["queue", "collector", "rejected"];
const COUNTS: usize = REASONS.len() + 1;
/// Who stops the proxy does not wait for a collector that is not there.
const CLOSING_PATIENCE: Duration = Duration::from_secs(1);
