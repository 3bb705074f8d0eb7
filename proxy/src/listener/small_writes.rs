//! `SmallWrites`: frames that go to the socket together.
//!
//! The library writes each frame of content by itself: a response of 1 KiB costs a system call, and
//! over TLS a record. The frames of requests that are answered in one turn wait here until the
//! library flushes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::Write;

#[derive(Debug, Default)]
pub(super) struct SmallWrites {
    bytes: Vec<u8>,
    /// The number of bytes at the front that are written.
    written: usize,
}

impl SmallWrites {
    /// Takes these bytes and returns their number, or `None` if they are many or there is no room.
    pub(super) fn take(&mut self, bufs: &[IoSlice<'_>]) -> Option<usize> {
        let count = bufs.iter().map(|buf| buf.len()).sum();
        if count > SMALL || self.bytes.len() + count > ROOM {
            return None;
        }
        for buf in bufs {
            self.bytes.extend_from_slice(buf);
        }
        Some(count)
    }

    /// Writes what waits. Ready when nothing does.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut (impl Write + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(waiting) =
            self.bytes.get(self.written..).filter(|waiting| !waiting.is_empty())
        {
            match ready!(Pin::new(&mut *stream).poll_write(cx, waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        *self = Self::default(); // an idle connection holds no memory for it
        Poll::Ready(Ok(()))
    }
}

/// The largest write that is copied: for more, a system call costs less than the copy.
const SMALL: usize = 4 << 10;
/// As much as one record of TLS holds (RFC 8446 §5.1).
const ROOM: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes some bytes at a time, and nothing at every other call.
    #[derive(Debug, Default)]
    struct Socket {
        taken: Vec<u8>,
        is_full: bool,
    }

    impl Write for Socket {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_full = !self.is_full;
            if !self.is_full {
                return Poll::Pending;
            }
            let count = buf.len().min(1000);
            self.taken.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn bytes_reach_a_slow_socket_whole_and_in_order() {
        let (mut writes, mut socket) = (SmallWrites::default(), Socket::default());
        let mut expected = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for number in 0..100_u8 {
            let (head, content) = ([number; 9], vec![number; 700]);
            let bufs = [IoSlice::new(&head), IoSlice::new(&content)];
            let mut calls = 0;
            while writes.take(&bufs).is_none() {
                let _later = writes.poll_write(&mut socket, &mut cx);
                calls += 1;
                assert!(calls < 100);
            }
            expected.extend_from_slice(&head);
            expected.extend_from_slice(&content);
        }
        while writes.poll_write(&mut socket, &mut cx).is_pending() {}

        assert_eq!(socket.taken, expected);
        assert_eq!(writes.bytes.capacity(), 0);
    }

    #[test]
    fn a_large_write_is_not_copied() {
        let large = vec![0; SMALL + 1];
        assert_eq!(SmallWrites::default().take(&[IoSlice::new(&large)]), None);
    }
}
