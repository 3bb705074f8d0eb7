//! `AdminAcceptor`: accepts at the admin addresses, on the control thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::admin::Admin;
use crate::listener::Listeners;
use crate::listener::sockets::Opening;

/// Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct AdminAcceptor(Arc<Listeners<Admin>>);

impl AdminAcceptor {
    pub(super) const fn new(listeners: Arc<Listeners<Admin>>) -> Self {
        Self(listeners)
    }

    /// Accepts from now on at these addresses. Runs within the control runtime.
    pub(super) fn accept(&self, openings: Vec<Opening>) {
        for Opening { listener, closing, sockets } in openings {
            for socket in sockets.into_iter().flatten() {
                match socket.into_acceptor() {
                    Ok(acceptor) => {
                        self.0.start_accepting(acceptor, listener.clone(), closing.clone());
                    }
                    Err(error) => tracing::error!(%error, "an admin socket cannot be used"),
                }
            }
        }
    }

    /// Leaves the addresses to another process. Who is connected gets one more answer.
    pub(super) fn leave(&self) {
        self.0.drain.hand_over();
    }

    /// Waits for those who are connected, for this long at most.
    pub(super) async fn finished(&self, patience: Duration) {
        let _elapsed = timeout(patience, self.0.drain.finished()).await;
    }
}
