//! Reloads as the rest of the program sees them: a queue of requests, what became of each, and the
//! configuration that holds.
//!
//! The server takes the requests one after the other, since it has the sockets.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::family::{Family, Sample};
use process::metrics::Counter;
use process::timestamp::Timestamp;
use settings::{ConfigErrors, EffectiveSetting, Problem, SettingChange, WrittenSettings};

/// Asks for the configuration to be read again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Says what would change, and changes nothing.
    pub is_trial: bool,
    /// The name of the caller, for the log.
    pub cause: &'static str,
    pub answer: oneshot::Sender<Result<ReloadReport, ReloadError>>,
}

/// The changes of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    pub is_trial: bool,
    /// The name of the file, if there is one.
    pub file: Option<String>,
    /// The hash of the configuration that holds now.
    pub hash: String,
    pub changed: Vec<SettingChange>,
    /// Settings that differ from those of the start, and hold from the next start on.
    pub needs_restart: Vec<SettingChange>,
    /// Settings of the purger that changed, which this program does not read.
    pub of_purger: Vec<String>,
    pub opened: Vec<String>,
    pub closed: Vec<String>,
    pub warnings: Vec<String>,
    pub took_micros: u64,
}

/// The reason why a reload has changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    /// The operator mends the file.
    #[error("{0}: nothing is changed")]
    Invalid(ConfigErrors),
    #[error("{0}: nothing is changed")]
    Unreadable(String),
    /// Some address cannot be bound. The operator frees it or chooses another.
    #[error("{0}: nothing is changed")]
    CannotBind(String),
    /// Not now, or not in this process.
    #[error("{0}")]
    Refused(&'static str),
}

/// Requests, and the outcome of the last.
#[derive(Debug)]
pub struct Reloads {
    requests: mpsc::Sender<ReloadRequest>,
    taken: Mutex<Option<mpsc::Receiver<ReloadRequest>>>,
    state: Mutex<ReloadState>,
    /// The current configuration as it was written, where that is known.
    written: Mutex<Option<WrittenSettings>>,
    restart_needed: AtomicU64,
    /// Another process is about to take over, with the configuration that it has read.
    is_held: AtomicBool,
    outcomes: [Counter; OUTCOMES.len()],
}

/// The configuration that holds, and how the last reload ended.
#[derive(Clone, Debug)]
struct ReloadState {
    hash: String,
    is_successful: bool,
    /// Why the last one failed.
    problem: Option<String>,
    succeeded: Timestamp,
}

impl Reloads {
    /// Begins with the configuration of the start, which holds since `now`.
    pub fn new(now: Timestamp) -> Self {
        let (requests, receiver) = mpsc::channel(WAITING_MAX);
        let state =
            ReloadState { hash: String::new(), is_successful: true, problem: None, succeeded: now };
        Self {
            requests,
            taken: Mutex::new(Some(receiver)),
            state: Mutex::new(state),
            written: Mutex::default(),
            restart_needed: AtomicU64::new(0),
            is_held: AtomicBool::new(false),
            outcomes: Default::default(),
        }
    }

    /// Reads the configuration again and applies it, after all requests that were made before.
    pub async fn reload(
        &self,
        cause: &'static str,
        is_trial: bool,
    ) -> Result<ReloadReport, ReloadError> {
        let (answer, outcome) = oneshot::channel();
        let request = ReloadRequest { is_trial, cause, answer };
        if self.requests.try_send(request).is_err() {
            return Err(ReloadError::Refused("other reloads wait already, or the proxy ends"));
        }
        outcome.await.unwrap_or(Err(ReloadError::Refused("the proxy ends: nothing is changed")))
    }

    /// Returns the requests, to the one who takes them.
    pub(crate) fn take_requests(&self) -> Option<mpsc::Receiver<ReloadRequest>> {
        self.taken.lock().take()
    }

    /// Says whether reloads are to be refused, as a process that takes over would not know of them.
    pub(crate) fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    pub fn hash(&self) -> String {
        self.state.lock().hash.clone()
    }

