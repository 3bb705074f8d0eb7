//! A program under test: started, read, stopped, killed.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{eventually, guard};

/// A running program. It is killed when this is dropped; a test that fails shows what it said last.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        guard::watch(child.id());
        let lines = Arc::default();
        collect(child.stdout.take().unwrap(), Arc::clone(&lines));
        collect(child.stderr.take().unwrap(), Arc::clone(&lines));
        Self { name: name.to_owned(), child, lines }
    }

    /// Waits for the event with this message that announces an address, and returns the address.
    pub(crate) fn address(&self, message: &str) -> SocketAddr {
        eventually(&format!("{} announces its address {message:?}", self.name), || {
            let lines = self.lines.lock().unwrap();
            let found = lines.iter().find_map(|line| announced(line, message));
            found.ok_or_else(|| lines.join("\n"))
        })
    }

    pub(crate) fn said(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success(), "{} is gone", self.name);
    }

    /// Kills it with SIGKILL; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        guard::forget(self.child.id());
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
        if thread::panicking() {
            let lines = self.lines.lock().unwrap();
            let last = lines.len().saturating_sub(LINES_SHOWN);
            eprintln!("--- {} said last:\n{}", self.name, lines[last..].join("\n"));
        }
    }
}

/// The address that a line of the log announces, if it is the event with this message.
fn announced(line: &str, message: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let url = event.get("value").filter(|_| event["message"] == message)?;
    let url = url.as_str()?.split_whitespace().next()?;
    url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
}

fn collect(output: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            let mut lines = lines.lock().unwrap();
            lines.push(line);
            if lines.len() > LINES_KEPT {
                lines.drain(..LINES_KEPT / 2);
            }
        }
    });
}

const LINES_SHOWN: usize = 60;
const LINES_KEPT: usize = 20_000;
