//! A proxy in this process, with a clock that stands still until it is moved.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use process::clock::Clock;
use process::timestamp::Timestamp;
use serde_json::{Value, json};
use settings::{Config, Sources, StorageKind};
use shellac::app::App;
use shellac::server::{Bound, Configuration, Drained};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::client::{Answer, Connection};
use super::origin::Origin;

/// A running proxy. Dropped, it drains and ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) app: Arc<App>,
    pub(crate) clock: Clock,
    leave: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Drained>>,
    _folder: TempDir,
}

/// When the manual clock begins: the RFCs' favourite date.
pub(crate) const START: Timestamp = Timestamp::from_secs(784_111_777);
/// The same as a field value.
pub(crate) const START_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

impl Proxy {
    /// Starts one before this origin, with two workers and defaults.
    pub(crate) fn start(origin: &Origin) -> Self {
        Self::start_with(origin, |_| {})
    }

    /// Starts one with changes to the defaults.
    pub(crate) fn start_with(origin: &Origin, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(origin.address, Clock::manual(START), change)
    }

    /// Starts one whose clock is the system's: for what happens on a connection.
    pub(crate) fn start_in_real_time(origin: &Origin, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(origin.address, Clock::system(), change)
    }

    pub(crate) fn start_at(
        origin: SocketAddr,
        clock: Clock,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let text = CONFIG.replace("ORIGIN", &origin.to_string());
        let file = Some(("config.toml".to_owned(), text));
        let mut config = Config::load(&Sources { file, ..Sources::default() }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        store_in_a_file_if_asked_to(&mut config, folder.path());
        change(&mut config);
        Self::serve(config, clock, folder, None)
    }

    /// Starts one with the configuration in this file, which it can read again.
    pub(crate) fn start_from(file: &Path, clock: Clock) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let file = Some((file.display().to_string(), text));
        let sources = Sources { file, ..Sources::default() };
        let (config, written) = Config::load_written(&sources, |_| Vec::new()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self::serve(config, clock, folder, Some(Configuration { sources, written }))
    }

    fn serve(
        config: Config,
        clock: Clock,
        folder: TempDir,
        configuration: Option<Configuration>,
    ) -> Self {
        let app = App::new(config, clock.clone()).unwrap();
        let bound = Bound::bind(Arc::clone(&app)).unwrap();
        let bound = match configuration {
            Some(configuration) => bound.reloading(configuration),
            None => bound,
        };
        let (address, admin) = (bound.sockets().tcp()[0], bound.sockets().tcp_admin()[0]);
        let (leave, left) = oneshot::channel::<()>();
        let run = move || bound.run(async { drop(left.await) }).unwrap();
        let running = std::thread::Builder::new().name("proxy".into()).spawn(run).unwrap();
        let (leave, running) = (Some(leave), Some(running));
        Self { address, admin, app, clock, leave, running, _folder: folder }
    }

    /// Tells it to leave, as SIGTERM does.
    pub(crate) fn leave(&mut self) {
        drop(self.leave.take());
    }

    /// Waits for its end.
    pub(crate) async fn left(&mut self) -> Drained {
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(move || running.join().unwrap()).await.unwrap()
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, fields).await
    }

    /// Sends a request on a connection of its own, and reads the answer to its end.
    pub(crate) async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        ask(self.address, method, path, fields, "").await
    }

    /// The same with content.
    pub(crate) async fn post(&self, path: &str, content: &str) -> Answer {
        ask(self.address, "POST", path, &[], content).await
    }

    /// Begins a request and returns with the connection on which the answer will be.
    pub(crate) async fn begin(&self, path: &str, fields: &[(&str, &str)]) -> Connection {
        let mut connection = self.connect().await;
        connection.send(request("GET", path, fields, "")).await;
        connection
    }

    /// Sends a request to the admin listener.
    pub(crate) async fn ask_admin(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        content: &str,
    ) -> Answer {
        ask(self.admin, method, path, fields, content).await
    }

    /// Delivers a batch of the purge log.
    pub(crate) async fn deliver(&self, batch: &Value) -> Answer {
        self.ask_admin("POST", "/api/v1/log", &[], &batch.to_string()).await
    }

    /// Delivers one purge over the log, at this offset.
    pub(crate) async fn deliver_purge(&self, offset: u64, purge: &Value) {
        let mut purge = purge.clone();
        purge["offset"] = offset.into();
        let start = if offset == 0 { json!("adopt") } else { Value::Null };
        let batch = json!({
            "log": {"cluster": "c", "topic": "t", "partition": 0}, "partitions": 1,
            "from": offset, "to": offset + 1, "clean_ms": 0, "purger": "p", "start": start, "purges": [purge],
        });
        let answer = self.deliver(&batch).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    /// Where it stands in the purge log.
    pub(crate) async fn log_status(&self) -> Value {
        self.ask_admin("GET", "/api/v1/log", &[], "").await.json()
    }

    /// Purges through the JSON API; returns the report.
    pub(crate) async fn purge(&self, request: &str) -> Value {
        let answer = self.ask_admin("POST", "/api/v1/purge", &[], request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.json()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.leave();
        if let Some(running) = self.running.take() {
            drop(running.join());
        }
    }
}

/// Every test passes with each engine: `SHELLAC_TEST_STORAGE` is `file` or `tiered`, or nothing.
fn store_in_a_file_if_asked_to(config: &mut Config, folder: &Path) {
    config.storage.kind = match std::env::var("SHELLAC_TEST_STORAGE").as_deref() {
        Ok("file") => StorageKind::File,
        Ok("tiered") => StorageKind::Tiered,
        _ => return,
    };
    config.storage.file.path = folder.to_owned();
    config.storage.file.capacity = 128 << 20;
    config.storage.file.max_object = config.storage.memory.max_object;
}

/// Writes a request of the site `site.example`, or for the admin API, unless a field says
/// otherwise.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)], content: &str) -> String {
    let has_host = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = if path.starts_with("/api/v1/") { "localhost" } else { "site.example" };
    let host = (!has_host).then_some(("Host", host));
    let length = content.len().to_string();
    let length = (!content.is_empty()).then_some(("Content-Length", &*length));
    let lines = host
        .iter()
        .chain(fields)
        .chain(&length)
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{method} {path} HTTP/1.1\r\n{}\r\n{content}", lines.collect::<String>())
}

async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    content: &str,
) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.send(request(method, path, fields, content)).await;
    if method == "HEAD" { connection.answer_to_head().await } else { connection.answer().await }
}

const CONFIG: &str = r#"
workers = 2
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = ["127.0.0.1:0"]
[origin.app]
servers = ["ORIGIN"]
[storage.memory]
capacity = "64MiB"
[limits]
drain_timeout = "100ms"
"#;
