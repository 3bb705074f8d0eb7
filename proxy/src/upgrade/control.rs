//! `Upgrades`: where a running process is asked to hand over, and what has come of it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::{Channel, UpgradeSocket};
use super::identity::{PeerProcess, name_of};
use super::launch::Program;
use super::launcher::{LOOK_AGAIN, LaunchedProcess, pause};
use super::message::{Message, PROTOCOL};
use super::predecessor::{HandOverError, Serving, hand_over};
use super::reopened_store::{NoSuccessor, ReopenedStore};
use crate::app::App;
use crate::listener::sockets::{DuplicateSockets, OpenSockets};
use crate::purge::Successor;
use crate::server::Bound;
use crate::store::file::OpenError;
use process::notify;

/// Clones are the same.
#[derive(Clone, Debug)]
pub struct Upgrades {
    shared: Arc<UpgradeParts>,
}

/// The place where this process is asked, before it serves.
#[derive(Debug)]
pub struct UpgradeControl {
    socket: Option<UpgradeSocket>,
    program: io::Result<Program>,
}

/// Takes what serves again, or why nothing does.
type Revive = Box<dyn Fn(Result<Bound, OpenError>) + Send + Sync>;

struct UpgradeParts {
    program: io::Result<Program>,
    serving: Mutex<Option<Serving>>,
    /// Serves again, in this process, what a new one could not take over.
    revive: Revive,
    state: Mutex<UpgradeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct UpgradeState {
    is_launching: bool,
    /// The process that was started here, until it serves.
    launched: Option<LaunchedProcess>,
    /// Operators who wait to hear what comes of it.
    operators: usize,
    /// The process that is being handed over to.
    successor: Option<i32>,
    /// The last process that was, and how that ended.
    last: Option<(i32, Result<(), String>)>,
}

impl UpgradeControl {
    /// Opens it. Who cannot be asked serves all the same.
    pub fn open(program: io::Result<Program>) -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let socket = UpgradeSocket::open(&name_of(pid));
        if let Err(error) = &socket {
            tracing::warn!(%error, "this process cannot hand over to another one");
        }
        Self { socket: socket.ok(), program }
    }

    /// Answers whoever asks, in threads of its own.
    pub fn start(self, revive: Revive) -> Upgrades {
        let shared = UpgradeParts {
            program: self.program,
            serving: Mutex::new(None),
            revive,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let upgrades = Upgrades { shared: Arc::new(shared) };
        if let Some(socket) = self.socket {
            let asked = upgrades.clone();
            spawn(move || asked.answer_all(&socket));
        }
        upgrades
    }
}

impl Upgrades {
    /// Hands over what serves now, when asked to. Returns what is cancelled when another process
    /// serves in its place. Is called in the runtime that keeps its time.
    pub fn serve(&self, app: &Arc<App>, sockets: &Arc<OpenSockets>) -> CancellationToken {
        let over = CancellationToken::new();
        *self.shared.serving.lock() = Some(Serving {
            app: Arc::clone(app),
            sockets: Arc::clone(sockets),
            runtime: Handle::current(),
            over: over.clone(),
        });
        over
    }

    fn answer_all(&self, socket: &UpgradeSocket) {
        loop {
            match socket.next() {
                Ok(channel) => {
                    let this = self.clone();
                    spawn(move || this.answer(channel));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot hear who asks for an upgrade");
                    pause();
                }
            }
        }
    }

