//! The primitives of `segment_state`: the standard library's here, loom's where every order is
//! tried (`proxy/loom`).

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

pub(crate) use parking_lot::Mutex;
