//! Reading: a stored response, and its body a window at a time.

pub(crate) mod response;
pub(crate) mod file_body;
