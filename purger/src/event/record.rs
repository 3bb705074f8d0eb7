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

    /// Returns the value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut lines = self.headers.iter();
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}
