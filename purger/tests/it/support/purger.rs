//! A purger in this process, on a runtime of its own.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use process::clock::Clock;
use settings::{Config, Sources};
use shellac_purger::admin::Status;
use shellac_purger::app::{App, ShutdownResult};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{Broker, Proxy};

/// A running purger; it leaves the group when it is dropped.
pub(crate) struct Purger {
    admin: SocketAddr,
    leave: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<ShutdownResult>>,
}

/// `settings` are lines of `[purger]`, and after `[kafka]` of that table.
fn configuration(broker: &Broker, urls: &[String], settings: &str) -> String {
    let (settings, kafka) = settings.split_once("[kafka]").unwrap_or((settings, ""));
    format!(
        "[origin.app]\nservers = [\"127.0.0.1:1\"]\n[kafka]\n{kafka}\nbrokers = [\"{}\"]\n\
         [kafka.properties]\n\"fetch.wait.max.ms\" = \"10\"\n\"topic.metadata.refresh.interval.ms\" = \"1000\"\n\
         [purger]\ntopics = [\"purge\"]\ndead_letter = \"dead\"\nadmin = \"127.0.0.1:0\"\nsession_timeout = \"4s\"\n\
         targets.urls = {urls:?}\ntargets.token = \"secret\"\n{settings}\n",
        broker.address(),
    )
}

/// Runs a command of the real program; returns its exit code and everything it said.
pub(crate) async fn command(
    broker: &Broker,
    urls: &[String],
    settings: &str,
    name: &'static str,
    arguments: &[&str],
) -> (i32, String) {
    let text = configuration(broker, urls, settings);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_shellac-purger"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    command.arg(name).args(arguments).arg("--config").arg(&file);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

impl Purger {
    /// Starts a purger for these proxies.
    pub(crate) async fn start(broker: &Broker, proxies: &[&Proxy], settings: &str) -> Self {
        let urls = proxies.iter().map(|proxy| proxy.url()).collect::<Vec<_>>();
        Self::start_for(broker, &urls, settings).await
    }

    pub(crate) async fn start_for(broker: &Broker, urls: &[String], settings: &str) -> Self {
        let file = Some(("test.toml".to_owned(), configuration(broker, urls, settings)));
        let config = Config::load(&Sources { file, ..Sources::default() }).unwrap();
        let (leave, told) = oneshot::channel();
        let (bound, admin) = oneshot::channel();
        let running = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let app = App::new(config, Clock::system()).unwrap();
                bound.send(app.admin_address().unwrap()).unwrap();
                app.run(async {
                    let _dropped = told.await;
                })
                .await
                .unwrap()
            })
        });
        Self { admin: admin.await.unwrap(), leave: Some(leave), running: Some(running) }
    }

    pub(crate) async fn stop(mut self) -> ShutdownResult {
        drop(self.leave.take());
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(move || running.join().unwrap()).await.unwrap()
    }

    /// Its own listener.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.admin)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.admin).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(path).header("host", "x").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn status(&self) -> Status {
        serde_json::from_str(&self.get("/api/v1/status").await.1).unwrap()
    }

    /// The value of a metric, with its labels as they are written.
    pub(crate) async fn metric(&self, name: &str) -> String {
        let page = self.get("/metrics").await.1;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).to_owned()
    }
}

impl Drop for Purger {
    fn drop(&mut self) {
        drop(self.leave.take());
        if let Some(running) = self.running.take() {
            let _panicked = running.join();
        }
    }
}
