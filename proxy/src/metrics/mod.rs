//! The metrics page, as the modules that count make it up.

pub(crate) mod family;
