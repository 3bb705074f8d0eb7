//! The format of the two files: `record` draws `store.dat`, `journal` draws `store.log`.

pub(crate) mod codec;
pub(crate) mod record;
pub(crate) mod extent;
pub(crate) mod head;
pub(crate) mod page;
pub(crate) mod footer;
pub(crate) mod postings;
pub(crate) mod filter;
pub(crate) mod superblock;
pub(crate) mod journal;
pub(crate) mod clocks;
mod marks;
