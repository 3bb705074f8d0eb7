//! The purger end to end on genuine Apache Kafka: real brokers, real proxies, real purgers, all of
//! them killed, stopped and restarted as it happens. Each test is named after what must never
//! happen.
//!
//! Needs Java and npm: `purger/tests/kafka/kafka.sh` installs and runs Kafka 0.9.0.1, and says what
//! is missing. Everything listens on loopback, on free ports, in temporary directories, and ends
//! with the test's process, however that ends.

#[cfg(test)]
mod support;

#[cfg(test)]
mod commands;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod forgotten;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod settle;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod topics;
