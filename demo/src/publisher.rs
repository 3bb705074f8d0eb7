//! A publisher: writes purges to Kafka, and polls the proxy until it has applied them.

use std::time::Duration;

use process::clock::Clock;
use process::timestamp::Timestamp;
use purge_protocol::log::{LogId, LogState, Position};
use purge_protocol::{PurgeMode, PurgeRequest};
use tokio::time::{Instant, sleep, timeout};

use super::broker::{PARTITIONS, PURGES};
use super::client::{ClientConnection, ClientError, PATIENCE};
use super::stage::Stage;
use shellac_purger::kafka::context::TokenSource;
use shellac_purger::kafka::producer::{Producer, Written};

#[derive(Debug)]
pub(super) struct Publisher {
    producer: Producer,
    proxy: ClientConnection,
}

#[derive(Debug)]
pub(super) struct Purged {
    pub(super) event: String,
    pub(super) written: Written,
    /// From the moment it was given to the producer until the proxy's position was past it.
    pub(super) took: Duration,
}

impl Publisher {
    pub(super) async fn open(stage: &Stage) -> Result<Self, ClientError> {
        let proxy = ClientConnection::open(stage.proxy.admin).await?;
        let producer = Producer::new(&stage.purger.config.kafka, tokens())?;
        Ok(Self { producer, proxy })
    }

    /// Waits until the purger has joined its group, and the proxy follows all partitions.
    pub(super) async fn ready(&mut self) -> Result<(), ClientError> {
        let ready = async {
            loop {
                let log_status = self.proxy.log_status().await?;
                let partitions = log_status.positions.len();
                if log_status.state == LogState::Current
                    && i32::try_from(partitions) == Ok(PARTITIONS)
                {
                    return Ok(());
                }
                sleep(READY_POLL).await;
            }
        };
        timeout(READY_PATIENCE, ready).await.unwrap_or(Err(ClientError::Late))
    }

    /// Writes a purge of a tag, and waits until the proxy has applied it.
    pub(super) async fn purge(
        &mut self,
        tag: &str,
        mode: PurgeMode,
    ) -> Result<Purged, ClientError> {
        let mode = (mode == PurgeMode::Soft).then_some(mode); // hard is the default
        let request = PurgeRequest { tags: vec![tag.to_owned()], mode, ..Default::default() };
        let event = serde_json::to_string(&request)?;
        let begun = Instant::now();
        let write = self.producer.write(PURGES, Some(tag.as_bytes()), event.as_bytes());
        let written = timeout(PATIENCE, write).await.map_err(ClientError::late)??;
        let applied = async {
            while !self.is_applied(written).await? {
                sleep(POLL).await;
            }
            Ok::<_, ClientError>(begun.elapsed())
        };
        let took = timeout(PATIENCE, applied).await.map_err(ClientError::late)??;
        Ok(Purged { event, written, took })
    }

    async fn is_applied(&mut self, written: Written) -> Result<bool, ClientError> {
        let is_past = |position: &Position| {
            let LogId { topic, partition, .. } = &position.log;
            topic == PURGES && *partition == written.partition && position.next > written.offset
        };
        Ok(self.proxy.log_status().await?.positions.iter().any(is_past))
    }
}

/// The broker asks for none.
pub(super) fn tokens() -> TokenSource {
    TokenSource { file: None, clock: Clock::manual(Timestamp::default()) }
}

/// A new group waits 3 s for members.
const READY_PATIENCE: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(20);
const POLL: Duration = Duration::from_millis(1);