    fn answer(&self, channel: Channel) {
        let refuse = |reason: &str| {
            tracing::warn!(reason, "an upgrade is refused");
            let _gone = channel.send(&Message::Refused { reason: reason.to_owned() }, &[]);
        };
        let pid = match PeerProcess::of(&channel) {
            Ok(PeerProcess { pid: None, .. }) => return refuse("you are in another container"),
            Ok(peer) if !peer.is_trusted() => return refuse("you are another user"),
            Ok(peer) => peer.pid.unwrap_or_default(),
            Err(error) => return refuse(&error.to_string()),
        };
        match channel.receive(Some(HELLO_PATIENCE)) {
            Ok(Some((Message::Hello { protocol: PROTOCOL, program }, _))) => {
                let Some(serving) = self.shared.serving.lock().clone() else {
                    return refuse("it is only starting");
                };
                if serving.app.is_leaving() {
                    return refuse("it was told to end");
                }
                {
                    let mut state = self.shared.state.lock();
                    if serving.over.is_cancelled() || state.successor.is_some() {
                        drop(state);
                        return refuse("it is handing over to another process already");
                    }
                    state.successor = Some(pid);
                    serving.app.reloads.hold(true);
                }
                tracing::info!(pid, program, "another process takes over");
                self.hand_over(channel, pid, &serving);
            }
            Ok(Some((Message::Upgrade { protocol: PROTOCOL }, _))) => {
                let mut tell = |text: String| {
                    let _gone = channel.send(&Message::Progress { text }, &[]);
                };
                self.shared.state.lock().operators += 1;
                let ended = match self.launch(&mut tell) {
                    Ok(text) => Message::Ended { is_done: true, text },
                    Err(text) => Message::Ended { is_done: false, text },
                };
                let _gone = channel.send(&ended, &[]);
                self.shared.state.lock().operators -= 1;
                self.shared.changed.notify_all();
                // Whoever waits for the end of this process reads until the channel closes.
                drop(channel.receive(None));
            }
            Ok(Some((Message::Hello { protocol, .. } | Message::Upgrade { protocol }, _))) => {
                let reason =
                    format!("it speaks version {PROTOCOL} of the protocol, not {protocol}");
                refuse(&reason);
            }
            Ok(Some(_)) => refuse("that begins nothing"),
            Ok(None) | Err(_) => {}
        }
    }

    fn hand_over(&self, channel: Channel, pid: i32, serving: &Serving) {
        let outcome = match hand_over(channel, pid, serving) {
            Ok(()) => {
                // Before the service manager hears of it: it looks whose child the process is.
                let launched = self.shared.state.lock().launched.take_if(|it| it.pid() == pid);
                if let Some(launched) = launched {
                    launched.release();
                }
                notify::main_pid(pid.cast_unsigned());
                tracing::info!(pid, "the new process serves");
                Ok(())
            }
            Err(HandOverError::Unchanged(reason)) => {
                tracing::error!(pid, reason, "the new process failed: this one goes on");
                serving.app.reloads.hold(false);
                Err(reason)
            }
            Err(HandOverError::Released(reason, sockets)) => {
                tracing::error!(
                    pid,
                    reason,
                    "the new process failed with the store: this one opens it again"
                );
                self.revive(serving, sockets);
                Err(reason)
            }
        };
        let is_done = outcome.is_ok();
        {
            let mut state = self.shared.state.lock();
            state.successor = None;
            state.last = Some((pid, outcome));
        }
        self.shared.changed.notify_all();
        if is_done {
            // Not before: the process may end at once.
            let mut state = self.shared.state.lock();
            let is_untold = |state: &mut UpgradeState| state.operators > 0;
            self.shared.changed.wait_while_for(&mut state, is_untold, TELL_PATIENCE);
            drop(state);
            serving.over.cancel();
        }
    }

    /// Serves again what was let go of. Where the store cannot be opened, this process ends, as
    /// nothing would be known of the purges in between.
    fn revive(&self, serving: &Serving, sockets: DuplicateSockets) {
        let begun = Instant::now();
        let listen: Vec<_> = sockets.traffic.iter().map(|it| it.settings.clone()).collect();
        let resumed = loop {
            match serving.app.resumed(listen.clone()) {
                Err(error) if begun.elapsed() < REVIVE_PATIENCE => {
                    tracing::warn!(%error, "the store cannot be opened again yet");
                    pause();
                }
                resumed => break resumed,
            }
        };
        match resumed {
            Ok(app) => {
                let DuplicateSockets { traffic, admin } = sockets;
                let sockets = OpenSockets::new(&app.config, traffic, admin);
                sockets.take_files();
                app.origins().follow_orders(&serving.app.origins().orders());
                // Before it serves: what requests of the life before have changed is purged there.
                let (executor, runtime) = (Arc::clone(&app.executor), serving.runtime.clone());
                let successor: Arc<dyn Successor> = Arc::new(ReopenedStore { executor, runtime });
                serving.app.executor.succeed_with(&successor);
                (self.shared.revive)(Ok(Bound::on(app, sockets)));
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot be opened again: leaving");
                let successor: Arc<dyn Successor> = Arc::new(NoSuccessor);
                serving.app.executor.succeed_with(&successor);
                (self.shared.revive)(Err(error));
            }
        }
        serving.over.cancel();
    }

