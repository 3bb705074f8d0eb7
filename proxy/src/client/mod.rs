//! The client's side of an exchange: facts about its connection for the parts that answer a
//! request.

pub mod account;
pub mod busy;
pub mod end_address;
pub mod exchange;
pub mod peer;
pub mod received;
pub mod untrusted_claims;
