//! `Transport`: the connection to a client or to a server, over any kind of socket.
//!
//! A read or write costs one match more than on the socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buf).await,
            Self::Unix(stream) => {
                stream.async_io(Interest::READABLE, || peek_at(stream, buf)).await
            }
        }
    }

    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_peek(cx, buf),
            Self::Unix(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                let peeked = stream
                    .try_io(Interest::READABLE, || peek_at(stream, buf.initialize_unfilled()));
                match peeked {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => {
                        let length = peeked?;
                        buf.advance(length);
                        return Poll::Ready(Ok(length));
                    }
                }
            },
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
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_that_were_peeked_at_are_still_there_to_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = Transport::Unix(ours);
        theirs.write_all(b"PRI").await.unwrap();

        let mut bytes = [0; 2];
        assert_eq!(stream.peek(&mut bytes).await.unwrap(), 2);
        let mut seen = [0; 8];
        let mut buf = ReadBuf::new(&mut seen);
        let peeked = std::future::poll_fn(|cx| stream.poll_peek(cx, &mut buf)).await.unwrap();
        assert_eq!((peeked, buf.filled()), (3, &b"PRI"[..]));
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"PRI");
    }

    #[tokio::test]
    async fn the_end_is_peeked_at_as_no_bytes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);

        let stream = Transport::Unix(ours);
        assert_eq!(stream.peek(&mut [0]).await.unwrap(), 0);
    }
}
