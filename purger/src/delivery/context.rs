//! `DeliveryContext`: what all deliveries share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use process::clock::Clock;
use tokio::sync::Semaphore;

use crate::dead_letter::DeadLetters;
use crate::intake::Intake;
use crate::kafka::context::GroupConsumer;
use crate::kafka::cursor::Cursors;
use crate::metrics::PurgerMetrics;
use crate::receipt::Receipts;

/// What all deliveries share.
#[derive(Debug)]
pub struct DeliveryContext {
    /// This purger's name, for proxies' logs.
    pub name: String,
    /// The operator's rules.
    pub rules: settings::Purger,
    /// For proxies that catch up.
    pub cursors: Arc<Cursors>,
    /// Cursors open at once.
    pub cursor_permits: Arc<Semaphore>,
    /// Where logs begin and end.
    pub brokers: GroupConsumer,
    /// Reads records.
    pub intake: Intake,
    /// For purges that a proxy refuses.
    pub dead_letters: DeadLetters,
    /// Records that proxies refuse, and whose dead letters are being written.
    pub refusals: Arc<Semaphore>,
    /// Those of them that are being read.
    pub refused_readers: Arc<Semaphore>,
    /// Receipts, if they are written.
    pub receipts: Option<Receipts>,
    /// What happened.
    pub metrics: Arc<PurgerMetrics>,
    /// Wall time, for ages of events.
    pub clock: Clock,
}

impl DeliveryContext {
    /// Wall time.
    pub fn wall_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.wall().as_millis())
    }
}
