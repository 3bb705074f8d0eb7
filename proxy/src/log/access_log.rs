//! `AccessLog`: the sink that has a line written for each request.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use process::clock::Clock;
use settings::{AccessFormat, AccessLogSettings, FormatPiece};

use super::line_queue::AccessCounts;
use super::logged_request::LoggedRequest;
use super::redaction::Redaction;
use super::writer::Writer;
use super::{filtered, json_line, text_line};
use crate::cache::record::RequestRecord;
use crate::front::record_sinks::{RecordSink, Wants};
use crate::policy::LiveSettings;

#[derive(Debug)]
pub(super) struct AccessLog {
    pub(super) settings: AccessLogSettings,
    pub(super) writer: Arc<Writer>,
    redaction: Redaction,
    live: Arc<LiveSettings>,
    clock: Clock,
}

impl AccessLog {
    /// Begins to log: starts the writer.
    pub(super) fn start(
        settings: &AccessLogSettings,
        workers: usize,
        live: Arc<LiveSettings>,
        (counts, clock): (Arc<AccessCounts>, Clock),
    ) -> std::io::Result<Self> {
        let writer = Writer::start(settings, workers, (counts, clock.clone()))?;
        let redaction = Redaction::new(settings);
        Ok(Self { settings: settings.clone(), writer, redaction, live, clock })
    }

    /// Returns whether a request has a line, and the share of requests that it stands for.
    #[expect(clippy::option_option, reason = "a line that is never left out stands for itself")]
    fn is_logged(&self, request: &LoggedRequest<'_>) -> Option<Option<u32>> {
        let sample = self.settings.sample;
        if sample >= ALL || self.settings.always.iter().any(|it| filtered::means(it, request)) {
            return Some(None);
        }
        (chance() < sample).then_some(Some(sample))
    }

    /// Waits for the lines that are on their way, for this long at most.
    pub(super) fn close(&self, patience: Duration) {
        self.writer.queue.close();
        self.writer.queue.wait_closed(patience);
    }
}

impl RecordSink for AccessLog {
    fn wants(&self) -> Wants {
        let named = |piece: &FormatPiece| match piece {
            FormatPiece::ResponseField(name) => HeaderName::try_from(name.as_str()).ok(),
            _ => None,
        };
        let response_fields = match &self.settings.format {
            AccessFormat::Json => Vec::new(),
            AccessFormat::Text(pieces) => pieces.iter().filter_map(named).collect(),
        };
        Wants { details: true, response_fields, spans: None }
    }

    fn take(&self, record: &RequestRecord) {
        let current = self.live.local();
        let wall = self.clock.wall().as_millis();
        let Some(request) = LoggedRequest::of(record, &current, wall) else { return };
        let Some(sample) = self.is_logged(&request) else { return };
        self.writer.queue.push(|line| match &self.settings.format {
            AccessFormat::Json => json_line::push(line, &request, &self.redaction, sample),
            AccessFormat::Text(pieces) => {
                text_line::push(line, pieces, &request, &self.redaction);
            }
        });
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.writer.queue.close();
    }
}

/// Returns a number below a million, another one each time (xorshift).
pub(super) fn chance() -> u32 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(uuid::Uuid::new_v4().as_u64_pair().0 | 1);
    }
    let mut state = STATE.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    u32::try_from((state >> 11) % u64::from(ALL)).unwrap_or_default()
}

/// A million millionths.
const ALL: u32 = 1_000_000;
