//! What `word` is made of: the standard library's here, loom's where every order is tried (`proxy/loom`).

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};

pub(super) use parking_lot::Mutex;
