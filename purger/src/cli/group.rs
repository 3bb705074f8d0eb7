//! The consumer group from the outside: its committed offsets, and whether it has members.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use settings::Config;

use super::topic::{BrokerClient, causes_of};
use crate::kafka::cause::{code_words, words};
use crate::kafka::client::{self, PATIENCE};

/// Asks for the group's committed offsets; the error names the remedy.
pub(super) fn committed(
    broker: &BrokerClient,
    config: &Config,
    partitions: &TopicPartitionList,
) -> Result<TopicPartitionList, String> {
    let refused = RDKafkaErrorCode::GroupAuthorizationFailed;
    let remedy = "give the purger's user READ on this group";
    let consumer = broker.cursors.offset_client(&config.purger.group).map_err(|e| words(&e))?;
    let found = client::committed(&consumer, partitions).map_err(|error| {
        // A denied look-up of the coordinator is reported as an event, while the call waits in
        // vain.
        let causes = causes_of(&consumer);
        let is_refused = error.rdkafka_error_code() == Some(refused)
            || causes.iter().any(|cause| cause.contains(&code_words(refused)));
        match causes.last() {
            _ if is_refused => format!("not allowed: {remedy}"),
            Some(cause) => format!("{}; {cause}", words(&error)),
            None => words(&error),
        }
    })?;
    let failed = found.elements().iter().find_map(|element| element.error().err());
    match failed {
        Some(error) if error.rdkafka_error_code() == Some(refused) => {
            Err(format!("not allowed: {remedy}"))
        }
        Some(error) => Err(words(&error)),
        None => Ok(found),
    }
}

/// Returns a problem if the brokers report that the group has no members.
pub(super) fn missing_members(broker: &BrokerClient, config: &Config) -> Option<String> {
    let name = &config.purger.group;
    let groups = broker.consumer().client().fetch_group_list(Some(name), PATIENCE).ok()?;
    let group = groups.groups().iter().find(|group| group.name() == name);
    group
        .is_none_or(|group| group.members().is_empty())
        .then(|| format!("no purger is running in group {name}: start `shellac-purger run`"))
}
