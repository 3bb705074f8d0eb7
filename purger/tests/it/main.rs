//! The purger over real sockets: librdkafka's mock cluster on one side, proxies that keep a diary on the other.

mod support;

mod answers;
mod catching_up;
mod delivery;
mod effects;
mod leases;
