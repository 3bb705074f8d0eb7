//! The bytes of a socket that its peer has not acknowledged yet.
//!
//! A blocked socket becomes writable again when a third of its buffer is free, which takes a slow
//! client minutes. What it acknowledges shows meanwhile that it takes something.
#![expect(unsafe_code, reason = "SIOCOUTQ, for which no crate has a safe call")]

use std::os::fd::{AsFd, AsRawFd as _};

/// Returns the bytes in the socket's send queue, acknowledged ones not counted; `None` where the
/// system does not tell.
pub(super) fn unsent(socket: &impl AsFd) -> Option<u32> {
    let socket = socket.as_fd();
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while it is borrowed, and SIOCOUTQ (TIOCOUTQ) writes one
    // `int`.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (done == 0).then(|| u32::try_from(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn it_falls_as_the_peer_takes_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut written = 0;
        let content = vec![0; 64 << 10];
        while let Ok(count) = ours.write(&content) {
            written += count;
        }
        let before = unsent(&ours).unwrap();
        assert!(before > 0);

        let mut all = vec![0; written];
        theirs.read_exact(&mut all).unwrap();

        let begun = tokio::time::Instant::now();
        while unsent(&ours).unwrap() > 0 {
            assert!(begun.elapsed().as_secs() < 20, "the last acknowledgement takes for ever");
            std::thread::yield_now();
        }
    }
}
