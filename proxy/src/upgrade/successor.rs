//! `Succession`: the new process, which takes over.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Uri;
use tokio::runtime::Handle;

use super::channel::Channel;
use super::identity::{PeerProcess, name_of};
use super::message::{Message, PROTOCOL};
use crate::app::{App, Pages};
use crate::listener::sockets::{ListenSocket, PassedAddress};
use crate::origins::ServerOrder;

/// A take-over that has begun.
#[derive(Debug)]
pub struct Succession {
    pid: i32,
    channel: Channel,
}

/// The other process does not hand over. The operator names one that does.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot take over from process {pid}: {reason}; name a running shellac, or start without --take-over"
)]
pub struct TakeOverError {
    pid: i32,
    reason: String,
}

impl Succession {
    /// Begins to take over from a process, and takes its sockets. It goes on serving.
    pub fn begin(pid: i32) -> Result<(Self, Vec<PassedAddress>), TakeOverError> {
        let refused = |reason: String| TakeOverError { pid, reason };
        let channel = Channel::to(&name_of(pid)).map_err(|error| refused(why_not(pid, &error)))?;
        let peer = PeerProcess::of(&channel).map_err(|error| refused(error.to_string()))?;
        if peer.pid != Some(pid) || !peer.is_trusted() {
            let reason = "another process, or another user's, answers in its place";
            return Err(refused(reason.to_owned()));
        }
        let succession = Self { pid, channel };
        let program = env!("CARGO_PKG_VERSION").to_owned();
        succession.send(&Message::Hello { protocol: PROTOCOL, program })?;
        match succession.receive()? {
            (Message::Welcome { protocol: PROTOCOL, .. }, _) => {}
            (Message::Welcome { protocol, .. }, _) => {
                let reason =
                    format!("it speaks version {protocol} of the protocol, not {PROTOCOL}");
                return Err(succession.error(reason));
            }
            _ => return Err(succession.error("it says something unexpected")),
        }
        let passed = succession.addresses()?;
        Ok((succession, passed))
    }

    fn addresses(&self) -> Result<Vec<PassedAddress>, TakeOverError> {
        let mut addresses: BTreeMap<usize, PassedAddress> = BTreeMap::new();
        loop {
            match self.receive()? {
                (Message::Address { is_admin, place, configured }, descriptors) => {
                    let passed = addresses.entry(place).or_insert(PassedAddress {
                        is_admin,
                        configured,
                        sockets: Vec::new(),
                    });
                    for descriptor in descriptors {
                        let socket = ListenSocket::from_descriptor(descriptor);
                        passed.sockets.push(socket.map_err(|error| self.error(error.to_string()))?);
                    }
                }
                (Message::Complete, _) => return Ok(addresses.into_values().collect()),
                _ => return Err(self.error("it says something unexpected")),
            }
        }
    }

    /// Asks for the store, and waits until the other process has let it go. Returns its most used
    /// pages, where they are not in a file, and the orders to servers. From now on a failure means
    /// that the other one has to start again.
    pub fn take(&self) -> Result<(Option<Pages>, Vec<ServerOrder>), TakeOverError> {
        self.send(&Message::Take)?;
        match self.receive()? {
            (Message::Released { pages, orders }, mut content) => {
                let pages = pages.zip(content.pop());
                Ok((pages.map(|(notes, content)| Pages { notes, content }), orders))
            }
            _ => Err(self.error("it says something unexpected")),
        }
    }

    /// Says why this process cannot go on: the other one does.
    pub fn fail(&self, error: &dyn std::error::Error) {
        let _gone = self.send(&Message::Failed { reason: error.to_string() });
    }

    /// Says that this process serves, and purges what the other one tells until it ends, or passes
    /// it on to the next process. Needs a runtime, on which that runs.
    pub fn serve(self, app: Arc<App>) {
        if let Err(error) = self.send(&Message::Serving) {
            tracing::warn!(%error, "the process before has ended already");
        }
        let runtime = Handle::current();
        let reading = Arc::clone(&app);
        drop(tokio::task::spawn_blocking(move || reading.pages.take()));
        let heard = app.hear_predecessor();
        let listen = move || {
            self.listen(&app, &runtime);
            drop(heard);
        };
        if let Err(error) = thread::Builder::new().name("upgrade".into()).spawn(listen) {
            tracing::error!(%error, "purges of the process before are not heard");
        }
    }

    fn listen(&self, app: &App, runtime: &Handle) {
        loop {
            match self.channel.receive(None) {
                Ok(Some((Message::Purge { number, uris, host, groups }, _))) => {
                    let uris: Vec<Uri> = uris.iter().filter_map(|uri| uri.parse().ok()).collect();
                    let purging = app.executor.invalidate_uris(&uris, (&host, &groups), None);
                    let _marked = runtime.block_on(purging);
                    if self.channel.send(&Message::Purged { number }, &[]).is_err() {
                        return;
                    }
                }
                Ok(None) => return tracing::info!(pid = self.pid, "the process before has ended"),
                Ok(Some(_)) => {}
                Err(error) => return tracing::warn!(%error, "the process before is not heard"),
            }
        }
    }

    fn send(&self, message: &Message) -> Result<(), TakeOverError> {
        self.channel.send(message, &[]).map_err(|error| self.error(error.to_string()))
    }

    fn receive(&self) -> Result<(Message, Vec<std::os::fd::OwnedFd>), TakeOverError> {
        match self.channel.receive(Some(PATIENCE)) {
            Ok(Some((Message::Refused { reason }, _))) => Err(self.error(reason)),
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.error("it has ended")),
            Err(error) => Err(self.error(error.to_string())),
        }
    }

    fn error(&self, reason: impl Into<String>) -> TakeOverError {
        TakeOverError { pid: self.pid, reason: reason.into() }
    }
}

/// Returns why a process does not answer, as far as can be told.
fn why_not(pid: i32, error: &io::Error) -> String {
    let program = |process: &str| {
        let path = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
        let name = path.file_name()?.to_str()?.to_owned();
        Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned())
    };
    if error.kind() != io::ErrorKind::ConnectionRefused {
        return error.to_string();
    }
    if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
        return "there is no such process".to_owned();
    }
    match program(&pid.to_string()) {
        Some(other) if program("self").is_some_and(|own| own != other) => {
            format!("it is another program ({other})")
        }
        _ => "it does not serve, or is only starting".to_owned(),
    }
}

/// The other process may wait for requests that change something.
const PATIENCE: Duration = Duration::from_mins(1);
