//! `GroupConsumer`: the member of the group, which can be replaced.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use purge_protocol::log::LogId;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;

use super::assignment::Assignment;
use super::client;
use super::context::{GroupContext, TokenSource};

/// The group's consumer: it may be asked from any thread, and is polled by one. Clones share it.
#[derive(Clone)]
pub struct GroupConsumer(Arc<Inner>);

struct Inner {
    current: Mutex<Arc<BaseConsumer<GroupContext>>>,
    config: ClientConfig,
    tokens: TokenSource,
    assignment: Arc<Assignment>,
}

impl GroupConsumer {
    /// Makes a consumer, which connects at its first call.
    pub fn new(
        config: ClientConfig,
        tokens: TokenSource,
        assignment: Arc<Assignment>,
    ) -> Result<Self, KafkaError> {
        let current = Mutex::new(Arc::new(make(&config, &tokens, &assignment)?));
        Ok(Self(Arc::new(Inner { current, config, tokens, assignment })))
    }

    pub fn current(&self) -> Arc<BaseConsumer<GroupContext>> {
        Arc::clone(&self.0.current.lock())
    }

    /// Returns the oldest offset of the log and the one behind its newest. Blocks.
    pub fn watermarks(&self, log: &LogId) -> Result<(i64, i64), KafkaError> {
        client::watermarks(&self.current(), &log.topic, log.partition, client::PATIENCE)
    }

    /// Puts a new consumer with the same subscription in the place of one that has no partitions,
    /// and returns the old one. Closing that may block.
    pub(super) fn replace(&self) -> Result<Arc<BaseConsumer<GroupContext>>, KafkaError> {
        let Inner { config, tokens, assignment, .. } = &*self.0;
        let next = make(config, tokens, assignment)?;
        let old = self.current();
        let subscription = old.subscription()?;
        let topics = subscription.elements();
        let topics: Vec<&str> = topics.iter().map(TopicPartitionListElem::topic).collect();
        next.subscribe(&topics)?;
        old.context().replace();
        *self.0.current.lock() = Arc::new(next);
        Ok(old)
    }
}

fn make(
    config: &ClientConfig,
    tokens: &TokenSource,
    assignment: &Arc<Assignment>,
) -> Result<BaseConsumer<GroupContext>, KafkaError> {
    config.create_with_context(GroupContext::of_group(tokens.clone(), Arc::clone(assignment)))
}

impl fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupConsumer")
    }
}
