//! A socket that shows every byte read from it: what crossed is not what a parser made of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::in_time;

/// The bytes that were read, of all connections, in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<watch::Sender<Vec<u8>>>);

/// A socket whose incoming bytes are noted.
#[derive(Debug)]
pub(super) struct Tap {
    stream: TcpStream,
    wire: Wire,
}

impl Wire {
    /// Returns whether these bytes came, in any case of letters.
    pub(crate) fn has(&self, bytes: &str) -> bool {
        contains(&self.0.borrow(), bytes.as_bytes())
    }

    /// Waits until these bytes have come.
    pub(crate) async fn seen(&self, bytes: &str) {
        let mut changes = self.0.subscribe();
        let come = changes.wait_for(|all| contains(all, bytes.as_bytes()));
        drop(in_time(bytes, come).await.unwrap());
    }

    pub(super) fn forget(&self) {
        self.0.send_modify(Vec::clear);
    }
}

impl Tap {
    pub(super) const fn new(stream: TcpStream, wire: Wire) -> Self {
        Self { stream, wire }
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            self.wire.0.send_modify(|all| all.extend_from_slice(came));
        }
        read
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn contains(all: &[u8], bytes: &[u8]) -> bool {
    all.windows(bytes.len()).any(|window| window.eq_ignore_ascii_case(bytes))
}
