//! Delayed second purges: a renderer that reads from a lagging replica may render the old page just after a purge.
//!
//! A purge may ask to be repeated after some delays. The repetition is an event in the same topic, so that every proxy gets
//! it wherever it stands. Until it is written, the first event's offset is not committed: a purger that dies meanwhile has it
//! written by whoever takes over.

use tokio::time::{Instant, sleep_until};

use crate::event::{PurgeEvent, cloud_event};
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

    /// Waits until it is due, then writes the event to the partition's topic; returns whether it is written. Another purger
    /// does it when the partition was revoked meanwhile.
    pub async fn repeat(
        &self,
        partition: &Partition,
        key: Option<&[u8]>,
        event: &PurgeEvent,
        due: Instant,
    ) -> bool {
        let json = cloud_event(event);
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
