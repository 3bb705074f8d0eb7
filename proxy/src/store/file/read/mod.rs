//! Reading: a stored body, a window at a time.

pub(crate) mod file_body;
