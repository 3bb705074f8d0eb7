//! `Logs`: the logs of requests, as the settings say.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use process::clock::Clock;
use process::stderr;
use settings::{AccessLogTarget, Config};

use super::access_log::AccessLog;
use super::line_queue::AccessCounts;
use super::live_log::{self, LiveLog};
use crate::front::record_sinks::{RecordSink, RecordSinks};
use crate::metrics::family::{Family, Sample};
use crate::policy::LiveSettings;

#[derive(Debug)]
pub struct Logs {
    access: Mutex<Option<Arc<AccessLog>>>,
    access_counts: Arc<AccessCounts>,
    live: Arc<LiveLog>,
    sinks: Arc<RecordSinks>,
    live_settings: Arc<LiveSettings>,
    workers: usize,
    clock: Clock,
}

impl Logs {
    pub fn new(
        config: &Config,
        live_settings: &Arc<LiveSettings>,
        clock: &Clock,
        sinks: &Arc<RecordSinks>,
    ) -> Self {
        let (own, settings) = (Arc::clone(sinks), Arc::clone(live_settings));
        Self {
            live: LiveLog::new(own, settings, clock.clone()),
            sinks: Arc::clone(sinks),
            access: Mutex::new(None),
            access_counts: Arc::default(),
            live_settings: Arc::clone(live_settings),
            workers: config.workers,
            clock: clock.clone(),
        }
    }

    /// Logs as these settings say. A log whose settings are the same goes on.
    pub fn configure(&self, config: &Config) {
        let settings = &config.log.access;
        self.live.redact(settings);
        let mut access = self.access.lock();
        if access.as_ref().is_some_and(|log| log.settings == *settings) {
            return;
        }
        let log = if settings.target == AccessLogTarget::Off {
            None
        } else {
            let (live, clock) = (Arc::clone(&self.live_settings), self.clock.clone());
            let counts = Arc::clone(&self.access_counts);
            AccessLog::start(settings, self.workers, live, (counts, clock))
                .inspect_err(|error| tracing::error!(%error, "cannot start the access log"))
                .ok()
                .map(Arc::new)
        };
        let sink = log.as_ref().map(|log| -> Arc<dyn RecordSink> { Arc::<AccessLog>::clone(log) });
        if sink.is_some() || access.is_some() {
            self.sinks.replace(ACCESS, sink);
        }
        if let Some(before) = std::mem::replace(&mut *access, log) {
            before.writer.queue.close();
        }
    }

    /// Returns the log for those who watch.
    pub const fn live(&self) -> &Arc<LiveLog> {
        &self.live
    }

    /// Opens the files again. Returns how many there are.
    pub fn reopen(&self) -> usize {
        let access = self.access.lock();
        let log =
            access.as_ref().filter(|log| matches!(log.settings.target, AccessLogTarget::File(_)));
        if let Some(log) = log {
            log.writer.reopen();
        }
        usize::from(log.is_some())
    }

    /// Ends the logs, for which lines may wait a moment longer.
    pub fn close(&self) {
        let log = self.access.lock().take();
        if let Some(log) = log {
            self.sinks.replace(ACCESS, None);
            log.close(CLOSING_PATIENCE);
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let AccessCounts { written, dropped, failures } = &*self.access_counts;
        let live = self.live.counts();
        let of = |access, live: Option<u64>| {
            let sinks = [(ACCESS, Some(access)), (live_log::NAME, live)].into_iter();
            sinks.filter_map(|(sink, count)| {
                Some(Sample::counter([("sink", sink.to_owned())], count?))
            })
        };
        vec![
            Family::labelled(
                "shellac_log_lines",
                "Lines of logs that were written, or handed to those who watch",
                of(written.value(), Some(live.lines.value())),
            ),
            Family::labelled(
                "shellac_log_dropped",
                "Lines of logs that found no room, or could not be written",
                of(dropped.value(), Some(live.dropped.value()))
                    .chain([Sample::counter([("sink", PROGRAM.to_owned())], stderr::dropped())]),
            ),
            Family::labelled(
                "shellac_log_failures",
                "Writes to the target of a log that failed",
                of(failures.value(), None),
            ),
        ]
    }
}

const ACCESS: &str = "access";
/// The log of the program itself.
const PROGRAM: &str = "program";

/// Who stops the proxy does not wait for a pipe that nobody reads.
const CLOSING_PATIENCE: Duration = Duration::from_secs(1);
