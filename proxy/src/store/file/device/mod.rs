//! The device: a file of fixed length as a disk and as memory, the lock on it, and whether it can
//! be trusted.

pub(crate) mod disk;
pub(crate) mod lock;
pub(crate) mod segment_state;
mod sync;
pub(crate) mod mmap;
pub(crate) mod trusted;
#[cfg(test)]
pub(crate) mod simulated;
