//! What the parts that answer a request may know of the connection that it came on.

pub mod account;
pub mod busy;
pub mod exchange;
pub mod peer;
pub mod received;
