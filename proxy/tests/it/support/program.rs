//! The real program in a process of its own, for what a process has: signals, exit codes,
//! descriptors.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{in_time, until};

/// A running proxy. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) traffic: SocketAddr,
    pub(crate) admin: SocketAddr,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    /// Nobody reads its log any more.
    is_unread: Arc<AtomicBool>,
    file: PathBuf,
    _folder: TempDir,
}

impl Program {
    /// Starts it with these settings, and variables.
    pub(crate) async fn start(settings: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shellac.toml");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config"]).arg(&file).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let output = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::clone(&said);
        let is_unread = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&is_unread);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
                while is_over.load(Ordering::Acquire) {
                    std::thread::park();
                }
            }
        });
        let is_announced = || said.lock().unwrap().iter().any(|line| line.contains("workers"));
        until("the program to start", is_announced).await;
        let address = |label: &str| {
            let said = said.lock().unwrap();
            let line = said.iter().find(|line| line.trim_start().starts_with(label)).unwrap();
            let (_, rest) = line.split_once("http://").unwrap();
            let end = rest.find(['/', ' ']).unwrap_or(rest.len());
            rest.get(..end).unwrap().parse().unwrap()
        };
        let (traffic, admin) = (address("listen"), address("admin"));
        Self { traffic, admin, child, said, is_unread, file, _folder: folder }
    }

    /// Reads nothing of its log after the next line.
    pub(crate) fn ignore(&self) {
        self.is_unread.store(true, Ordering::Release);
    }

    /// Returns the name of its configuration file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn write(&self, settings: &str) {
        std::fs::write(&self.file, settings).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command of the program that asks this one.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        self.command_into(arguments, Stdio::piped()).await
    }

    /// The same, with this as its standard output.
    pub(crate) async fn command_into(&self, arguments: &[&str], stdout: Stdio) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).args(["--admin", &self.admin.to_string()]).stdout(stdout);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        in_time("the command", run).await.unwrap()
    }

    /// Waits until a line of its log contains this.
    pub(crate) async fn says(&self, text: &str) {
        let is_said = || self.said().contains(text);
        if tokio::time::timeout(super::PATIENCE, async {
            while !is_said() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .is_err()
        {
            panic!("it does not say {text:?}:\n{}", self.said());
        }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        in_time("the program to end", async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
    }

    /// Returns the number of its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(self.proc().join("fd")).unwrap().count()
    }

    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(self.proc().join("task")).unwrap().count()
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.pid().to_string())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_waited_for = self.child.wait();
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_shellac");
