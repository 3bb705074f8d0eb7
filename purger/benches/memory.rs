//! How much memory a purger takes while many proxies catch up at once, beside `purger.memory`.
//! `loadtest/purger-memory.sh` builds everything and runs this.
//!
//! While the purger is away, purges are published to a broker that librdkafka plays. It reads them
//! while all proxies but one are away, and then these return together. Its peak of resident memory
//! in both is compared with what it took without purges, and each proxy must have got every purge.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at what is wrong with itself, and prints"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use purge_protocol::log::{Applied, Batch, LogId, LogState, LogStatus, Position};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

const URLS: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let scene = Scene {
        partitions: number("PARTITIONS", 12),
        proxies: number("PROXIES", 20),
        events: number("EVENTS", 5000),
        budget_mib: number("MEMORY_MIB", 128),
        codec: std::env::var("COMPRESSION").unwrap_or_else(|_unset| "gzip".to_owned()),
    };
    scene.play().await;
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

struct Scene {
    partitions: usize,
    proxies: usize,
    /// Events of each partition.
    events: usize,
    budget_mib: usize,
    codec: String,
}

impl Scene {
    async fn play(&self) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("purge", i32::try_from(self.partitions).unwrap(), 1).unwrap();
        let proxies = self.proxies().await;
        let directory = tempfile::tempdir().unwrap();
        let purger = self.purger(&cluster, &proxies, directory.path());
        let all = |next: i64| {
            let is_there = move |proxy: &Arc<Proxy>| proxy.is_at(next, self.partitions);
            proxies.iter().all(is_there)
        };
        until("every proxy is adopted", || all(0)).await;
        let idle = purger.resident("VmRSS");
        drop(purger);
        proxies.iter().skip(1).for_each(|proxy| proxy.is_away.store(true, Ordering::Relaxed));
        self.publish(&cluster).await;
        let begun = Instant::now();
        let purger = self.purger(&cluster, &proxies, directory.path());
        let end = i64::try_from(self.events).unwrap();
        let first = proxies.first().unwrap();
        until("the others go on", || first.is_at(end, self.partitions)).await;
        let (read, while_read) = (begun.elapsed(), purger.resident("VmHWM"));
        purger.forget_peak();
        let begun = Instant::now();
        for proxy in &proxies {
            proxy.is_away.store(false, Ordering::Relaxed);
        }
        until("every proxy has caught up", || all(end)).await;
        let while_caught_up = purger.resident("VmHWM");
        let missing: usize = proxies.iter().map(|proxy| proxy.missing()).sum();
        let budget = self.budget_mib << 10;
        let most = while_read.max(while_caught_up).saturating_sub(idle);
        println!(
            "purger.memory {} MiB, {} partitions, {} proxies, {} events of {URLS} URLs each ({}): \
             {} MiB before, {} MiB while reading ({:.0} s), {} MiB while {} proxies caught up ({:.0} s); \
             {} of {} MiB used",
            self.budget_mib,
            self.partitions,
            self.proxies,
            self.events * self.partitions,
            self.codec,
            idle >> 10,
            while_read >> 10,
            read.as_secs_f64(),
            while_caught_up >> 10,
            self.proxies - 1,
            begun.elapsed().as_secs_f64(),
            most >> 10,
            self.budget_mib,
        );
        assert_eq!(missing, 0, "purges that never came");
        assert!(most <= budget, "{most} KiB of {budget}");
    }

    async fn proxies(&self) -> Vec<Arc<Proxy>> {
        let mut proxies = Vec::new();
        for _ in 0..self.proxies {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let proxy = Arc::new(Proxy {
                url: format!("http://{}", listener.local_addr().unwrap()),
                is_away: AtomicBool::new(false),
                positions: Mutex::default(),
                seen: Mutex::new(vec![false; self.partitions * self.events * URLS]),
            });
            drop(tokio::spawn(serve(listener, Arc::clone(&proxy))));
            proxies.push(proxy);
        }
        proxies
    }

    fn purger(
        &self,
        cluster: &MockCluster<'_, DefaultProducerContext>,
        proxies: &[Arc<Proxy>],
        directory: &std::path::Path,
    ) -> Purger {
        let urls: Vec<&str> = proxies.iter().map(|proxy| proxy.url.as_str()).collect();
        let text = format!(
            "[kafka]\nbrokers = [\"{}\"]\n[purger]\ntopics = [\"purge\"]\nadmin = \"127.0.0.1:0\"\n\
             memory = \"{}MiB\"\nslow_after = \"200ms\"\nbackoff_max = \"500ms\"\n{}\n\
             [purger.targets]\nurls = {urls:?}\n",
            cluster.bootstrap_servers(),
            self.budget_mib,
            std::env::var("PURGER").unwrap_or_default(),
        );
        let file = directory.join("config.toml");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_shellac-purger"));
        command.env("MALLOC_ARENA_MAX", "1"); // as the packages set it
        command.arg("run").arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("LOUD").is_none() {
            command.stderr(Stdio::null());
        }
        Purger(command.spawn().unwrap())
    }

    async fn publish(&self, cluster: &MockCluster<'_, DefaultProducerContext>) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("compression.codec", &self.codec)
            .set("linger.ms", "50")
            .set("queue.buffering.max.messages", "10000000")
            .create()
            .unwrap();
        let mut sent = Vec::new();
        for event in 0..self.events {
            for partition in 0..self.partitions {
                let first = (event * self.partitions + partition) * URLS;
                let urls: Vec<String> = (first..first + URLS).map(url).collect();
                let value = serde_json::json!({ "urls": urls }).to_string();
                let number = i32::try_from(partition).unwrap();
                let record = FutureRecord::to("purge").partition(number).key("k").payload(&value);
                sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
            }
        }
        for delivery in sent {
            delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }
}

