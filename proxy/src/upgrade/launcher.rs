//! `LaunchedProcess`: a new process whose parent is the service manager once it serves.
//!
//! systemd waits for the end of a main process only if that is its own child, and kills others at
//! once when they are stopped. So the new process is started by a third one, the launcher, which
//! ends when the new one serves: the kernel then makes the manager the parent.
//!
//! ```text
//! this process          launcher           new process
//! start       ──────►   starts     ──────►
//!             ◄──────   its PID
//! (waits)               waits; ends with the new process and its exit code
//! release     ──────►   ends               (its parent is the service manager)
//! ```

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::channel::Channel;
use super::message::Message;
use process::exit::Exit;

/// A process that was started, with the launcher that waits for it.
#[derive(Debug)]
pub(super) struct LaunchedProcess {
    pid: i32,
    launcher: Child,
    channel: Channel,
}

impl LaunchedProcess {
    pub(super) fn start(program: &Path, arguments: &[OsString]) -> io::Result<Self> {
        let (channel, theirs) = Channel::pair()?;
        // The file of the running program may have been replaced; this is the one that runs.
        let mut launcher = Command::new("/proc/self/exe")
            .arg0(NAME)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let failed = match channel.receive(Some(START_PATIENCE)) {
            Ok(Some((Message::Started { pid }, _))) => return Ok(Self { pid, launcher, channel }),
            Ok(Some((Message::Failed { reason }, _))) => io::Error::other(reason),
            Ok(_) => io::Error::other("its launcher has ended"),
            Err(error) => error,
        };
        drop(channel);
        let _status = launcher.wait();
        Err(failed)
    }

    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns the exit status of the process if it has ended. The code of one that a signal
    /// ended is 128 and the signal's number, as in a shell.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.launcher.try_wait()
    }

    /// Lets the process go its own way. Its parent is another one afterwards.
    pub(super) fn release(self) {
        let Self { mut launcher, channel, .. } = self;
        drop(channel);
        if let Err(error) = launcher.wait() {
            tracing::warn!(%error, "cannot wait for the launcher of the new process");
        }
    }

    /// Ends a process that does not serve, unless it soon ends by itself.
    pub(super) fn end(mut self) -> io::Result<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < END_PATIENCE {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            pause();
        }
        if let Some(process) = Pid::from_raw(self.pid) {
            kill_process(process, Signal::KILL)?;
        }
        self.launcher.wait()
    }
}

/// Is the launcher, if this process was started as one: starts a program for the process at the
/// other end of standard input, and waits for whichever of the two ends first.
pub fn launch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    arguments.next().filter(|name| name == NAME)?;
    let program = arguments.next()?;
    let code = start_and_wait(&program, &arguments.collect::<Vec<_>>());
    // The end of the channel tells the old process of an error.
    Some(code.unwrap_or_else(|_| Exit::Io.into()))
}

fn start_and_wait(program: &OsStr, arguments: &[OsString]) -> io::Result<ExitCode> {
    let channel = Channel::from(io::stdin().as_fd().try_clone_to_owned()?);
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        // They speak of descriptors that the process before was passed.
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_FDNAMES")
        // The service manager watches whoever is the main process.
        .env_remove("WATCHDOG_PID")
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            channel.send(&Message::Failed { reason: error.to_string() }, &[])?;
            return Ok(Exit::Io.into());
        }
    };
    let pid = i32::try_from(child.id()).unwrap_or_default();
    channel.send(&Message::Started { pid }, &[])?;
    loop {
        match channel.receive(Some(LOOK_AGAIN)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            // It was released, or nobody is left who would wait.
            _ => return Ok(ExitCode::SUCCESS),
        }
        if let Some(status) = child.try_wait()? {
            return Ok(ExitCode::from(code_of(status)));
        }
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[expect(clippy::disallowed_methods, reason = "in a thread of its own")]
pub(super) fn pause() {
    std::thread::sleep(LOOK_AGAIN);
}

/// The name by which a program is called to be the launcher. No command: nobody else is to use it.
const NAME: &str = "shellac-launcher";
/// For the launcher to start the program.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// For a new process that failed to say why in the log.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether something has ended.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);
