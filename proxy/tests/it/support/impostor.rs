//! `Impostor`: what a process says that claims to take over from another one.

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, sendmsg, socket_with,
};
use serde_json::{Value, json};

/// A process that claims to take over.
pub(crate) struct Impostor(OwnedFd);

impl Impostor {
    pub(crate) fn to(pid: i32) -> Self {
        let space = fs::read_link("/proc/self/ns/pid").unwrap();
        let name = format!("shellac/upgrade/{}/{pid}", space.display());
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn say(&self, message: &Value) {
        let text = message.to_string();
        let mut none = SendAncillaryBuffer::new(&mut []);
        let slices = [IoSlice::new(text.as_bytes())];
        sendmsg(self.0.as_fd(), &slices, &mut none, SendFlags::NOSIGNAL).unwrap();
    }

    pub(crate) fn hear(&self) -> Value {
        let mut text = vec![0; 1 << 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(128))];
        let mut passed = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut text)];
        let heard = recvmsg(self.0.as_fd(), &mut slices, &mut passed, RecvFlags::empty()).unwrap();
        serde_json::from_slice(&text[..heard.bytes]).unwrap_or(Value::Null)
    }

    pub(crate) fn hear_until(&self, kind: &str) -> Value {
        loop {
            let message = self.hear();
            assert_ne!(message, Value::Null, "no {kind}");
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Begins to take over from a process, up to where that one has let its store go.
    pub(crate) fn take(pid: i32) -> Self {
        let impostor = Self::to(pid);
        impostor.say(&json!({"type": "hello", "protocol": 1, "program": "0"}));
        impostor.hear_until("complete");
        impostor.say(&json!({"type": "take"}));
        impostor.hear_until("released");
        impostor
    }
}
