//! `Framework`: a small site of a framework (`loadtest/renderers`), served by its own server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::Client;
use super::child::{Announces, ChildProcess};

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
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/renderers");
        let folder =
            folder.canonicalize().expect("loadtest/renderers is a part of this repository");
        let mut command = Command::new("./build.sh");
        command.args(["--serve", name]).current_dir(folder).env("EXIT_WITH_STDIN", "1");
        let (child, said) =
            ChildProcess::start(&mut command, Announces::OnStdout, |line| line.contains(LISTENING));
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

const LISTENING: &str = "listening on http://";
