//! `Reloader`: reads the configuration again and applies it as a whole, or changes nothing.
//!
//! ```text
//! same file, environment, flags ─► check ─► bind what is new ─► settings, listeners, log, limits
//!                                    └─────────┴─► a failure: nothing is changed
//! ```

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::admin_acceptor::AdminAcceptor;
use super::workers::WorkerOrders;
use crate::app::App;
use crate::app::reload::{ReloadError, ReloadReport, ReloadRequest};
use crate::listener::sockets::{Changed, OpenSockets};
use crate::policy::{self, is_fixed_at_start};
use process::descriptors::raise_descriptor_limit;
use process::{logging, notify};
use settings::{Config, ConfigErrors, SettingChange, Sources, WrittenSettings};

/// The source of the configuration, and its text.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub sources: Sources,
    pub written: WrittenSettings,
}

#[derive(Debug)]
pub(super) struct Reloader {
    app: Arc<App>,
    orders: WorkerOrders,
    sockets: Arc<OpenSockets>,
    admin: AdminAcceptor,
    /// `None` where the settings did not come from sources that can be read.
    start: Option<Configuration>,
    current: WrittenSettings,
}

/// A configuration that was read again and is sound.
struct LoadedConfiguration {
    sources: Sources,
    config: Config,
    written: WrittenSettings,
}

impl Reloader {
    pub(super) fn new(
        app: Arc<App>,
        orders: WorkerOrders,
        sockets: Arc<OpenSockets>,
        admin: AdminAcceptor,
        start: Option<Configuration>,
    ) -> Self {
        let current = start.as_ref().map(|start| app.reloads.start_with(&start.written));
        let current = current.unwrap_or_default();
        Self { app, orders, sockets, admin, start, current }
    }

    /// Takes one request after the other. Never returns before the drain begins.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<ReloadRequest>) {
        while let Some(ReloadRequest { is_trial, cause, answer }) = requests.recv().await {
            let tells_manager = !is_trial && self.app.is_announced();
            if tells_manager {
                notify::reloading();
            }
            let outcome = self.reload(is_trial).await;
            self.app.reloads.note(&outcome, (is_trial, self.app.clock().wall()));
            if !is_trial {
                log(&outcome, cause);
            }
            if tells_manager {
                notify::ready(&status(&outcome));
            }
            let _asker_may_be_gone = answer.send(outcome);
        }
    }

    async fn reload(&mut self, is_trial: bool) -> Result<ReloadReport, ReloadError> {
        let begun = Instant::now();
        self.check_stays()?;
        let loaded = self.load().await?;
        let mut report = self.compare(&loaded);
        report.is_trial = is_trial;
        if !is_trial {
            self.apply(loaded, &mut report).await?;
        }
        report.took_micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(report)
    }

    /// Returns an error if another process will serve instead, or none.
    fn check_stays(&self) -> Result<(), ReloadError> {
        let app = &self.app;
        let is_over = app.is_leaving() || app.listeners.drain.is_begun() || app.reloads.is_held();
        if is_over { Err(ReloadError::Refused(LEAVING)) } else { Ok(()) }
    }

    async fn load(&self) -> Result<LoadedConfiguration, ReloadError> {
        let Some(start) = &self.start else {
            return Err(ReloadError::Refused(
                "there is no configuration that could be read again: nothing is changed",
            ));
        };
        let sources = start.sources.clone();
        let load = move || {
            let unreadable = |error: std::io::Error| ReloadError::Unreadable(error.to_string());
            let sources = sources.again().map_err(unreadable)?;
            let invalid = |errors: ConfigErrors| ReloadError::Invalid(errors);
            let (config, written) =
                Config::load_written(&sources, policy::inspect).map_err(invalid)?;
            Ok(LoadedConfiguration { sources, config, written })
        };
        tokio::task::spawn_blocking(load)
            .await
            .unwrap_or(Err(ReloadError::Refused("reading the configuration failed")))
    }

    fn compare(&self, loaded: &LoadedConfiguration) -> ReloadReport {
        let is_of_purger = |change: &SettingChange| {
            PURGER.iter().any(|table| change.setting.split('.').next() == Some(table))
        };
        let all = self.current.changes_to(&loaded.written);
        let (of_purger, own): (Vec<_>, Vec<_>) = all.into_iter().partition(is_of_purger);
        let changed = own.into_iter().filter(|change| !is_fixed_at_start(&change.setting));
        let since_start =
            self.start.as_ref().map(|start| start.written.changes_to(&loaded.written));
        let since_start = since_start.unwrap_or_default().into_iter();
        ReloadReport {
            file: loaded.sources.file.as_ref().map(|(name, _)| name.clone()),
            hash: loaded.written.hash(),
            changed: changed.collect(),
            needs_restart: since_start.filter(|it| is_fixed_at_start(&it.setting)).collect(),
            of_purger: of_purger.into_iter().map(|change| change.setting).collect(),
            warnings: loaded.config.warnings.iter().map(ToString::to_string).collect(),
            ..ReloadReport::default()
        }
    }

    /// Binds what is new; from there on nothing can fail.
    async fn apply(
        &mut self,
        loaded: LoadedConfiguration,
        report: &mut ReloadReport,
    ) -> Result<(), ReloadError> {
        let LoadedConfiguration { config, written, .. } = loaded;
        let change = self.sockets.prepare(&config);
        let change = change.map_err(|error| ReloadError::CannotBind(error.to_string()))?;
        let adopt = |changed: &Changed, listen| {
            for (id, heir) in &changed.begun {
                self.app.front.metrics.begin(*id, *heir);
            }
            self.app.reconfigure_with(&config, listen);
        };
        self.check_stays()?; // it may have begun while the configuration was read
        let Some((traffic, admin)) = self.sockets.apply(change, adopt) else {
            return Err(ReloadError::Refused(LEAVING));
        };
        self.orders.accept(traffic.openings).await;
        self.admin.accept(admin.openings);
        for closing in traffic.closings.iter().chain(&admin.closings) {
            closing.cancel();
        }
        self.orders.take_settings().await;
        let settings = self.app.settings.current();
        if let Err(error) = tokio::task::spawn_blocking(move || settings.tls.refresh()).await {
            tracing::error!(%error, "looking for new certificates failed");
        }
        logging::change(&config.log);
        if report.changed.iter().any(|change| change.setting == "limits.max_connections") {
            raise_descriptor_limit(config.limits.max_connections);
        }
        self.app.reloads.adopt(written.clone());
        self.current = written;
        report.opened = [traffic.opened, admin.opened].concat();
        report.closed = [traffic.closed, admin.closed].concat();
        Ok(())
    }
}

