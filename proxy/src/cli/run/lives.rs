//! `Lives`: what serves in this process after a new one could not take over.

use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use process::signals::LeaveSignal;

use super::{Signals, live};
use crate::server::{Bound, Configuration, Drained, StartError};
use crate::store::file::OpenError;
use crate::upgrade::Upgrades;

#[derive(Debug)]
pub(super) struct Lives {
    threads: Mutex<Vec<JoinHandle<Result<Drained, StartError>>>>,
    /// Why none began when one had to.
    failure: Mutex<Option<StartError>>,
    upgrades: OnceLock<Upgrades>,
    told: Arc<OnceLock<LeaveSignal>>,
    configuration: Configuration,
}

impl Lives {
    pub(super) fn new(told: Arc<OnceLock<LeaveSignal>>, configuration: Configuration) -> Self {
        let (threads, failure, upgrades) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Self { threads, failure, upgrades, told, configuration }
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
            let Some(thread) = self.threads.lock().pop() else { break };
            last = thread.join().ok();
        }
        self.failure.lock().take().map(Err).or(last)
    }
}

/// Returns what serves again in this process.
pub(super) fn revival(lives: &Arc<Lives>) -> Box<dyn Fn(Result<Bound, OpenError>) + Send + Sync> {
    let lives = Arc::clone(lives);
    Box::new(move |bound| {
        let begun = bound.map_err(StartError::Store).and_then(|bound| lives.begin(bound));
        if let Err(error) = begun {
            *lives.failure.lock() = Some(error);
        }
    })
}

#[cfg(test)]
mod tests {
    use settings::{Flags, Sources, WrittenSettings};

    use super::*;

    #[test]
    fn a_store_that_cannot_be_opened_again_is_a_failure_for_whoever_restarts_the_program() {
        let sources = Sources::without_file(Flags::default());
        let configuration = Configuration { sources, written: WrittenSettings::default() };
        let lives = Arc::new(Lives::new(Arc::default(), configuration));
        assert!(lives.last().is_none(), "what the first life came to is said");
        revival(&lives)(Err(OpenError::InUse("/store".into())));
        assert!(matches!(lives.last(), Some(Err(StartError::Store(_)))));
    }
}
