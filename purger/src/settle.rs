//! Delayed repetitions of purges: a renderer that reads from a lagging replica may render the old
//! page just after a purge.
//!
//! A purge may ask to be repeated after some delays. The repetition is an event in the same topic,
//! so that every proxy gets it whatever its position. Until it is written, the first event's offset
//! is not committed: if the purger dies, the next one writes it.

use tokio::time::{Instant, sleep_until};

use crate::event::{PurgeEvent, repetition};
use crate::kafka::producer::Producer;
use crate::partition::Partition;

#[derive(Clone, Debug)]
pub struct Settler {
    producer: Producer,
}

impl Settler {
    pub const fn new(producer: Producer) -> Self {
        Self { producer }
    }

    /// Writes the event to the partition's topic when it is due; returns whether it is written. If
    /// the partition is revoked before, another purger writes it.
    pub async fn repeat(
        &self,
        partition: &Partition,
        key: Option<&[u8]>,
        event: &PurgeEvent,
        due: Instant,
    ) -> bool {
        let json = repetition(event);
        let write = async {
            sleep_until(due).await;
            self.producer.insist(&partition.log.topic, key, &json).await
        };
        let written = tokio::select! {
            written = write => written,
            () = partition.revoked.cancelled() => return false,
        };
        match written {
            Ok(_written) => true,
            Err(error) => {
                tracing::error!(%error, id = event.id, "a delayed purge is too large for its topic");
                true
            }
        }
    }
}
