//! A proxy: the real program before the origin.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use purge_protocol::log::{LogStatus, PATH};
use tempfile::TempDir;

use super::client::Client;
use super::process::Process;

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) traffic: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    _directory: TempDir,
}

impl Proxy {
    pub(crate) fn start(name: &str, origin: SocketAddr, log: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.toml");
        let text = format!(
            "workers = 1
            [[listen]]
            name = \"main\"
            address = \"127.0.0.1:0\"
            [admin]
            listen = [\"127.0.0.1:0\"]
            [origin.app]
            servers = [\"{origin}\"]
            [storage.memory]
            capacity = \"128MiB\"
            [log]
            format = \"json\"
            [purge.log]
            {log}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program());
        let process = Process::start(name, command.arg("run").arg("--config").arg(&file));
        let (traffic, admin) = (process.address("listen"), process.address("admin"));
        Self { traffic, admin, process, _directory: directory }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.traffic)
    }

    /// Where it says that it stands.
    pub(crate) fn log_status(&self) -> LogStatus {
        let answer = Client::new(self.admin).get(PATH).expect("the admin listener answers");
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    pub(crate) fn positions(&self, topic: &str) -> BTreeMap<i32, i64> {
        let positions = self.log_status().positions;
        let positions = positions.into_iter().filter(|position| position.log.topic == topic);
        positions.map(|position| (position.log.partition, position.next)).collect()
    }
}

/// The proxy's program, beside the purger's. `cargo test --workspace` has built it; for tests of
/// the purger alone it is built here, once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let purger = Path::new(env!("CARGO_BIN_EXE_shellac-purger"));
        let program = purger.with_file_name("shellac");
        if !program.exists() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--locked", "-p", "shellac"]);
            if purger.parent().unwrap().ends_with("release") {
                cargo.arg("--release");
            }
            let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
            assert!(built.is_ok_and(|status| status.success()), "shellac does not build");
        }
        program
    })
}
