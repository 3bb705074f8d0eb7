//! The PROXY protocol, versions 1 and 2: a load balancer says whom it speaks for, ahead of
//! everything else on a connection. What follows is left in the socket.

mod header;
mod metrics;

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

pub(super) use self::header::{Announced, Speaker};
use self::header::{
    Beginning, LINE_BYTES_MAX, MalformedHeader, START_BYTES, read_binary, read_line, rest_of,
};
pub(super) use self::metrics::HeaderCounts;
use crate::transport::Transport;
use settings::ProxyProtocol;

/// Why a connection is closed before anything is read from it.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefusedHeader {
    #[error("the peer is not one of trusted_proxies")]
    Untrusted,
    #[error("there is no PROXY protocol header")]
    Missing,
    #[error("the PROXY protocol header is malformed: {0}")]
    Malformed(#[from] MalformedHeader),
    #[error("the PROXY protocol header takes longer than header_timeout")]
    Late,
    #[error("the peer has left")]
    Left(#[from] io::Error),
}

/// Reads the header of a connection, if it has one.
pub(super) async fn receive(
    stream: &mut Transport,
    wanted: ProxyProtocol,
    is_trusted: bool,
    limit: Duration,
) -> Result<Option<Announced>, RefusedHeader> {
    if wanted == ProxyProtocol::Off {
        return Ok(None);
    }
    if wanted == ProxyProtocol::Required && !is_trusted {
        return Err(RefusedHeader::Untrusted);
    }
    let mut is_decided = false;
    let reading = async {
        let beginning = beginning(stream).await?;
        is_decided = true;
        match beginning {
            Beginning::Version1 | Beginning::Version2 if !is_trusted => {
                Err(RefusedHeader::Untrusted)
            }
            Beginning::Version1 => Ok(Some(read_line(&line(stream).await?)?)),
            Beginning::Version2 => Ok(Some(read_binary(&binary(stream).await?)?)),
            Beginning::Undecided | Beginning::Other if wanted == ProxyProtocol::Required => {
                Err(RefusedHeader::Missing)
            }
            Beginning::Undecided | Beginning::Other => Ok(None),
        }
    };
    match timeout(limit, reading).await {
        Ok(result) => result,
        // A client that has sent nothing yet has as long as any other.
        Err(_elapsed) if !is_decided && wanted == ProxyProtocol::Optional => Ok(None),
        Err(_elapsed) => Err(RefusedHeader::Late),
    }
}

/// Waits for enough bytes to tell a header from anything else. They stay in the socket.
async fn beginning(stream: &Transport) -> Result<Beginning, RefusedHeader> {
    let mut bytes = [0; 12];
    loop {
        let length = stream.peek(&mut bytes).await?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match Beginning::of(bytes.get(..length).unwrap_or_default()) {
            Beginning::Undecided => sleep(PAUSE).await,
            decided => return Ok(decided),
        }
    }
}

/// Reads a line to its LF, and no byte more.
async fn line(stream: &mut Transport) -> Result<Vec<u8>, RefusedHeader> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        let mut bytes = [0; LINE_BYTES_MAX];
        let room = bytes.get_mut(line.len()..).unwrap_or_default();
        if room.is_empty() {
            return Err(MalformedHeader::LineTooLong.into());
        }
        let seen = stream.peek(room).await?;
        let room = room.get_mut(..seen).unwrap_or_default();
        let end = room.iter().position(|byte| *byte == b'\n');
        let own = room.get_mut(..end.map_or(seen, |end| end + 1)).unwrap_or_default();
        if own.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        stream.read_exact(own).await?;
        line.extend_from_slice(own);
        if end.is_some() {
            return Ok(line);
        }
    }
}

