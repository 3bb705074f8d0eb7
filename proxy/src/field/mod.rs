//! Header fields, one field or grammar a file: pure, from text to values and back.

pub mod cache_status;
pub mod content_range;
pub mod delta_seconds;
pub mod entity_tag;
pub mod grpc;
pub mod hop_by_hop;
pub mod http_date;
pub mod range;
pub mod server_timing;
pub mod trace_context;
pub(crate) mod uri_reference;
