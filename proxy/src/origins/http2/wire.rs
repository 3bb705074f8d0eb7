//! `Wire`: the socket of an HTTP/2 connection to a server. It notes which frames of which request
//! were written, and when bytes came.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::progress::StreamProgress;
use crate::framing::frames::{Frames, H2Frame};

#[derive(Debug)]
pub(super) struct Wire<T> {
    inner: T,
    outgoing: Frames,
    /// The stream whose last frame is being written.
    ending: Option<u32>,
    is_begun: bool,
    state: Arc<WireState>,
}

#[derive(Debug)]
pub(super) struct WireState {
    requests: Mutex<UnsentRequests>,
    reads: Mutex<Reads>,
    /// The server's first bytes were those of HTTP/1.
    is_http1: AtomicBool,
}

#[derive(Debug, Default)]
struct UnsentRequests {
    /// The moment since which the socket takes no bytes.
    blocked: Option<Instant>,
    /// Requests that are not written yet, and those that were before anybody asked.
    open: Vec<UnsentRequest>,
    /// The highest stream that was announced.
    announced: u32,
}

#[derive(Debug)]
struct UnsentRequest {
    stream: u32,
    progress: Arc<StreamProgress>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Reads {
    /// The moment of the last read.
    pub(super) last: Instant,
    pub(super) bytes: u64,
}

impl WireState {
    pub(super) fn new() -> Self {
        Self {
            requests: Mutex::default(),
            reads: Mutex::new(Reads { last: Instant::now(), bytes: 0 }),
            is_http1: AtomicBool::new(false),
        }
    }

    /// Begins to note the progress of a request. Its frames may have been written already. Streams
    /// are announced in the order of their numbers.
    pub(super) fn announce(&self, stream: u32, progress: Arc<StreamProgress>) {
        let mut requests = self.requests.lock();
        requests.announced = requests.announced.max(stream);
        if let Some(early) = requests.open.iter_mut().find(|request| request.stream == stream) {
            let phase = early.progress.as_ref();
            if phase.extent() != crate::origins::sending::SendProgress::Nothing {
                progress.note_begun();
            }
            if phase.is_sent() {
                progress.note_sent();
            }
            early.progress = progress;
        } else {
            requests.open.push(UnsentRequest { stream, progress });
        }
    }

    pub(super) fn forget(&self, stream: u32) {
        self.requests.lock().open.retain(|request| request.stream != stream);
    }

    pub(super) fn blocked(&self) -> Option<Instant> {
        self.requests.lock().blocked
    }

    pub(super) fn reads(&self) -> Reads {
        *self.reads.lock()
    }

    pub(super) fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    fn progress_of(&self, stream: u32, is_new: bool) -> Option<Arc<StreamProgress>> {
        let mut requests = self.requests.lock();
        let known = requests.open.iter().find(|request| request.stream == stream);
        if let Some(request) = known {
            return Some(Arc::clone(&request.progress));
        }
        if !is_new || stream <= requests.announced {
            return None;
        }
        let progress = Arc::<StreamProgress>::default();
        requests.open.push(UnsentRequest { stream, progress: Arc::clone(&progress) });
        Some(progress)
    }
}

impl<T> Wire<T> {
    pub(super) const fn new(inner: T, state: Arc<WireState>) -> Self {
        Self { inner, outgoing: Frames::of_client(), ending: None, is_begun: false, state }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if !self.is_begun {
            self.is_begun = true;
            let is_http1 = bytes.starts_with(HTTP1) || HTTP1.starts_with(bytes);
            self.state.is_http1.store(is_http1, Ordering::Relaxed);
        }
        let mut reads = self.state.reads.lock();
        *reads = Reads { last: Instant::now(), bytes: reads.bytes + bytes.len() as u64 };
    }

    fn note_write(&mut self, written: &Poll<io::Result<usize>>, buffers: &[IoSlice<'_>]) {
        let mut left = match written {
            Poll::Ready(Ok(count)) => *count,
            Poll::Ready(Err(_)) => return,
            Poll::Pending => {
                self.state.requests.lock().blocked.get_or_insert_with(Instant::now);
                return;
            }
        };
        self.state.requests.lock().blocked = None;
        for buffer in buffers {
            let bytes = buffer.get(..left.min(buffer.len())).unwrap_or_default();
            self.note_frames(bytes);
            left -= bytes.len();
        }
    }

    fn note_frames(&mut self, bytes: &[u8]) {
        let Self { outgoing, ending, state, .. } = self;
        outgoing.read(bytes, &mut |frame| {
            end(state, ending); // the frame before this one is complete
            match frame {
                H2Frame::Headers { stream, is_last } => {
                    if let Some(progress) = state.progress_of(stream, true) {
                        progress.note_begun();
                    }
                    *ending = is_last.then_some(stream);
                }
                H2Frame::Data { stream, is_last, .. } => *ending = is_last.then_some(stream),
                H2Frame::Reset { .. }
                | H2Frame::WindowUpdate { .. }
                | H2Frame::InitialWindow(_) => {}
            }
        });
        if outgoing.is_between_frames() {
            end(state, ending);
        }
    }
}

fn end(state: &WireState, ending: &mut Option<u32>) {
    if let Some(stream) = ending.take()
        && let Some(progress) = state.progress_of(stream, false)
    {
        progress.note_sent();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.note_read(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.note_write(&written, &[IoSlice::new(buf)]);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.note_write(&written, bufs);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

const HTTP1: &[u8] = b"HTTP/1.";
