//! `ChildProcess`: a server that ends with its owner, and says on its first lines where it listens.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::PATIENCE;

#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    /// Done once the program has closed its output, which it does by ending.
    is_silent: oneshot::Receiver<()>,
}

/// Where a program says where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Announces {
    OnStdout,
    OnStderr,
}

impl ChildProcess {
    /// Starts the program and returns it with the lines of its output, up to the one that `is_last`
    /// accepts.
    ///
    /// # Panics
    /// When it ends, or closes its output, before that line.
    pub(crate) fn start(
        command: &mut Command,
        announces: Announces,
        is_last: impl Fn(&str) -> bool,
    ) -> (Self, Vec<String>) {
        // The other end of its stdin is ours for as long as this process lives: the renderer ends
        // with it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        match announces {
            Announces::OnStdout => command.stdout(Stdio::piped()),
            Announces::OnStderr => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn().expect("the program can be started");
        let output: Box<dyn Read + Send> = match announces {
            Announces::OnStdout => Box::new(child.stdout.take().expect("it is piped")),
            Announces::OnStderr => Box::new(child.stderr.take().expect("it is piped")),
        };
        let (lines, is_silent) = lines_of(output);
        let mut child = Self { child, is_silent };
        let mut said = Vec::new();
        for line in lines {
            let is_enough = is_last(&line);
            said.push(line);
            if is_enough {
                return (child, said);
            }
        }
        let status = child.child.wait();
        panic!("{command:?} ended at once ({status:?}), saying:\n{}", said.join("\n"));
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is running");
    }

    /// Ends it at once, as the kernel does when memory is short.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it has ended");
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let is_silent = timeout(PATIENCE, &mut self.is_silent).await;
        is_silent.expect("it ends in time").expect("its output is read to the end");
        self.child.wait().expect("it has ended")
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_waited_for = self.child.wait();
    }
}

/// Reads to the end, whether or not somebody takes the lines: a full pipe would stop the program.
fn lines_of(output: Box<dyn Read + Send>) -> (Receiver<String>, oneshot::Receiver<()>) {
    let (line_sender, lines) = sync_channel(ANNOUNCED_LINES_MAX);
    let (end_sender, is_silent) = oneshot::channel();
    let read = move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _nobody_listens_any_more = line_sender.send(line);
        }
        drop(line_sender);
        let _nobody_waits = end_sender.send(());
    };
    thread::Builder::new().name("output".into()).spawn(read).expect("a thread can be started");
    (lines, is_silent)
}

const ANNOUNCED_LINES_MAX: usize = 64;
