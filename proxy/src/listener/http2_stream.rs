//! `Http2Stream`: a client's socket with HTTP/2 on it. What is written while the connection is
//! polled once leaves together at the end of the poll: the library flushes after each frame.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::activity::Activity;
use super::stalls::Stalls;
use super::unsent::unsent;
use crate::transport::Transport;

/// Clones are the same socket: hyper has one, the task of the connection another, by which it sends
/// what was written.
#[derive(Clone, Debug)]
pub(super) struct Http2Stream(Arc<Mutex<Http2Socket>>);

#[derive(Debug)]
struct Http2Socket {
    inner: TokioIo<Transport>,
    activity: Arc<Activity>,
    stalls: Arc<Stalls>,
    /// Bytes that were written and not sent; empty between polls, unless the socket is full.
    batch: Vec<u8>,
    /// Bytes may be in TLS that were not sent.
    is_unflushed: bool,
    /// The socket took no more.
    is_blocked: bool,
    /// Sending failed: the library learns of it when it writes or flushes.
    failure: Option<io::ErrorKind>,
}

impl Http2Stream {
    pub(super) fn new(stream: Transport, (activity, stalls): (Arc<Activity>, Arc<Stalls>)) -> Self {
        Self(Arc::new(Mutex::new(Http2Socket {
            inner: TokioIo::new(stream),
            activity,
            stalls,
            batch: Vec::new(),
            is_unflushed: false,
            is_blocked: false,
            failure: None,
        })))
    }

    /// Sends what was written since the last time, as far as the socket takes it.
    pub(super) fn send_written(&self, cx: &mut Context<'_>) {
        let mut socket = self.0.lock();
        if !socket.is_unflushed {
            return;
        }
        if let Poll::Ready(Err(error)) = socket.poll_send(cx) {
            socket.failure = Some(error.kind());
            cx.waker().wake_by_ref();
        }
    }
}

impl Http2Socket {
    /// Sends everything that was written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_batch(cx);
        let flushed = match sent {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_flush(cx),
            other => other,
        };
        if flushed.is_pending() {
            self.is_blocked = true;
            self.note_blocked(cx);
        } else {
            self.is_unflushed = false;
            if mem::take(&mut self.is_blocked) {
                self.activity.on_write(0);
            }
        }
        flushed
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.batch.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.batch))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(self.batch.drain(..count.min(self.batch.len()))),
            }
        }
        if self.batch.capacity() > 0 {
            SPARE.set(mem::take(&mut self.batch));
        }
        Poll::Ready(Ok(()))
    }

    fn note_blocked(&self, cx: &Context<'_>) {
        let held = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
        let unsent = unsent(self.inner.inner()).map(|unsent| unsent.saturating_add(held));
        self.activity.on_blocked(unsent);
        self.stalls.add(&self.activity, cx.waker());
    }

    /// Ready when there is room for so many bytes, or more than a batch is to be written.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure {
            return Poll::Ready(Err(failure.into()));
        }
        if self.is_blocked {
            ready!(self.poll_send(cx))?;
        }
        if self.batch.len() + bytes > BATCH_BYTES_MAX {
            let sent = self.poll_batch(cx);
            if sent.is_pending() {
                self.is_blocked = true;
                self.note_blocked(cx);
            }
            return sent;
        }
        Poll::Ready(Ok(()))
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.batch.capacity() == 0 {
            self.batch = SPARE.take();
        }
        self.batch.extend_from_slice(bytes);
        self.is_unflushed = true;
    }

    /// Tells the client which of its streams were reset; ready when nothing stands in the way of
    /// hyper's frames.
    fn poll_resets(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let resets = self.activity.streams.lock().to_client().to_vec();
        if resets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_room(cx, resets.len()))?;
        self.append(&resets);
        self.activity.streams.lock().sent_to_client(resets.len());
        Poll::Ready(Ok(()))
    }

    /// Reads frames, and shows hyper the end of streams that were reset as if the client had reset
    /// them.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let _written_later = self.poll_resets(cx)?;
        if self.activity.is_unwanted() && self.inner.inner_mut().has_input() {
            self.activity.make_wanted();
        }
        let mut streams = self.activity.streams.lock();
        if let Some(resets) = streams.take_for_library(buf.remaining()) {
            buf.put_slice(&resets);
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let most = buf.remaining().min(scratch.len());
            let mut read = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(self.inner.inner_mut()).poll_read(cx, &mut read))?;
            streams.received(read.filled());
            buf.put_slice(read.filled());
            Poll::Ready(Ok(()))
        })
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_resets(cx))?;
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        ready!(self.poll_room(cx, bytes))?;
        let now = self.activity.now(); // before the client can have seen it
        let count = if self.batch.len() + bytes <= BATCH_BYTES_MAX {
            for buf in bufs {
                self.append(buf);
            }
            bytes
        } else {
            self.is_unflushed = true;
            match Pin::new(&mut self.inner).poll_write_vectored(cx, bufs) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.note_blocked(cx);
                    return Poll::Pending;
                }
            }
        };
        if self.activity.streams.lock().sent(bufs, count, now) {
            self.stalls.add(&self.activity, cx.waker());
        }
        self.activity.on_write(count);
        Poll::Ready(Ok(count))
    }
}

impl Read for Http2Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut socket = self.0.lock();
        let read = socket.poll_read(cx, &mut buf);
        if read.is_ready() {
            socket.activity.on_read();
        }
        read
    }
}

impl Write for Http2Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, &[IoSlice::new(buf)])
    }

    /// Leaves what was written to [`send_written`](Http2Stream::send_written), unless the socket is
    /// full: then nothing more is to be written before it has room.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.0.lock();
        ready!(socket.poll_resets(cx))?;
        socket.poll_room(cx, 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.0.lock();
        ready!(socket.poll_send(cx))?;
        Pin::new(&mut socket.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, bufs)
    }
}

/// Bytes of one batch: two full frames with their heads. More is written at once.
const BATCH_BYTES_MAX: usize = 34 << 10;
/// Bytes that one worker reads at once.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
    /// The room of this worker's last batch, for the next one.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