fn log(outcome: &Result<ReloadReport, ReloadError>, cause: &'static str) {
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            tracing::error!(cause, "reload: {error}");
            if let ReloadError::Invalid(errors) = error {
                for problem in errors.problems() {
                    let place = problem.location().unwrap_or_default();
                    tracing::error!(place, help = problem.advice(), "reload: {problem}");
                }
            }
            return;
        }
    };
    for change in report.changed.iter().take(LOGGED_MAX) {
        tracing::info!("reload: {change}");
    }
    for change in &report.needs_restart {
        tracing::warn!("reload: {change}: holds from the next start on");
    }
    for listener in &report.opened {
        tracing::info!("reload: listens on {listener}");
    }
    for listener in &report.closed {
        tracing::info!("reload: listens no longer on {listener}");
    }
    for warning in &report.warnings {
        tracing::warn!("reload: {warning}");
    }
    tracing::info!(
        cause,
        hash = report.hash,
        changed = report.changed.len(),
        needs_restart = report.needs_restart.len(),
        micros = report.took_micros,
        "reload: applied"
    );
}

/// Returns what the service manager shows.
fn status(outcome: &Result<ReloadReport, ReloadError>) -> String {
    match outcome {
        Ok(report) if report.needs_restart.is_empty() => {
            format!("serving, configuration {} reloaded", report.hash)
        }
        Ok(report) => format!(
            "serving, configuration {} reloaded, {} settings need a restart",
            report.hash,
            report.needs_restart.len()
        ),
        Err(error) => format!("serving, the last reload failed: {error}"),
    }
}

const LEAVING: &str = "the proxy drains, or hands over to another process: nothing is changed";
/// The tables that only the purger reads.
const PURGER: [&str; 2] = ["kafka", "purger"];
/// Settings that are logged, of one reload.
const LOGGED_MAX: usize = 100;