/// Reads a binary header, and no byte more.
async fn binary(stream: &mut Transport) -> Result<Vec<u8>, RefusedHeader> {
    let mut start = [0; START_BYTES];
    stream.read_exact(&mut start).await?;
    let mut header = start.to_vec();
    header.resize(START_BYTES + rest_of(&start)?, 0);
    stream.read_exact(header.get_mut(START_BYTES..).unwrap_or_default()).await?;
    Ok(header)
}

/// Between two looks at a beginning that decides nothing.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";

    fn binary_header() -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".to_vec();
        header.extend([192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2, 0x04, 0, 0]);
        header
    }

    /// Sends the bytes one by one, or at once, and receives a header from them. Returns also what
    /// is left to read.
    async fn received(
        bytes: &[u8],
        at_once: bool,
        (wanted, is_trusted): (ProxyProtocol, bool),
    ) -> (Result<Option<Announced>, RefusedHeader>, Vec<u8>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = Transport::Unix(ours);
        let bytes = bytes.to_vec();
        let sending = tokio::spawn(async move {
            for byte in bytes.chunks(if at_once { bytes.len() } else { 1 }) {
                theirs.write_all(byte).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let result = receive(&mut stream, wanted, is_trusted, LIMIT).await;
        sending.await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        (result, rest)
    }

    #[tokio::test]
    async fn a_header_is_taken_and_what_follows_is_left() {
        for header in [LINE.to_vec(), binary_header()] {
            for at_once in [true, false] {
                let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
                for wanted in [ProxyProtocol::Optional, ProxyProtocol::Required] {
                    let (result, rest) = received(&bytes, at_once, (wanted, true)).await;
                    let speaker = result.unwrap().unwrap().speaker;
                    let source = "192.0.2.1:1".parse().unwrap();
                    assert!(matches!(speaker, Speaker::Client(given, _) if given == source));
                    assert_eq!(rest, b"GET / HTTP/1.1\r\n");
                }
            }
        }
    }

    #[tokio::test]
    async fn where_it_is_optional_other_bytes_are_left_as_they_are() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PUT /", b"PRI * HTTP/2.0", b"\r\nGET /"] {
            for is_trusted in [true, false] {
                let trust = (ProxyProtocol::Optional, is_trusted);
                let (result, rest) = received(bytes, false, trust).await;
                assert!(matches!(result, Ok(None)), "{result:?}");
                assert_eq!(rest, bytes);
            }
        }
    }

    #[tokio::test]
    async fn a_header_of_a_peer_that_is_not_trusted_is_refused() {
        for header in [LINE.to_vec(), binary_header()] {
            for wanted in [ProxyProtocol::Optional, ProxyProtocol::Required] {
                let (result, _) = received(&header, true, (wanted, false)).await;
                assert!(matches!(result, Err(RefusedHeader::Untrusted)), "{result:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_required_header_that_is_not_there_is_missed() {
        let trust = (ProxyProtocol::Required, true);
        let (result, _) = received(b"GET / HTTP/1.1\r\n", true, trust).await;
        assert!(matches!(result, Err(RefusedHeader::Missing)), "{result:?}");
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_at_its_bound() {
        let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
        for at_once in [true, false] {
            let trust = (ProxyProtocol::Required, true);
            let (result, _) = received(&endless, at_once, trust).await;
            let is_bound =
                matches!(result, Err(RefusedHeader::Malformed(MalformedHeader::LineTooLong)));
            assert!(is_bound, "{result:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_does_not_end_is_given_up_on() {
        for (bytes, wanted, is_late) in [
            (&LINE[..20], ProxyProtocol::Optional, true),
            (&binary_header()[..20], ProxyProtocol::Required, true),
            (b"", ProxyProtocol::Required, true),
            (b"", ProxyProtocol::Optional, false),
            (b"PROX", ProxyProtocol::Optional, false),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(bytes).await.unwrap();
            let result = receive(&mut Transport::Unix(ours), wanted, true, LIMIT).await;
            assert_eq!(matches!(result, Err(RefusedHeader::Late)), is_late, "{result:?}");
        }
    }
}
