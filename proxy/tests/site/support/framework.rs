//! `Framework`: a small site of a framework (`loadtest/renderers`), served by its own server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::child::{Announces, ChildProcess};
use super::{Client, skipped};

/// A running server. It ends when it is dropped, or with this process.
#[derive(Debug)]
pub(crate) struct Framework {
    _child: ChildProcess,
    address: SocketAddr,
}

/// A request that reached the server.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) target: String,
    pub(crate) fields: HeaderMap,
}

impl Framework {
    /// Installs and builds the site on first use, and serves it.
    ///
    /// # Panics
    /// When Node.js or npm is missing, or the site cannot be built.
    pub(crate) fn serve(name: &str) -> Self {
        let mut command = Command::new(sites().join("build.sh"));
        command.args(["--serve", name]);
        Self::start(&mut command)
    }

    /// Serves the Django site, one for all tests; `None` where it cannot be installed, which the
    /// test then says.
    pub(crate) fn django() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Framework, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let program = sites().join("django/serve.sh");
            let installed = Command::new(&program).arg("--install").output();
            let installed = installed.expect("the script can be started");
            match installed.status.code() {
                Some(UNAVAILABLE) => {
                    Err(String::from_utf8_lossy(&installed.stderr).trim().to_owned())
                }
                _ => Ok(Self::start(&mut Command::new(program))),
            }
        });
        shared.as_ref().inspect_err(|why| skipped(why)).ok()
    }

    fn start(command: &mut Command) -> Self {
        command.env("EXIT_WITH_STDIN", "1");
        let (child, said) =
            ChildProcess::start(command, Announces::OnStdout, |line| line.contains(LISTENING));
        let address = said.last().and_then(|line| line.strip_prefix(LISTENING));
        let address = address.and_then(|address| address.parse().ok());
        Self { _child: child, address: address.expect("it says where it listens") }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests that reached the server, and forgets them.
    pub(crate) async fn reached(&self) -> Vec<Reached> {
        let recorded = Client::of(self.address).delete("/_tap").await.json();
        recorded.as_array().expect("it is a list").iter().map(Reached::of).collect()
    }
}

impl Reached {
    fn of(request: &Value) -> Self {
        let fields = request["headers"].as_object().expect("it has fields");
        let field = |(name, value): (&String, &Value)| {
            let name: HeaderName = name.parse().expect("it is a name");
            let value = value.as_str().unwrap_or_default();
            (name, HeaderValue::from_str(value).expect("it is a value"))
        };
        Self {
            target: request["url"].as_str().expect("it has a target").to_owned(),
            fields: fields.iter().map(field).collect(),
        }
    }
}

fn sites() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/renderers");
    folder.canonicalize().expect("loadtest/renderers is a part of this repository")
}

/// A script's exit code where a registry is out of reach.
const UNAVAILABLE: i32 = 3;
const LISTENING: &str = "listening on http://";
