//! `Busy`: keeps a connection from counting as idle while one of its requests is answered.

use std::fmt;
use std::sync::Arc;

/// A connection that learns when work for one of its requests ends.
pub trait WorkObserver: fmt::Debug + Send + Sync {
    fn on_work_ended(&self);
}

/// Work for a request of a connection, which ends when this is dropped. The default is the work of
/// no connection.
#[derive(Debug, Default)]
pub struct Busy(Option<Arc<dyn WorkObserver>>);

impl Busy {
    pub(crate) fn new(connection: Arc<dyn WorkObserver>) -> Self {
        Self(Some(connection))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.on_work_ended();
        }
    }
}
