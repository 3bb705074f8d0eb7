//! `Departure`: notices that the client of a request that takes longer has left.
//!
//! A client may end its side of the connection after its request and wait for the answer (RFC 9112
//! §9.6 calls it a half-close): `shutdown(SHUT_WR)`, `nc -N`. One that leaves ends its side, too,
//! and only a write would tell them apart. The moment does: who half-closes does so with the
//! request, who leaves does so while it waits. So an end that comes within [`HALF_CLOSE`] after the
//! last byte of the request is a half-close, and the answer is sent. A later one ends the
//! connection, as a reset always does, and with it the work for what no other client may share.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::activity::Activity;
use crate::transport::Transport;

#[derive(Debug, Default)]
pub(super) struct Departure {
    is_half_closed: bool,
}

impl Departure {
    /// Fails when the client has left; else it registers the task for when it does.
    ///
    /// Takes nothing of what is to be read, and looks only while something takes longer: a hit
    /// costs one load.
    pub(super) fn check(
        &mut self,
        stream: &mut Transport,
        activity: &Activity,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if self.is_half_closed || !activity.is_busy() {
            return Ok(());
        }
        match stream.poll_readable(cx) {
            Poll::Pending | Poll::Ready(Ok(true)) => Ok(()),
            Poll::Ready(Ok(false)) if activity.since_read() < HALF_CLOSE => {
                self.is_half_closed = true;
                Ok(())
            }
            Poll::Ready(Ok(false)) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client has left"))
            }
            Poll::Ready(Err(error)) => Err(error),
        }
    }
}

/// The time after the last byte of a request the end of its client's side means that it waits for
/// the answer.
const HALF_CLOSE: Duration = Duration::from_secs(1);
