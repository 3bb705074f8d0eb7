//! `EventStreams`: the clients that follow events, each with a way that holds one event.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::limit::{Limit, Permit};
use crate::metrics::family::{Family, Sample};
use process::metrics::Counter;

/// The streams of all clients.
#[derive(Debug)]
pub struct EventStreams {
    permits: Arc<Limit>,
    opened: Counter,
    refused: Counter,
    dropped: Counter,
}

/// The way to one client. Nobody waits for a client but the task that has this.
#[derive(Debug)]
pub struct EventSender {
    events: mpsc::Sender<Bytes>,
    streams: Arc<EventStreams>,
}

/// The other end. Dropped, it tells the sender to end.
#[derive(Debug)]
pub struct EventReceiver {
    events: mpsc::Receiver<Bytes>,
    _permit: Permit,
}

impl Default for EventStreams {
    fn default() -> Self {
        Self {
            permits: Limit::new(STREAMS_MAX),
            opened: Counter::default(),
            refused: Counter::default(),
            dropped: Counter::default(),
        }
    }
}

impl EventStreams {
    /// Begins a stream. `None`: there are too many.
    pub fn open(self: &Arc<Self>) -> Option<(EventSender, EventReceiver)> {
        let Some(permit) = self.permits.try_acquire() else {
            self.refused.add(1);
            return None;
        };
        self.opened.add(1);
        let (sender, events) = mpsc::channel(1);
        let sender = EventSender { events: sender, streams: Arc::clone(self) };
        Some((sender, EventReceiver { events, _permit: permit }))
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let ends =
            [("refused", &self.refused), ("dropped", &self.dropped)].map(|(reason, counter)| {
                Sample::counter([("reason", reason.to_owned())], counter.value())
            });
        vec![
            Family::gauge(
                "shellac_admin_streams",
                "Clients that follow events of the admin listener",
                self.permits.in_use(),
            ),
            Family::counter(
                "shellac_admin_streams_opened",
                "EventStreams of events that were begun",
                self.opened.value(),
            ),
            Family::labelled(
                "shellac_admin_streams_cut",
                "EventStreams of events that were refused, as there are too many, or dropped, as the client took nothing",
                ends.into_iter(),
            ),
        ]
    }
}

impl EventSender {
    /// Sends an event, and returns whether the client is still there. One that takes nothing for
    /// [`STALLED`] is dropped.
    pub async fn send(&self, event: Bytes) -> bool {
        match timeout(STALLED, self.events.send(event)).await {
            Ok(sent) => sent.is_ok(),
            Err(_elapsed) => {
                self.streams.dropped.add(1);
                tracing::debug!("a client that follows events takes nothing, and is dropped");
                false
            }
        }
    }

    /// Waits until the client has left.
    pub async fn closed(&self) {
        self.events.closed().await;
    }
}

impl EventReceiver {
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.poll_recv(cx)
    }
}

/// Clients that follow events at once, of all kinds.
pub const STREAMS_MAX: usize = 32;
/// The time after which a client that takes nothing is dropped.
const STALLED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_dropped_and_counted() {
        let streams = Arc::new(EventStreams::default());
        let (sender, receiver) = streams.open().unwrap();
        assert!(sender.send(Bytes::from_static(b"1")).await);
        assert!(!sender.send(Bytes::from_static(b"2")).await, "the first one is not taken");
        assert_eq!((streams.opened.value(), streams.dropped.value()), (1, 1));
        drop(receiver);
        assert!(!sender.send(Bytes::from_static(b"3")).await);
        assert_eq!(streams.dropped.value(), 1, "one that left was not dropped");
        assert_eq!(streams.permits.in_use(), 0);
    }

    #[tokio::test]
    async fn there_is_a_limit_of_streams() {
        let streams = Arc::new(EventStreams::default());
        let open: Vec<_> = (0..STREAMS_MAX).map(|_| streams.open().unwrap()).collect();
        assert!(streams.open().is_none());
        assert_eq!(streams.refused.value(), 1);
        drop(open);
        assert!(streams.open().is_some());
    }
}
