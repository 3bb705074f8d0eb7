//! `Record`: the parts of a Kafka record that the reader uses.

use std::time::SystemTime;

/// A record as it was consumed, borrowed from its buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Time at which it was produced or appended, if the broker reports it.
    pub timestamp: Option<SystemTime>,
    /// Its key: by convention the id of the site that changed.
    pub key: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Returns `topic/partition@offset`, which names the record in its cluster.
    pub fn place(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, self.offset)
    }

    /// Returns whether a purger wrote it to repeat a purge after a delay (`settleMs`). It is a
    /// `CloudEvent` in structured mode, whatever the format of the events in its topic.
    pub(super) fn is_repetition(&self) -> bool {
        self.payload.is_some_and(|payload| payload.starts_with(REPETITION))
    }

    /// Returns the value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut lines = self.headers.iter();
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// The first bytes of a repetition: an extension attribute. Brokers before 0.11 know no headers.
pub(super) const REPETITION: &[u8] = br#"{"shellacrepetition":true,"#;