    /// Returns the hash of the configuration that holds, since when it does, and why the last
    /// reload has changed nothing, if it has not.
    pub fn summary(&self) -> (String, Timestamp, Option<String>) {
        let ReloadState { hash, problem, succeeded, .. } = self.state.lock().clone();
        (hash, succeeded, problem)
    }

    /// Returns all settings that hold, with their sources.
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        self.written.lock().clone().unwrap_or_default().effective()
    }

    /// Goes on after these: the same configuration holds.
    pub(crate) fn resumed(&self, now: Timestamp) -> Self {
        let this = Self::new(now);
        *this.state.lock() = self.state.lock().clone();
        this.written.lock().clone_from(&self.written.lock());
        this.restart_needed.store(self.restart_needed.load(Ordering::Relaxed), Ordering::Relaxed);
        for (own, other) in this.outcomes.iter().zip(&self.outcomes) {
            own.add(other.value());
        }
        this
    }

    /// Returns what the configuration that holds was written as: this, if none is known yet.
    pub(crate) fn start_with(&self, written: &WrittenSettings) -> WrittenSettings {
        let written = self.written.lock().get_or_insert_with(|| written.clone()).clone();
        self.state.lock().hash = written.hash();
        written
    }

    /// Notes what holds from now on.
    pub(crate) fn adopt(&self, written: WrittenSettings) {
        *self.written.lock() = Some(written);
    }

    /// Notes how a reload ended. One that was only tried leaves no trace.
    pub(crate) fn note(
        &self,
        outcome: &Result<ReloadReport, ReloadError>,
        (is_trial, now): (bool, Timestamp),
    ) {
        let place = match outcome {
            _ if is_trial => return,
            Ok(report) => {
                *self.state.lock() = ReloadState {
                    hash: report.hash.clone(),
                    is_successful: true,
                    problem: None,
                    succeeded: now,
                };
                self.restart_needed.store(report.needs_restart.len() as u64, Ordering::Relaxed);
                0
            }
            Err(ReloadError::Invalid(_)) => 1,
            Err(ReloadError::Unreadable(_)) => 2,
            Err(ReloadError::CannotBind(_)) => 3,
            Err(ReloadError::Refused(_)) => 4,
        };
        if let Err(error) = outcome {
            let mut state = self.state.lock();
            state.is_successful = false;
            state.problem = Some(error.to_string());
        }
        if let Some(counter) = self.outcomes.get(place) {
            counter.add(1);
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let state = self.state.lock().clone();
        let outcomes = OUTCOMES.iter().zip(&self.outcomes).map(|(outcome, counter)| {
            Sample::counter([("outcome", (*outcome).to_owned())], counter.value())
        });
        let hash = std::iter::once(Sample::gauge("hash", &state.hash, 1));
        vec![
            Family::gauge(
                "shellac_config_last_reload_successful",
                "Whether the last reload of the configuration was applied, or none was asked for",
                u64::from(state.is_successful),
            ),
            Family::gauge(
                "shellac_config_last_reload_success_timestamp_seconds",
                "Time of the last reload that was applied, or of the start",
                state.succeeded.as_millis() / 1000,
            ),
            Family::gauge(
                "shellac_config_restart_needed",
                "Settings that were changed since the start and hold from the next start on",
                self.restart_needed.load(Ordering::Relaxed),
            ),
            Family::labelled(
                "shellac_config_info",
                "The hash of the configuration that holds",
                hash,
            ),
            Family::labelled(
                "shellac_config_reloads",
                "Reloads of the configuration by how they ended",
                outcomes,
            ),
        ]
    }
}

impl ReloadReport {
    pub(crate) fn document(&self) -> Value {
        let change = |change: &SettingChange| json!({"setting": change.setting, "before": change.before, "after": change.after});
        let changes = |all: &[SettingChange]| all.iter().map(change).collect::<Vec<_>>();
        json!({
            "applied": !self.is_trial,
            "file": self.file,
            "hash": self.hash,
            "changed": changes(&self.changed),
            "needs_restart": changes(&self.needs_restart),
            "of_purger": self.of_purger,
            "listeners": {"opened": self.opened, "closed": self.closed},
            "warnings": self.warnings,
            "took_us": self.took_micros,
        })
    }
}

