//! `Channel`: messages with descriptors, between two processes of this machine.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, socket_with, socketpair, sockopt,
};

use super::message::Message;

/// One end. Each message arrives whole, or not at all.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
}

/// The socket at which other processes begin to speak.
#[derive(Debug)]
pub(super) struct UpgradeSocket {
    socket: OwnedFd,
}

impl UpgradeSocket {
    /// Opens one under an abstract name, which ends with the process.
    pub(super) fn open(name: &[u8]) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, KIND, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
        listen(&socket, QUEUE)?;
        Ok(Self { socket })
    }

    pub(super) fn next(&self) -> io::Result<Channel> {
        let socket = retry_on_intr(|| accept_with(&self.socket, SocketFlags::CLOEXEC))?;
        Ok(Channel { socket })
    }
}

impl Channel {
    pub(super) fn to(name: &[u8]) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, KIND, SocketFlags::CLOEXEC, None)?;
        retry_on_intr(|| connect(&socket, &SocketAddrUnix::new_abstract_name(name)?))?;
        Ok(Self { socket })
    }

    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socketpair(AddressFamily::UNIX, KIND, SocketFlags::CLOEXEC, None)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Sends a message, with at most [`DESCRIPTORS_MAX`] descriptors.
    pub(super) fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > MESSAGE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"));
        }
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Send, Some(SEND_PATIENCE))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let slices = [IoSlice::new(&text)];
        retry_on_intr(|| sendmsg(&self.socket, &slices, &mut ancillary, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// Waits so long for a message; `None`: the other end is closed.
    pub(super) fn receive(
        &self,
        patience: Option<Duration>,
    ) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, patience)?;
        let mut text = vec![0; MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            let slices = &mut [IoSliceMut::new(&mut text)];
            recvmsg(&self.socket, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        });
        let received = match received {
            Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            received => received?,
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            let message = "a message lost descriptors: is their limit reached?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let message = serde_json::from_slice(text.get(..received.bytes).unwrap_or_default())?;
        Ok(Some((message, descriptors)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

/// Keeps the bounds of messages.
const KIND: SocketType = SocketType::SEQPACKET;
const QUEUE: i32 = 8;
/// Less than what the system passes at once (`SCM_MAX_FD`).
pub(super) const DESCRIPTORS_MAX: usize = 128;
/// Less than a socket's buffer, which a message has to fit into.
const MESSAGE_BYTES_MAX: usize = 96 << 10;
const SEND_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        one.send(&Message::Serving, &[]).unwrap();
        one.send(&Message::Complete, &[theirs.as_fd()]).unwrap();
        drop((one, theirs));

        let (first, none) = other.receive(None).unwrap().unwrap();
        assert!(matches!(first, Message::Serving) && none.is_empty());
        let (second, mut passed) = other.receive(None).unwrap().unwrap();
        assert!(matches!(second, Message::Complete));
        let mut passed = UnixStream::from(passed.pop().unwrap());
        ours.write_all(b"x").unwrap();
        passed.read_exact(&mut [0]).unwrap();
        assert!(other.receive(None).unwrap().is_none(), "the other end is closed");
    }

    #[test]
    fn silence_ends_at_a_limit_and_nonsense_is_an_error() {
        let (one, other) = Channel::pair().unwrap();
        let late = other.receive(Some(Duration::from_millis(1))).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        rustix::net::send(&one, b"{\"type\":\"unheard_of\"}", SendFlags::empty()).unwrap();
        assert!(other.receive(None).is_err());
        let many: Vec<_> = (0..=DESCRIPTORS_MAX).map(|_| one.as_fd()).collect();
        assert!(one.send(&Message::Complete, &many).is_err());
    }
}
