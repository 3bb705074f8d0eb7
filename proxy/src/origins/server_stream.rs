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
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if self.responses.is_opaque() {
            return flushed;
        }
        match flushed {
            Poll::Pending => self.sending.on_held_up(cx),
            Poll::Ready(Ok(())) => self.sending.on_flushed(cx),
            Poll::Ready(Err(_)) => {}
        }
        if flushed.is_pending() && self.sending.is_abandoned() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        flushed
    }

    /// What a server does not take of an exchange that has ended is not waited for.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        if shut.is_ready() || self.responses.is_opaque() {
            return shut;
        }
        self.sending.on_held_up(cx);
        if self.sending.is_abandoned() { Poll::Ready(Ok(())) } else { Poll::Pending }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream, server};

    use super::*;
    use crate::origins::request_body::Upload;
    use crate::origins::sending::Phase;

    /// Connects to a server with TLS, over a socket that holds little.
    async fn secured() -> (Transport, server::TlsStream<TcpStream>) {
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let (ours, theirs) =
            tokio::join!(connector.connect(name, Transport::Tcp(ours)), acceptor.accept(theirs));
        (Transport::Tls(Box::new(TlsStream::Client(ours.unwrap()))), theirs.unwrap())
    }

    #[tokio::test]
    async fn a_server_that_takes_nothing_is_noticed_though_tls_holds_more_than_the_socket() {
        let (transport, _server) = secured().await;
        let sending = Arc::<Sending>::default();
        let limits = HeadLimits { head_bytes_max: 1 << 16, fields_max: 10 };
        let mut stream = ServerStream::new(transport, limits, Arc::clone(&sending));
        sending.begin(false, Upload::begin());
        poll_fn(|cx| {
            loop {
                let written = Pin::new(&mut stream).poll_write(cx, &[b'x'; 256]);
                assert!(written.is_ready(), "it is held up before TLS is full");
                let flushed = Pin::new(&mut stream).poll_flush(cx);
                if flushed.is_pending() {
                    break Poll::Ready(());
                }
            }
        })
        .await;
        assert!(matches!(sending.phase(), Phase::Blocked(_)), "{:?}", sending.phase());

        sending.abandon();
        let flushed = poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await;
        assert_eq!(flushed.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.unwrap();
    }
}