fn url(number: usize) -> String {
    format!("https://shop.example/catalogue/spring-collection/{number}")
}

struct Purger(Child);

impl Purger {
    /// A value of `/proc/PID/status` in KiB.
    fn resident(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim_matches([':', ' ', '\t']).trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Begins `VmHWM` anew (proc(5), `clear_refs`).
    fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5").unwrap();
    }
}

impl Drop for Purger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Proxy {
    url: String,
    is_away: AtomicBool,
    positions: Mutex<BTreeMap<LogId, Position>>,
    /// Which URLs have been purged, by number.
    seen: Mutex<Vec<bool>>,
}

impl Proxy {
    fn is_at(&self, next: i64, partitions: usize) -> bool {
        let positions = self.positions.lock();
        positions.len() == partitions && positions.values().all(|position| position.next == next)
    }

    fn missing(&self) -> usize {
        self.seen.lock().iter().filter(|is_seen| !**is_seen).count()
    }

    fn log_status(&self) -> LogStatus {
        LogStatus {
            instance: "process".to_owned(),
            clock: None,
            state: LogState::Current,
            positions: self.positions.lock().values().cloned().collect(),
        }
    }

    fn take(&self, batch: Batch) -> Response<Full<Bytes>> {
        let known = self.positions.lock().get(&batch.log).map_or(0, |position| position.next);
        if batch.start.is_none() && batch.from > known {
            return json(StatusCode::CONFLICT, &self.log_status());
        }
        for url in batch.purges.iter().flat_map(|purge| &purge.request.urls) {
            let number: usize = url.rsplit_once('/').unwrap().1.parse().unwrap();
            *self.seen.lock().get_mut(number).unwrap() = true;
        }
        let next = if batch.start.is_some() { batch.to } else { known.max(batch.to) };
        let (last, clean_ms) = (batch.last, batch.clean_ms);
        let position = Position { log: batch.log.clone(), next, last, clean_ms };
        self.positions.lock().insert(batch.log, position);
        let (instance, hits) = ("process".to_owned(), Vec::new());
        json(StatusCode::OK, &Applied { instance, next, clock: None, hits })
    }
}

async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let proxy = Arc::clone(&proxy);
        let service = service_fn(move |request| {
            let proxy = Arc::clone(&proxy);
            async move { Ok::<_, Infallible>(answer(&proxy, request).await) }
        });
        drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service)));
    }
}

async fn answer(proxy: &Proxy, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Response::default() };
    if proxy.is_away.load(Ordering::Relaxed) {
        return json(StatusCode::INTERNAL_SERVER_ERROR, &"away");
    }
    match head.method {
        Method::GET => json(StatusCode::OK, &proxy.log_status()),
        _ => proxy.take(serde_json::from_slice(&body.to_bytes()).unwrap()),
    }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(serde_json::to_vec(value).unwrap()));
    *response.status_mut() = status;
    response
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() <= deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

const PATIENCE: Duration = Duration::from_mins(10);
