//! Header fields, one field or grammar a file: pure, from text to values and back.

pub mod cache_status;
pub mod range;
