//! Reads the topic of receipts, in which the purger reports each proxy's confirmations.

use rdkafka::Offset;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use tokio::time::timeout;

use super::broker::{PURGES, RECEIPTS};
use super::client::{ClientError, PATIENCE};
use super::publisher::tokens;
use super::stage::Stage;
use shellac_purger::kafka::client;
use shellac_purger::kafka::context::PlainContext;
use shellac_purger::kafka::producer::Written;
use shellac_purger::receipt::Receipt;

pub(super) struct ReceiptReader(StreamConsumer<PlainContext>);

impl ReceiptReader {
    pub(super) fn open(stage: &Stage) -> Result<Self, KafkaError> {
        let config = &stage.purger.config;
        let consumer: StreamConsumer<PlainContext> = client::cursor(&config.kafka, &config.purger)
            .set("enable.partition.eof", "false") // more records will follow
            .create_with_context(PlainContext::plain(tokens()))?;
        consumer.assign(&client::partition_at(RECEIPTS, 0, Offset::Beginning)?)?;
        Ok(Self(consumer))
    }

    /// Waits for the receipt of a purge; those that come before it are passed over.
    pub(super) async fn of(&self, purge: Written) -> Result<Receipt, ClientError> {
        let is_of = |receipt: &Receipt| {
            receipt.log.topic == PURGES
                && (receipt.log.partition, receipt.offset) == (purge.partition, purge.offset)
        };
        let found = async {
            loop {
                match self.0.recv().await {
                    Ok(message) => {
                        let receipt = serde_json::from_slice(message.payload().unwrap_or(b""))?;
                        if is_of(&receipt) {
                            return Ok(receipt);
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        timeout(PATIENCE, found).await.map_err(ClientError::late)?
    }
}

impl std::fmt::Debug for ReceiptReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipts")
    }
}
