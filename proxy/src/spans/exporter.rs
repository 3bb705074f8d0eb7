//! `SpanExporter`: the thread that sends spans to the collector. Requests never wait for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use process::recurring::Recurring;
use prost::Message as _;
use settings::TracingSettings;
use tokio::time::{Instant, sleep, timeout};

use super::collector::{Collector, ExportOutcome};
use super::message::{
    ResourceSpans, ScopeSpans, SpanAttributes, SpanResource, SpanScope, TraceExport, WireSpan,
};
use super::span_queue::{SpanCounts, SpanQueue};

#[derive(Debug)]
pub(super) struct SpanExporter {
    pub(super) settings: TracingSettings,
    pub(super) queue: Arc<SpanQueue>,
    /// Disconnected when the thread has ended.
    ended: parking_lot::Mutex<Receiver<()>>,
}

/// The exporter's own part.
struct SpanSender {
    queue: Arc<SpanQueue>,
    collector: Collector,
    resource: SpanResource,
    endpoint: String,
    trouble: Recurring,
}

impl SpanExporter {
    /// Starts the thread; `None` without an endpoint. It ends when the queue is closed and what
    /// waits was sent, or could not be.
    pub(super) fn start(
        settings: &TracingSettings,
        counts: &Arc<SpanCounts>,
    ) -> std::io::Result<Option<Self>> {
        let Some(collector) = Collector::new(settings) else { return Ok(None) };
        let queue = Arc::new(SpanQueue::new(settings.queue, counts));
        let sender = SpanSender {
            queue: Arc::clone(&queue),
            collector,
            resource: resource(settings),
            endpoint: settings.endpoint.as_ref().map(ToString::to_string).unwrap_or_default(),
            trouble: Recurring::default(),
        };
        let (alive, ended) = channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("spans".into()).spawn(move || {
            runtime.block_on(sender.run());
            drop(alive);
        })?;
        let (settings, ended) = (settings.clone(), parking_lot::Mutex::new(ended));
        Ok(Some(Self { settings, queue, ended }))
    }

    /// Takes no more spans, and waits until those that wait are sent, for this long at most.
    pub(super) fn close(&self, patience: Duration) {
        self.queue.close();
        let ended = self.ended.lock().recv_timeout(patience);
        if ended == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("spans that still wait for the collector are lost");
        }
    }
}

impl Drop for SpanExporter {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl SpanSender {
    async fn run(mut self) {
        loop {
            let is_last = self.queue.is_closed();
            loop {
                let batch = self.queue.batch();
                if batch.is_empty() {
                    break;
                }
                self.export(batch).await;
            }
            if is_last {
                return;
            }
            drop(timeout(PAUSE, self.queue.changed()).await);
        }
    }

    /// Sends a batch, several times if the collector is not there or asks for it.
    async fn export(&mut self, spans: Vec<WireSpan>) {
        let count = spans.len() as u64;
        let export = self.message(spans);
        let mut pause = RETRY_PAUSE;
        for attempt in 1..=ATTEMPTS {
            match self.collector.post(export.clone()).await {
                ExportOutcome::Taken { rejected, message } => {
                    return self.taken(count, rejected.min(count), &message);
                }
                ExportOutcome::Refused { why } => {
                    self.queue.counts.refused.add(count);
                    return self.fail(&why);
                }
                ExportOutcome::Later { why, pause: asked } => {
                    self.fail(&why);
                    if attempt == ATTEMPTS || self.queue.is_closed() {
                        break;
                    }
                    let asked = asked.map_or(pause, |asked| asked.clamp(pause, RETRY_PAUSE_MAX));
                    self.pause(asked).await;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
        }
        // At the end nobody waits for a collector that is not there, once for each batch.
        let rest = if self.queue.is_closed() { self.queue.rest() as u64 } else { 0 };
        self.queue.counts.undelivered.add(count + rest);
    }

    /// Waits, but not past the end.
    async fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.queue.is_closed() && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            sleep(left.min(LOOK_AGAIN)).await;
        }
    }

    fn taken(&mut self, count: u64, rejected: u64, message: &str) {
        self.queue.counts.exported.add(count - rejected);
        if let Some(failures) = self.trouble.recover() {
            let endpoint = &self.endpoint;
            tracing::info!(endpoint, failures, "the collector takes spans again");
        }
        if rejected > 0 {
            self.queue.counts.rejected.add(rejected);
            self.fail(&format!("it takes exports, and not all spans: {message}"));
        }
    }

    fn fail(&mut self, why: &str) {
        if let Some(count) = self.trouble.fail(Instant::now()) {
            let endpoint = &self.endpoint;
            tracing::warn!(
                endpoint,
                why,
                count,
                "the collector does not take spans: they wait in tracing.queue, then they are \
                 lost; requests go on"
            );
        }
    }

    fn message(&self, spans: Vec<WireSpan>) -> Bytes {
        let scope = SpanScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource = Some(self.resource.clone());
        let all = TraceExport { resource_spans: vec![ResourceSpans { resource, scope_spans }] };
        all.encode_to_vec().into()
    }
}

fn resource(settings: &TracingSettings) -> SpanResource {
    let mut attributes = SpanAttributes::default();
    attributes.text("service.name", &*settings.service);
    attributes.text("service.version", env!("CARGO_PKG_VERSION"));
    attributes.text("service.instance.id", uuid::Uuid::new_v4().to_string());
    attributes.whole("process.pid", i64::from(std::process::id()));
    SpanResource { attributes: attributes.into_list() }
}

/// A span waits for this long at most, where the collector takes it.
const PAUSE: Duration = Duration::from_secs(1);
/// Times that an export is sent.
const ATTEMPTS: u32 = 4;
/// Before the second time; it doubles.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, whatever a collector asks for.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
