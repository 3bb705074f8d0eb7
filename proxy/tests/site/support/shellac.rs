//! `Shellac`: the program under test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};

use tempfile::TempDir;

use super::Client;
use super::child::{Announces, ChildProcess};

#[derive(Debug)]
pub(crate) struct Shellac {
    child: ChildProcess,
    traffic: SocketAddr,
    admin: SocketAddr,
    /// Its configuration, and where it runs: so that it finds no other.
    _folder: TempDir,
}

impl Shellac {
    /// Starts one before an origin.
    pub(crate) fn before(origin: SocketAddr) -> Self {
        Self::configured(origin, "", "")
    }

    /// Starts one with more settings of `[origin.renderer]`, and further tables.
    pub(crate) fn configured(origin: SocketAddr, origin_settings: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = folder.path().join("shellac.toml");
        std::fs::write(&config, configuration(origin, origin_settings, tables))
            .expect("the configuration can be written");
        let mut command = command(&folder);
        command.arg("run").arg("--config").arg(config);
        let (child, said) = ChildProcess::start(&mut command, Announces::OnStderr, |line| {
            line.trim_start().starts_with("workers")
        });
        let (traffic, admin) = (address_in(&said, "listen"), address_in(&said, "admin"));
        Self { child, traffic, admin, _folder: folder }
    }

    pub(crate) const fn client(&self) -> Client {
        Client::of(self.traffic)
    }

    pub(crate) const fn admin(&self) -> Client {
        Client::of(self.admin)
    }

    /// Where it serves.
    pub(crate) const fn traffic(&self) -> SocketAddr {
        self.traffic
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) {
        self.child.terminate();
    }

    pub(crate) async fn ended(self) -> ExitStatus {
        self.child.ended().await
    }
}

pub(crate) fn configuration(origin: SocketAddr, origin_settings: &str, tables: &str) -> String {
    format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\n\
         [origin.renderer]\nservers = [\"{origin}\"]\n{origin_settings}\n\n{tables}\n"
    )
}

/// Runs a command of the program to its end, with this configuration in a file whose path replaces
/// `FILE`.
pub(crate) fn run(arguments: &[&str], configuration: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file: PathBuf = folder.path().join("shellac.toml");
    std::fs::write(&file, configuration).expect("the configuration can be written");
    let mut command = command(&folder);
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(&file),
            other => command.arg(other),
        };
    }
    command.output().expect("the program can be started")
}

fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
    command.env_clear().current_dir(folder.path());
    command
}

fn address_in(lines: &[String], name: &str) -> SocketAddr {
    let line = lines.iter().find_map(|line| line.trim_start().strip_prefix(name));
    let url = line.and_then(|rest| rest.trim_start().strip_prefix("http://"));
    let address = url.map(|rest| rest.split(['/', ' ']).next().unwrap_or(rest));
    address.expect("it says where it listens").parse().expect("it is an address")
}
