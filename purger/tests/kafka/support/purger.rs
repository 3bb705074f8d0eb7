//! A purger: the real program, and its commands.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shellac_purger::admin::Status;
use tempfile::TempDir;

use super::client::Client;
use super::kafka::Kafka;
use super::process::Process;

#[derive(Debug)]
pub(crate) struct Purgers {
    file: PathBuf,
    _directory: TempDir,
}

#[derive(Debug)]
pub(crate) struct Purger {
    pub(crate) process: Process,
    admin: SocketAddr,
}

impl Purgers {
    /// Configures purgers of these topics for proxies with these admin listeners; `more`: lines of
    /// `[purger]`.
    pub(crate) fn new(kafka: &Kafka, topics: &[&str], proxies: &[SocketAddr], more: &str) -> Self {
        let broker = format!("brokers = [\"{}\"]", kafka.address());
        Self::connecting(&broker, topics, proxies, more)
    }

    /// Configures them to connect as these lines of `[kafka]` say.
    pub(crate) fn connecting(
        kafka: &str,
        topics: &[&str],
        proxies: &[SocketAddr],
        more: &str,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        let slow_after = if more.contains("slow_after") { "" } else { "slow_after = \"1s\"" };
        let urls: Vec<String> = proxies.iter().map(|address| format!("http://{address}")).collect();
        let text = format!(
            "[kafka]
            {kafka}
            cluster = \"test\"
            [kafka.properties]
            \"api.version.request\" = \"false\"
            \"broker.version.fallback\" = \"0.9.0.1\"
            \"topic.metadata.refresh.interval.ms\" = \"2000\"
            [log]
            format = \"json\"
            [purger]
            topics = {topics:?}
            session_timeout = \"2s\"
            heartbeat = \"500ms\"
            backoff_max = \"1s\"
            admin = \"127.0.0.1:0\"
            {slow_after}
            {more}
            [purger.targets]
            urls = {urls:?}\n",
        );
        fs::write(&file, text).unwrap();
        Self { file, _directory: directory }
    }

    pub(crate) fn start(&self, name: &str) -> Purger {
        let mut command = Command::new(program());
        let process = Process::start(name, command.arg("run").arg("--config").arg(&self.file));
        let admin = process.address("admin");
        Purger { process, admin }
    }

    /// Starts a command that goes on.
    pub(crate) fn start_command(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(program());
        Process::start(name, command.args(arguments).arg("--config").arg(&self.file))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).arg("--config").arg(&self.file).output().unwrap()
    }
}

impl Purger {
    pub(crate) fn status(&self) -> Status {
        let answer = Client::new(self.admin).get("/api/v1/status").expect("the purger answers");
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    pub(crate) fn readiness(&self) -> u16 {
        Client::new(self.admin).get("/readyz").expect("the purger answers").status
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_shellac-purger"))
}
