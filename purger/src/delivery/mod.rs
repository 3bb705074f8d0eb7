//! Delivery: every proxy gets every purge of every assigned partition, in order, whatever the
//! others do.
//!
//! ```text
//! discovery ─► fleet ─┬─► target (one proxy: its connections, its health)
//!                     └─► Delivery (one proxy × one partition)
//!                           locate ─► slice of the window, or catch_up ─► batch_sender ─► POST
//! ```

pub mod context;
pub mod cursor_threads;
pub mod discovery;
pub mod fleet;
pub mod fold;
pub mod outcome;
pub mod refusal;
pub mod target;

mod batch_sender;
mod catch_up;
mod chunk;
mod encoding;
mod locate;
mod parts;
mod batch_patience;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::batch_sender::{BatchSender, SendResult};
use self::catch_up::catch_up;
use self::context::DeliveryContext;
use self::locate::locate;
use self::target::Target;
use crate::partition::Partition;

/// Delivers one partition to one proxy, sequentially: a batch is sent when the one before is
/// confirmed, and records that are read meanwhile gather for the next. The first purge is sent
/// immediately.
#[derive(Debug)]
struct Delivery {
    sender: BatchSender,
}

impl Delivery {
    fn new(context: Arc<DeliveryContext>, target: Arc<Target>, partition: Arc<Partition>) -> Self {
        Self { sender: BatchSender::new(context, target, partition) }
    }

    /// Delivers until the partition is revoked or the proxy is forgotten.
    async fn run(mut self) {
        let (closing, gone) =
            (self.sender.partition.closing.clone(), self.sender.target.gone.clone());
        tokio::select! {
            () = closing.cancelled() => {}
            () = gone.cancelled() => {}
            () = self.deliver() => {}
        }
        self.sender.partition.release(self.sender.target.id);
        self.sender.target.forget_position(self.sender.log());
    }

    async fn deliver(&mut self) {
        let mut read_to = self.sender.partition.read_to();
        loop {
            let mut next = locate(&mut self.sender).await;
            loop {
                next = match self.step(next, &mut read_to).await {
                    SendResult::Confirmed(next) => next,
                    SendResult::LocateAgain => break,
                };
            }
        }
    }

    /// Sends the next batch, or a heartbeat if no record is read for a while.
    async fn step(&mut self, next: i64, read_to: &mut watch::Receiver<i64>) -> SendResult {
        let heartbeat =
            self.sender.sent.unwrap_or_else(Instant::now) + self.sender.context.rules.heartbeat;
        tokio::select! {
            () = has_more(read_to, next) => self.pace(next).await,
            () = sleep_until(heartbeat) => {}
        }
        match self.sender.partition.slice(next, self.sender.context.rules.batch) {
            Some(slice) => self.sender.send(&slice, None).await,
            None => catch_up(&mut self.sender, next).await,
        }
    }

    /// Waits for more purges, unless this is the first for a while or one of them is urgent.
    async fn pace(&self, next: i64) {
        let Some(due) = self.sender.sent.map(|sent| sent + self.sender.context.rules.linger) else {
            return;
        };
        let is_urgent = || {
            let slice = self.sender.partition.slice(next, self.sender.context.rules.batch);
            slice.is_some_and(|slice| slice.is_urgent)
        };
        if Instant::now() < due && !is_urgent() {
            sleep_until(due).await;
        }
    }
}

/// Waits until a record at or above `next` has been read.
async fn has_more(read_to: &mut watch::Receiver<i64>, next: i64) {
    if read_to.wait_for(|read_to| *read_to > next).await.is_err() {
        std::future::pending::<()>().await; // the partition is gone, and this delivery ends
    }
}
