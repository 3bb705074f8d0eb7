//! `ReopenedStore`: the receiver of late changes after an upgrade that failed with the store.

use std::io;
use std::sync::Arc;

use http::Uri;
use tokio::runtime::Handle;

use crate::purge::{PurgeExecutor, Successor};

/// The store that was opened again.
#[derive(Debug)]
pub(super) struct ReopenedStore {
    pub(super) executor: Arc<PurgeExecutor>,
    pub(super) runtime: Handle,
}

/// The store could not be opened again.
#[derive(Debug)]
pub(super) struct NoSuccessor;

impl Successor for ReopenedStore {
    fn invalidate(&self, uris: &[Uri], host: &[u8], groups: &[String]) -> io::Result<()> {
        let purging = self.executor.invalidate_uris(uris, (host, groups), None);
        let _marked = self.runtime.block_on(purging);
        Ok(())
    }
}

impl Successor for NoSuccessor {
    fn invalidate(&self, _uris: &[Uri], _host: &[u8], _groups: &[String]) -> io::Result<()> {
        Err(io::Error::other("no process serves what was stored"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_store_no_change_counts_as_purged() {
        assert!(NoSuccessor.invalidate(&[], b"a", &[]).is_err());
    }
}
