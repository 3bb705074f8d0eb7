//! `ServerStream`: a connection to a server that passes on sound responses only, each after its
//! request.
//!
//! A server that announces 10 bytes and sends 36, or sends bytes before a request, must not answer
//! the next request with the rest: the connection ends there.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::sending::Sending;
use crate::framing::responses::Responses;
use crate::framing::{HeadLimits, Violation};
use crate::transport::Transport;

#[derive(Debug)]
pub(super) struct ServerStream {
    inner: TokioIo<Transport>,
    responses: Responses,
    sending: Arc<Sending>,
    held: Vec<u8>,
    /// The number of held bytes that may be passed on.
    ready: usize,
    end: Option<Violation>,
}

impl ServerStream {
    pub(super) fn new(stream: Transport, limits: HeadLimits, sending: Arc<Sending>) -> Self {
        let (inner, responses) = (TokioIo::new(stream), Responses::new(limits));
        Self { inner, responses, sending, held: Vec::new(), ready: 0, end: None }
    }

    /// Fails unless bytes of a request may be written.
    fn begin_write(&mut self) -> io::Result<()> {
        if self.sending.is_abandoned() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.sending.on_write() {
            Some(_) if self.inner.inner_mut().has_input() => Err(io::ErrorKind::BrokenPipe.into()),
            Some(is_head) => self
                .responses
                .expect(is_head)
                .map_err(|violation| io::Error::new(io::ErrorKind::InvalidData, violation)),
            None => Ok(()),
        }
    }

    fn end_write(
        &self,
        written: Poll<io::Result<usize>>,
        length: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.responses.is_opaque() {
            return written; // a tunnel has no requests
        }
        self.sending.on_written(written, length, cx)
    }

    /// Reads once. Sound bytes are passed on at once, unless others are held before them.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<ReadProgress>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = buf.remaining().min(scratch.len());
            let mut read = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(self.inner.inner_mut()).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(ReadProgress::Done));
            }
            self.sending.on_read();
            if !self.held.is_empty() {
                self.held.extend_from_slice(bytes);
                (self.ready, self.end) = self.responses.pass(&self.held);
                return Poll::Ready(Ok(ReadProgress::More));
            }
            let (passed, end) = self.responses.pass(bytes);
            let (sound, rest) = bytes.split_at_checked(passed).unwrap_or((bytes, &[]));
            buf.put_slice(sound);
            self.held.extend_from_slice(rest);
            self.end = end;
            Poll::Ready(Ok(if sound.is_empty() { ReadProgress::More } else { ReadProgress::Done }))
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadProgress {
    /// Bytes were passed on, or the stream has ended.
    Done,
    More,
}

impl Read for ServerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ready > 0 {
                let count = this.ready.min(buf.remaining());
                buf.put_slice(this.held.get(..count).unwrap_or_default());
                this.held.drain(..count);
                this.ready -= count;
                return Poll::Ready(Ok(()));
            }
            if let Some(violation) = this.end {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
            }
            if ready!(this.poll_fill(cx, &mut buf))? == ReadProgress::Done {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Write for ServerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.sending.on_flushed(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_write()?;
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if self.sending.is_refused() {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.end_write(written, length, cx)
    }
}

const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}
