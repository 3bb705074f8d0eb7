//! The proxy, the server behind it, and the client before it: each a process of its own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use tempfile::TempDir;

/// A proxy before a server.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) server: Server,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    _running: RunningProgram,
    address: SocketAddr,
    _folder: TempDir,
}

#[derive(Debug)]
pub(crate) struct Server {
    running: RunningProgram,
    address: SocketAddr,
}

/// A program that ends with its owner.
#[derive(Debug)]
struct RunningProgram(Child);

impl Stage {
    pub(crate) fn start() -> Self {
        let server = Server::start();
        Self { proxy: Proxy::before(server.address), server }
    }

    /// Runs a case of `client.py`.
    pub(crate) fn call(&self, case: &str) {
        self.proxy.call(case);
    }
}

impl Server {
    fn start() -> Self {
        let (running, line) = RunningProgram::start(&mut python("server.py"), "listening on ");
        let address = line.strip_prefix("listening on ").and_then(|text| text.parse().ok());
        Self { running, address: address.expect("it says where it listens") }
    }

    pub(crate) fn kill(&mut self) {
        self.running.0.kill().expect("it is ours to kill");
        self.running.0.wait().expect("it has ended");
    }
}

impl Proxy {
    fn before(server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("shellac.toml");
        let configuration = CONFIGURATION.replace("SERVER", &server.to_string());
        fs::write(&file, configuration).expect("the configuration can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
        command.env_clear().current_dir(folder.path()).arg("run").arg("--config").arg(&file);
        let (running, line) = RunningProgram::start(&mut command, "listen ");
        let address = line.rsplit("http://").next().and_then(|rest| rest.split(['/', ' ']).next());
        let address = address.and_then(|address| address.parse().ok());
        let address = address.expect("it says where it listens");
        Self { _running: running, address, _folder: folder }
    }

    pub(crate) fn call(&self, case: &str) {
        let output = self.client(case).output().expect("the client can be started");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{case} failed:\n{stdout}{stderr}");
    }

    /// Runs a case, and does something when it prints this line.
    pub(crate) fn call_until(&self, line: &str, case: &str, act: impl FnOnce()) {
        let mut client = self.client(case);
        let (mut running, _) = RunningProgram::start(&mut client, line);
        act();
        let status = running.0.wait().expect("it ends");
        assert!(status.success(), "{case} failed: {status}");
    }

    fn client(&self, case: &str) -> Command {
        let mut client = python("client.py");
        client.arg(self.address.to_string()).arg(case);
        client
    }
}

impl RunningProgram {
    /// Starts a program and returns it with the line of its output that begins so.
    fn start(command: &mut Command, beginning: &str) -> (Self, String) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let (sender, lines) = std::sync::mpsc::channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|output| Box::new(output) as _),
            child.stderr.take().map(|output| Box::new(output) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _nobody_listens_any_more = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut running = Self(child);
        let mut said = Vec::new();
        for line in lines {
            let line = line.trim_start().to_owned();
            if line.starts_with(beginning) {
                return (running, line);
            }
            said.push(line);
        }
        let status = running.0.wait();
        panic!("{command:?} ended at once ({status:?}), saying:\n{}", said.join("\n"));
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _already_waited_for = self.0.wait();
    }
}

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(folder().join(script)).env("PYTHONPATH", packages());
    command
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc")
}

/// Returns the folder of the Python packages, which are installed by one test process at a time.
///
/// # Panics
/// When Python or pip is missing, or the packages cannot be had; the message says what to do.
fn packages() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let (wanted, target) = (folder().join("requirements.txt"), target().join("grpc-packages"));
        let lock = File::open(&wanted).expect("the requirements can be read");
        lock.lock().expect("the requirements can be locked");
        let text = fs::read_to_string(&wanted).expect("the requirements can be read");
        let stamp = target.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == text) {
            return target;
        }
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]);
        pip.arg(&target).arg("--requirement").arg(&wanted);
        let output = pip.output();
        let output =
            output.unwrap_or_else(|error| panic!("cannot run {pip:?} ({error}): {NEEDED}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{pip:?} failed:\n{stderr}\n{NEEDED}");
        fs::write(&stamp, text).expect("the stamp can be written");
        target
    })
}

fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

const CONFIGURATION: &str = r#"
[[listen]]
address = "127.0.0.1:0"

[admin]
listen = ["127.0.0.1:0"]

[origin.calls]
servers = ["SERVER"]
http2 = "cleartext"
idle_timeout = "1s"
first_byte_timeout = "1s"

[limits]
body_timeout = "1s"
"#;
const NEEDED: &str = "the tests of gRPC need Python 3.9 or newer with pip (Debian: apt-get install python3 \
    python3-pip), and a registry for the first run";
