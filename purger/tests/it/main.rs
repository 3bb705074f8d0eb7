//! The purger over real sockets: librdkafka's mock cluster on one side, proxies that keep a diary
//! on the other.

#[cfg(test)]
mod support;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod catching_up;
#[cfg(test)]
mod catching_up_at_size;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod login;
#[cfg(test)]
mod page;
#[cfg(test)]
mod pending;
#[cfg(test)]
mod probes;
