//! Names against scripted look-ups in paused time, and against a name server over real packets.

mod dns_server;
mod keeping;
mod packets;