impl ReloadError {
    /// Returns a word for programs.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "bad_configuration",
            Self::Unreadable(_) => "unreadable",
            Self::CannotBind(_) => "cannot_bind",
            Self::Refused(_) => "refused",
        }
    }

    /// Returns the problems of a configuration, and how a terminal shows them.
    pub(crate) fn problems(&self) -> Option<(Vec<Value>, String)> {
        let Self::Invalid(errors) = self else { return None };
        let one = |problem: &Problem| {
            json!({
                "message": problem.to_string(),
                "place": problem.location(),
                "help": problem.advice(),
            })
        };
        Some((errors.problems().iter().map(one).collect(), errors.rendered()))
    }
}

/// Reloads that wait for another.
const WAITING_MAX: usize = 8;
/// The result of a reload, in metrics.
const OUTCOMES: [&str; 5] = ["applied", "invalid", "unreadable", "cannot_bind", "refused"];

#[cfg(test)]
mod tests {
    use super::*;

    fn change(setting: &str) -> SettingChange {
        SettingChange { setting: setting.to_owned(), before: None, after: Some("1".to_owned()) }
    }

    #[test]
    fn a_failed_reload_is_noted_until_one_succeeds() {
        let reloads = Reloads::new(Timestamp::from_secs(10));
        let start = WrittenSettings::default();
        reloads.start_with(&start);
        let shown = |reloads: &Reloads| crate::metrics::family::page(reloads.families()).unwrap();
        assert!(shown(&reloads).contains("shellac_config_last_reload_successful 1\n"));

        let failed = Err(ReloadError::Unreadable("gone".to_owned()));
        reloads.note(&failed, (false, Timestamp::from_secs(20)));
        let page = shown(&reloads);
        assert!(page.contains("shellac_config_last_reload_successful 0\n"), "{page}");
        assert!(page.contains("success_timestamp_seconds 10\n"), "{page}");
        assert!(page.contains("reloads_total{outcome=\"unreadable\"} 1\n"), "{page}");
        let info = format!("shellac_config_info{{hash=\"{}\"}} 1\n", start.hash());
        assert!(page.contains(&info), "{page}");

        let needs_restart = vec![change("workers")];
        let report = ReloadReport { hash: "b".to_owned(), needs_restart, ..Default::default() };
        reloads.note(&Ok(report), (false, Timestamp::from_secs(30)));
        let page = shown(&reloads);
        assert!(page.contains("shellac_config_last_reload_successful 1\n"), "{page}");
        assert!(page.contains("success_timestamp_seconds 30\n"), "{page}");
        assert!(page.contains("shellac_config_restart_needed 1\n"), "{page}");
        assert!(page.contains("shellac_config_info{hash=\"b\"} 1\n"), "{page}");

        let resumed = reloads.resumed(Timestamp::from_secs(40));
        assert_eq!(shown(&resumed), page, "a failed upgrade forgets nothing");
    }

    #[test]
    fn a_trial_leaves_no_trace() {
        let reloads = Reloads::new(Timestamp::from_secs(10));
        let report = ReloadReport { is_trial: true, ..Default::default() };
        let before = crate::metrics::family::page(reloads.families()).unwrap();
        for outcome in [Ok(report), Err(ReloadError::Unreadable("gone".to_owned()))] {
            reloads.note(&outcome, (true, Timestamp::from_secs(20)));
        }
        assert_eq!(crate::metrics::family::page(reloads.families()).unwrap(), before);
        assert_eq!(reloads.summary().2, None);
    }

    #[tokio::test]
    async fn a_request_that_nobody_will_take_is_refused() {
        let reloads = Reloads::new(Timestamp::from_secs(10));
        drop(reloads.take_requests());
        let refused = reloads.reload("test", false).await;
        assert!(matches!(refused, Err(ReloadError::Refused(_))), "{refused:?}");
    }
}
