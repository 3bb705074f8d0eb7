//! Writing: the threads of an open store, and what each of them does.

pub(crate) mod queue;
pub(crate) mod threads;
pub(crate) mod writer;
pub(crate) mod eviction;
pub(crate) mod segment_log;
pub(crate) mod recovery;
pub(crate) mod sweeper;
