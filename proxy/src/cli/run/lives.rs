//! `Lives`: what serves in this process after a new one could not take over.

use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use process::logging;
use process::signals::LeaveSignal;
use settings::LogSettings;

use super::{Signals, live};
use crate::server::{Bound, Configuration, Drained, StartError};
use crate::upgrade::Upgrades;

#[derive(Debug)]
pub(super) struct Lives {
    threads: Mutex<Vec<JoinHandle<Result<Drained, StartError>>>>,
    upgrades: OnceLock<Upgrades>,
    told: Arc<OnceLock<LeaveSignal>>,
    configuration: Configuration,
}

impl Lives {
    pub(super) fn new(told: Arc<OnceLock<LeaveSignal>>, configuration: Configuration) -> Self {
        Self { threads: Mutex::default(), upgrades: OnceLock::new(), told, configuration }
    }

    /// Says where those that begin are asked to hand over.
    pub(super) fn set(&self, upgrades: Upgrades) {
        let _first = self.upgrades.get_or_init(|| upgrades);
    }

    fn begin(&self, bound: Bound) -> Result<(), StartError> {
        let Some(upgrades) = self.upgrades.get().cloned() else { return Ok(()) };
        let bound = bound.reloading(self.configuration.clone());
        let signals = Signals::listen().map_err(StartError::Signals)?;
        let told = Arc::clone(&self.told);
        let serve = move || live(bound, signals, (None, upgrades, told));
        let thread = thread::Builder::new().name("main-again".into()).spawn(serve)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Waits for all, and returns how the last one ended; `None`: there was none.
    pub(super) fn last(&self) -> Option<Result<Drained, StartError>> {
        let mut last = None;
        loop {
            let Some(thread) = self.threads.lock().pop() else { return last };
            last = thread.join().ok();
        }
    }
}

/// Returns what serves again in this process.
pub(super) fn revival(lives: &Arc<Lives>, log: &LogSettings) -> Box<dyn Fn(Bound) + Send + Sync> {
    let (lives, log) = (Arc::clone(lives), log.clone());
    Box::new(move |bound| {
        if let Err(error) = lives.begin(bound) {
            logging::say_failure(&log, "shellac", &error);
        }
    })
}