    /// Starts the program again and waits until it serves. Returns what happened, in words.
    pub fn launch(&self, tell: &mut dyn FnMut(String)) -> Result<String, String> {
        let program = match &self.shared.program {
            Ok(program) if program.reads_input() => {
                return Err("the configuration came from standard input, which cannot be read \
                            again: start the new process with --take-over"
                    .to_owned());
            }
            Ok(program) => program,
            Err(error) => return Err(format!("this program is not found: {error}")),
        };
        {
            let mut state = self.shared.state.lock();
            if state.is_launching || state.successor.is_some() {
                return Err("an upgrade is under way already".to_owned());
            }
            (state.is_launching, state.last) = (true, None);
        }
        let outcome = self.start_and_wait(program, tell);
        self.shared.state.lock().is_launching = false;
        if let Err(reason) = &outcome {
            tracing::error!(reason, "the upgrade failed: this process goes on serving");
        }
        outcome
    }

    fn start_and_wait(
        &self,
        program: &Program,
        tell: &mut dyn FnMut(String),
    ) -> Result<String, String> {
        let own = std::process::id();
        let launched = program
            .start(own)
            .map_err(|error| format!("cannot start {}: {error}", program.path().display()))?;
        let pid = launched.pid();
        self.shared.state.lock().launched = Some(launched);
        tracing::info!(pid, program = %program.path().display(), "upgrade: a new process starts");
        tell(format!("process {own} has started {} as process {pid}", program.path().display()));
        let outcome = self.wait_until_it_serves(pid);
        let launched = self.shared.state.lock().launched.take();
        match (&outcome, launched) {
            (Ok(()), Some(launched)) => launched.release(),
            (Err(_), Some(launched)) => drop(launched.end()),
            (_, None) => {}
        }
        outcome.map(|()| format!("process {pid} serves"))
    }

    fn wait_until_it_serves(&self, pid: i32) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let mut state = self.shared.state.lock();
            let _late = self.shared.changed.wait_for(&mut state, LOOK_AGAIN);
            match &state.last {
                Some((of, Ok(()))) if *of == pid => return Ok(()),
                Some((of, Err(reason))) if *of == pid => {
                    return Err(format!("process {pid} failed: {reason}"));
                }
                _ => {}
            }
            if state.successor == Some(pid) {
                continue;
            }
            let Some(launched) = &mut state.launched else { continue };
            match launched.try_wait() {
                Ok(Some(status)) => {
                    let help = match status.code() {
                        Some(78) => ": its configuration is wrong, see `shellac check`",
                        _ => "",
                    };
                    return Err(format!("process {pid} ended before it took over, {status}{help}"));
                }
                Err(error) => return Err(error.to_string()),
                Ok(None) if begun.elapsed() > LAUNCH_PATIENCE => {
                    return Err(format!("process {pid} did not ask for anything: it is ended"));
                }
                Ok(None) => {}
            }
        }
    }
}

impl fmt::Debug for UpgradeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeParts").field("state", &self.state).finish_non_exhaustive()
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name("upgrade".into()).spawn(work) {
        tracing::error!(%error, "cannot start a thread for an upgrade");
    }
}

const HELLO_PATIENCE: Duration = Duration::from_secs(5);
/// For a new process to read its configuration and to ask for the sockets.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(30);
/// For a store to be opened again, which a process that was killed may hold for a moment.
const REVIVE_PATIENCE: Duration = Duration::from_mins(1);
/// For operators to be told.
const TELL_PATIENCE: Duration = Duration::from_secs(1);
