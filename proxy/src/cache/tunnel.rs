//! Tunnels: after a 101, bytes go both ways until both sides have ended, one fails, or none has
//! moved for too long.

use std::pin::pin;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{Instant, sleep_until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelEnd {
    Closed,
    /// No byte had moved for too long.
    Idle,
}

/// Joins two upgraded connections until both directions have ended, one has failed, or no byte has
/// moved for `idle`.
///
/// When one side was reset, the other is told at once, by the end of its connection: bytes on their
/// way to the first are lost.
pub(super) async fn tunnel(client: OnUpgrade, origin: OnUpgrade, idle: Duration) -> TunnelEnd {
    let (Ok(client), Ok(origin)) = tokio::join!(client, origin) else { return TunnelEnd::Closed };
    let (client_read, client_write) = split(TokioIo::new(client));
    let (origin_read, origin_write) = split(TokioIo::new(origin));
    let moved = Mutex::new(Instant::now());
    let both = async {
        tokio::try_join!(
            copy(client_read, origin_write, &moved),
            copy(origin_read, client_write, &moved)
        )
    };
    let mut both = pin!(both);
    loop {
        let deadline = *moved.lock() + idle;
        tokio::select! {
            _ = &mut both => return TunnelEnd::Closed,
            () = sleep_until(deadline) => {
                if *moved.lock() + idle <= Instant::now() {
                    return TunnelEnd::Idle;
                }
            }
        }
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &Mutex<Instant>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        *moved.lock() = Instant::now();
        to.write_all(buffer.get(..length).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

const BUFFER_BYTES: usize = 16 << 10;
