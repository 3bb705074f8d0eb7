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
    /// Of all exports, one after the other.
    counts: Arc<SpanCounts>,
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
            counts: Arc::default(),
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
        let exporter = SpanExporter::start(&config.tracing, &self.counts)
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
        let SpanCounts { exported, crowded_out, undelivered, refused, rejected } = &*self.counts;
        let lost = [
            ("queue", crowded_out),
            ("unavailable", undelivered),
            ("refused", refused),
            ("rejected", rejected),
        ];
        let lost = lost.map(|(reason, counter)| (reason, counter.value()));
        let exported = exported.value();
        let is_unused = exported == 0 && lost.iter().all(|(_, count)| *count == 0);
        if is_unused && self.sink.lock().is_none() {
            return Vec::new();
        }
        let sample =
            |(reason, count): (&str, u64)| Sample::counter([("reason", reason.to_owned())], count);
        vec![
            Family::counter("shellac_spans_exported", "Spans that the collector took", exported),
            Family::labelled(
                "shellac_spans_lost",
                "Spans lost: no room in the queue, collector unavailable, export refused, span rejected",
                lost.into_iter().map(sample),
            ),
        ]
    }
}

const NAME: &str = "spans";
/// Who stops the proxy does not wait for a collector that is not there.
const CLOSING_PATIENCE: Duration = Duration::from_secs(1);
