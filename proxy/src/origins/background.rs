//! `Background`: starts tasks of origins on the control runtime, so that no worker's requests wait
//! for them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Tasks that are started before the runtime is known begin when it is. A task ends by itself when
/// what it works for is gone.
#[derive(Clone, Default)]
pub(crate) struct Background(Arc<Mutex<BackgroundStage>>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

enum BackgroundStage {
    Waiting(Vec<Task>),
    Running(Handle),
}

impl Background {
    /// Begins the tasks that wait, and any further one, on this runtime.
    pub(crate) fn run_on(&self, runtime: Handle) {
        let mut stage = self.0.lock();
        if let BackgroundStage::Waiting(tasks) = &mut *stage {
            tasks.drain(..).for_each(|task| drop(runtime.spawn(task)));
        }
        *stage = BackgroundStage::Running(runtime);
    }

    pub(super) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &mut *self.0.lock() {
            BackgroundStage::Waiting(tasks) => tasks.push(Box::pin(task)),
            BackgroundStage::Running(runtime) => drop(runtime.spawn(task)),
        }
    }
}

impl Default for BackgroundStage {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}
