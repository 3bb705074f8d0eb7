//! `Linger`: reads on after the last answer, so that the client gets it.
//!
//! A client that is still sending when its connection is closed is answered with a reset, which
//! destroys the answer on its way (RFC 9112 §9.6). So we say that no more will come, and throw away
//! what comes until the client closes.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The end of a connection whose client may still be sending.
#[derive(Debug)]
pub(super) struct Linger {
    alarm: Pin<Box<Sleep>>,
    end: Instant,
}

impl Linger {
    pub(super) fn begin() -> Self {
        let alarm = Box::pin(sleep(SILENCE_MAX));
        Self { alarm, end: Instant::now() + LINGER_MAX }
    }

    /// Throws bytes away. Ready when the client has ended, or pauses or goes on for too long.
    pub(super) fn poll(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.alarm.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let count = SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                let result = Pin::new(&mut *stream).poll_read(cx, &mut read);
                result.map(|result| result.map_or(0, |()| read.filled().len()))
            });
            match count {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(()),
                Poll::Ready(_) => {
                    let due = Instant::now() + SILENCE_MAX;
                    self.alarm.as_mut().reset(due.min(self.end));
                }
            }
        }
    }
}

const SILENCE_MAX: Duration = Duration::from_secs(5);
/// The longest time that it may go on (nginx: `lingering_time`).
const LINGER_MAX: Duration = Duration::from_secs(30);

/// Bytes that one worker reads at once.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Lingers to its end and returns how many seconds that took.
    async fn lingered(mut server: DuplexStream) -> u64 {
        let start = Instant::now();
        let mut linger = Linger::begin();
        poll_fn(|cx| linger.poll(&mut server, cx)).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_read_until_it_ends() {
        let (mut client, server) = duplex(1024);
        let sending = tokio::spawn(async move {
            client.write_all(&vec![0; 10 << 20]).await.unwrap();
            sleep(Duration::from_secs(4)).await;
            client.write_all(b"more").await.unwrap();
        });

        assert_eq!(lingered(server).await, 4);
        sending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_not_waited_for() {
        let (mut client, server) = duplex(1024);
        client.write_all(b"0123").await.unwrap();

        assert_eq!(lingered(server).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_is_cut() {
        let (mut client, server) = duplex(1024);
        let sending = tokio::spawn(async move {
            while client.write_all(b"0123").await.is_ok() {
                sleep(Duration::from_secs(2)).await;
            }
        });

        assert_eq!(lingered(server).await, 30);
        sending.await.unwrap();
    }
}
