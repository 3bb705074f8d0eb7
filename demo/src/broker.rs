//! A Kafka cluster of one broker in this process: librdkafka's mock, on a free port of this
//! machine. It keeps records in memory.

use std::fmt;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// The cluster. It ends when this is dropped.
pub(super) struct Broker {
    pub(super) address: String,
    _cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    pub(super) fn start() -> Result<Self, KafkaError> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(PURGES, PARTITIONS, 1)?;
        cluster.create_topic(RECEIPTS, 1, 1)?;
        Ok(Self { address: cluster.bootstrap_servers(), _cluster: cluster })
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

pub(super) const PURGES: &str = "cache-purge";
pub(super) const RECEIPTS: &str = "cache-purge-receipts";
pub(super) const PARTITIONS: i32 = 3;
