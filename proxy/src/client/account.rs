//! `Account`: the bytes that are held for the requests of one client connection while they are
//! fetched.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one client connection is charged for.
#[derive(Debug, Default)]
pub struct Account(AtomicU64);

impl Account {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn charge(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
