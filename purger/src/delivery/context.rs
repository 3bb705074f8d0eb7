//! `DeliveryContext`: settings, clients and counters that all deliveries share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use process::clock::Clock;
use tokio::sync::Semaphore;

use super::cursor_threads::CursorThreads;
use crate::dead_letter::DeadLetters;
use crate::intake::Intake;
use crate::kafka::cursor::Cursors;
use crate::kafka::group_consumer::GroupConsumer;
use crate::metrics::PurgerMetrics;
use crate::receipt::Receipts;

#[derive(Clone, Debug)]
pub struct DeliveryContext {
    pub name: String,
    pub rules: settings::PurgerSettings,
    pub cursors: Arc<Cursors>,
    pub cursor_threads: Arc<CursorThreads>,
    /// For the first and the last offsets of logs.
    pub brokers: GroupConsumer,
    /// Questions for these offsets at once, each of which blocks a thread.
    pub questions: Arc<Semaphore>,
    pub intake: Intake,
    pub dead_letters: DeadLetters,
    /// Permits for records that proxies refuse while their dead letters are written.
    pub refusals: Arc<Semaphore>,
    pub refused_readers: Arc<Semaphore>,
    /// Receipts, if they are written.
    pub receipts: Option<Receipts>,
    pub metrics: Arc<PurgerMetrics>,
    pub clock: Clock,
}

impl DeliveryContext {
    pub fn wall_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.wall().as_millis())
    }
}

/// More do not make the brokers answer faster.
pub const QUESTIONS_MAX: usize = 16;
