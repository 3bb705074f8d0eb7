//! `Transport`: the connection to a client or to a server, over any kind of socket, with TLS or
//! without.
//!
//! A read or write costs one match more than on the socket.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Self>>),
}

impl Transport {
    pub const fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Returns whether HTTP/2 was agreed on in the TLS handshake.
    pub fn has_agreed_on_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// Reads bytes that stay in the socket. Under TLS they would be those of its records.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buf).await,
            Self::Unix(stream) => {
                stream.async_io(Interest::READABLE, || peek_at(stream, buf)).await
            }
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Ready when there is something to read, or nothing any more: returns whether there is. Under
    /// TLS it may read records ahead, not more than one read would.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut byte = [0];
        match self {
            Self::Tcp(stream) => {
                let peeked = ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
                Poll::Ready(Ok(peeked > 0))
            }
            Self::Unix(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_io(Interest::READABLE, || peek_at(stream, &mut byte)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => return Poll::Ready(Ok(peeked? > 0)),
                }
            },
            Self::Tls(stream) => match ready!(Pin::new(&mut **stream).poll_fill_buf(cx)) {
                Ok(bytes) => Poll::Ready(Ok(!bytes.is_empty())),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(false))
                }
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    /// Returns whether the other side has sent something, or closed. Asks the socket itself, whose
    /// readiness this task may not have been told. Under TLS only content counts: servers send
    /// tickets and keys unasked.
    pub fn has_input(&mut self) -> bool {
        let Self::Tls(stream) = self else {
            let mut byte = [MaybeUninit::uninit()];
            let peeked = SockRef::from(&*self).peek(&mut byte);
            return !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        };
        match &mut **stream {
            TlsStream::Client(stream) => {
                let (inner, session) = stream.get_mut();
                has_content(inner, session)
            }
            TlsStream::Server(stream) => {
                let (inner, session) = stream.get_mut();
                has_content(inner, session)
            }
        }
    }
}

fn has_content<S: rustls::SideData>(
    inner: &Transport,
    session: &mut rustls::ConnectionCommon<S>,
) -> bool {
    loop {
        match session.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
            Ok(_) | Err(_) => return true,
        }
        match session.read_tls(&mut &*SockRef::from(inner)) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(0) | Err(_) => return true,
        }
    }
}

/// Reads bytes that stay in the socket.
fn peek_at(socket: &UnixStream, buf: &mut [u8]) -> io::Result<usize> {
    let (length, _) = recv(socket, buf, RecvFlags::PEEK)?;
    Ok(length)
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => {
                let is_client = matches!(**stream, TlsStream::Server(_));
                match ready!(Pin::new(&mut **stream).poll_read(cx, buf)) {
                    // Clients that just close are common, and HTTP says itself where a request
                    // ends. A response may end with the connection: there it is an error.
                    Err(error) if is_client && error.kind() == io::ErrorKind::UnexpectedEof => {
                        Poll::Ready(Ok(()))
                    }
                    read => Poll::Ready(read),
                }
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_that_were_peeked_at_are_still_there_to_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = Transport::Unix(ours);
        assert!(!stream.has_input());
        theirs.write_all(b"PRI").await.unwrap();

        let mut bytes = [0; 2];
        assert_eq!(stream.peek(&mut bytes).await.unwrap(), 2);
        assert!(poll_fn(|cx| stream.poll_readable(cx)).await.unwrap());
        assert!(stream.has_input());
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"PRI");
    }

    #[tokio::test]
    async fn the_end_is_peeked_at_as_no_bytes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);

        let mut stream = Transport::Unix(ours);
        assert_eq!(stream.peek(&mut [0]).await.unwrap(), 0);
        assert!(!poll_fn(|cx| stream.poll_readable(cx)).await.unwrap());
        assert!(stream.has_input(), "it has closed");
    }
}
