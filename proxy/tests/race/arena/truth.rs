//! `Truth`: the version that each page has, and the one than which none older may be shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The versions of all pages, by number, and the deployment that makes them. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Truth(Arc<[Versions]>, Arc<AtomicU64>);

#[derive(Debug, Default)]
struct Versions {
    current: AtomicU64,
    /// Raised when a purge is answered. Sequentially consistent, as are all here: the tests judge
    /// the proxy's order, so their own must be beyond doubt.
    floor: AtomicU64,
}

impl Truth {
    pub(crate) fn new(pages: usize) -> Self {
        Self((0..pages).map(|_| Versions::default()).collect(), Arc::new(AtomicU64::new(1)))
    }

    /// The present deployment. Read before the versions of its pages.
    pub(crate) fn deployment(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }

    /// Another deployment takes the place, after its pages have changed.
    pub(crate) fn deploy(&self) -> u64 {
        self.1.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The page's version at this moment.
    pub(crate) fn current(&self, page: usize) -> u64 {
        self.0[page].current.load(Ordering::SeqCst)
    }

    /// The page changes. Returns its new version.
    pub(crate) fn change(&self, page: usize) -> u64 {
        self.0[page].current.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Requires this version or a later one for every later request.
    pub(crate) fn forbid_before(&self, page: usize, version: u64) {
        self.0[page].floor.fetch_max(version, Ordering::SeqCst);
    }

    /// The oldest version that a request which begins now may be shown.
    pub(crate) fn oldest_allowed(&self, page: usize) -> u64 {
        self.0[page].floor.load(Ordering::SeqCst)
    }
}
