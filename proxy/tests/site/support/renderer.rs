//! `Renderer`: one process of the Next.js site.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::OnceLock;

use http::StatusCode;
use serde_json::{Value, json};

use super::child::{Announces, ChildProcess};
use super::{Client, site};

/// A running renderer. It ends when it is dropped, or with this process.
#[derive(Debug)]
pub(crate) struct Renderer {
    child: ChildProcess,
    address: SocketAddr,
}

impl Renderer {
    /// The one that tests share which need none of their own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Renderer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub(crate) fn start() -> Self {
        Self::start_on(0)
    }

    fn start_on(port: u16) -> Self {
        let mut command = Command::new("node");
        command.arg("server.mjs").current_dir(site::folder());
        command.env("HOST", "127.0.0.1").env("PORT", port.to_string()).env("EXIT_WITH_STDIN", "1");
        let (child, said) =
            ChildProcess::start(&mut command, Announces::OnStdout, |line| line.contains(LISTENING));
        let address = said.last().and_then(|line| line.strip_prefix(LISTENING));
        let address = address.and_then(|address| address.parse().ok());
        Self { child, address: address.expect("it says where it listens") }
    }

    pub(crate) fn kill(mut self) -> Dead {
        self.child.kill();
        Dead { address: self.address }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn client(&self) -> Client {
        Client::of(self.address)
    }

    /// Adds 1 to a product's price and returns the new one as pages show it.
    pub(crate) async fn raise_price(&self, product: u64) -> String {
        let answer = self.client().post(&format!("/api/products/{product}"), &json!({})).await;
        let price = answer.json()["price"].as_f64().expect("a product has a price");
        format!("{price:.2}")
    }

    /// Makes the pages of the sites fail: with a status code, `"hang"` or `"drop"`; 0 ends it.
    pub(crate) async fn fail_with(&self, failure: Value) {
        let answer = self.client().post("/api/fail", &json!({ "status": failure })).await;
        assert_eq!(answer.status, StatusCode::OK, "the renderer knows this failure");
    }

    pub(crate) async fn requests_for(&self, path: &str) -> u64 {
        self.stats().await["byPath"][path].as_u64().unwrap_or(0)
    }

    pub(crate) async fn count(&self, counter: &str) -> u64 {
        self.stats().await[counter].as_u64().expect("there is such a counter")
    }

    async fn stats(&self) -> Value {
        self.client().get("/api/stats").await.json()
    }
}

#[derive(Debug)]
pub(crate) struct Dead {
    address: SocketAddr,
}

impl Dead {
    pub(crate) fn revive(self) -> Renderer {
        Renderer::start_on(self.address.port())
    }
}

const LISTENING: &str = "listening on http://";
