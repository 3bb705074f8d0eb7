//! A program under test: started, read, stopped, killed.

use std::io::{BufRead as _, BufReader, Read};
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

    /// Waits for a line with this in it; returns what follows it, up to white space.
    pub(crate) fn word_after(&self, beginning: &str) -> String {
        eventually(&format!("{} says {beginning:?}", self.name), || {
            let lines = self.lines.lock().unwrap();
            let found = lines.iter().find_map(|line| line.split_once(beginning));
            let word = found.and_then(|(_, rest)| rest.split_whitespace().next());
            word.map(str::to_owned).ok_or_else(|| lines.join("\n"))
        })
    }

    /// Everything it said that has this in it.
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
