//! How soon a purge takes effect, and how many a purger carries: genuine Kafka, three proxies, one
//! purger. `loadtest/purge.sh` builds everything and runs this.
//!
//! Latency is what a visitor sees: from the moment at which an event is handed to Kafka's client
//! until a proxy that had stored the page shows the new one; the last of three proxies counts.
//! Throughput is how fast a backlog of events is applied by all three, with the purger on one core
//! and everything else on the other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark stops at what is wrong with itself, and prints"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/kafka/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use tokio::time::Instant;

use support::kafka::Kafka;
use support::purger::{Purger, Purgers};
use support::site::{Site, shown};
use support::{rest, until};

const TOPIC: &str = "purges";
const PARTITIONS: i32 = 3;
const PROXIES: usize = 3;
/// Pages whose purges are timed; one every so often.
const PROBES: usize = 300;
const PROBE_EVERY: Duration = Duration::from_millis(40);

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let kafka = Kafka::start();
    for rate in numbers("RATES", &[100, 1000, 10_000]) {
        latency(&kafka, rate);
    }
    for events in numbers("BACKLOG", &[300_000]) {
        sustained(&kafka, events);
    }
}

/// Numbers that the environment may override.
fn numbers(name: &str, otherwise: &[usize]) -> Vec<usize> {
    let Ok(text) = std::env::var(name) else { return otherwise.to_vec() };
    text.split_whitespace().map(|number| number.parse().expect("numbers")).collect()
}

/// A site, its purger and what they have used so far.
struct Setting {
    topic: String,
    site: Site,
    purgers: Purgers,
}

impl Setting {
    fn new(kafka: &Kafka, name: &str) -> Self {
        let topic = format!("{TOPIC}-{name}");
        kafka.make_topic(&topic, PARTITIONS, &[]);
        let site = Site::start(PROBES, PROXIES, "");
        let targets: Vec<_> = site.proxies.iter().map(|proxy| proxy.admin).collect();
        let more = format!("group = \"{topic}\"\n{}", std::env::var("PURGER").unwrap_or_default());
        let purgers = Purgers::new(kafka, &[&topic], &targets, &more);
        Self { topic, site, purgers }
    }

    fn purger(&self) -> Purger {
        let purger = self.purgers.start("purger");
        self.site.wait_for_purger(&self.topic, usize::try_from(PARTITIONS).unwrap());
        purger
    }

    /// Seconds of processor time so far: of the purger, of all proxies.
    fn used(&self, purger: &Purger) -> (f64, f64) {
        let proxies = self.site.proxies.iter().map(|proxy| processor_seconds(proxy.process.pid()));
        (processor_seconds(purger.process.pid()), proxies.sum())
    }
}

/// Events at a rate; some of them are timed.
fn latency(kafka: &Kafka, rate: usize) {
    let setting = Setting::new(kafka, &format!("at-{rate}"));
    let purger = setting.purger();
    setting.site.warm(0..PROBES);
    let is_over = AtomicBool::new(false);
    let (mut seen, mut published, mut used, mut lasted) = (Vec::new(), 0, (0.0, 0.0), 0.0);
    thread::scope(|scope| {
        let flow = scope.spawn(|| flow(kafka, &setting.topic, rate, &is_over));
        rest(Duration::from_secs(1));
        let (before, started) = (setting.used(&purger), Instant::now());
        seen = probe(kafka, &setting);
        let after = setting.used(&purger);
        lasted = started.elapsed().as_secs_f64();
        used = (after.0 - before.0, after.1 - before.1);
        is_over.store(true, Ordering::Relaxed);
        published = flow.join().unwrap();
    });
    seen.sort_unstable();
    let at =
        |percent: usize| seen[(seen.len() * percent / 100).min(seen.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{rate:>6} events/s: invisible on all {PROXIES} proxies after p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms \
         ({} purges timed, {published} published; purger {:.0} % of a core, proxies {:.0} % together, probes included)",
        at(50),
        at(90),
        at(99),
        at(100),
        seen.len(),
        used.0 / lasted * 100.0,
        used.1 / lasted * 100.0,
    );
}

/// Publishes events that purge nothing stored, at a rate, until it is over; returns how many.
fn flow(kafka: &Kafka, topic: &str, rate: usize, is_over: &AtomicBool) -> usize {
    let publisher = kafka.publisher_with_linger("1");
    let started = Instant::now();
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = usize::try_from(started.elapsed().as_micros()).unwrap() * rate / 1_000_000;
        while count < due {
            publisher.publish(topic, &count.to_string(), &event(count));
            count += 1;
        }
        rest(Duration::from_millis(1));
    }
    publisher.flush();
    count
}

fn event(number: usize) -> Vec<u8> {
    format!(
        "{{\"specversion\":\"1.0\",\"type\":\"cache.purge.requested.v1\",\"id\":\"{number:026}\",\
         \"source\":\"/publisher/site-editor\",\"data\":{{\"tags\":[\"product-{number}\",\"category-{}\"],\
         \"reason\":\"publish\"}}}}",
        number % 1000
    )
    .into_bytes()
}

/// Changes one page after the other; returns how long each stayed visible somewhere.
fn probe(kafka: &Kafka, setting: &Setting) -> Vec<Duration> {
    let publisher = kafka.publisher_with_linger("0");
    let mut seen = Vec::new();
    let mut clients: Vec<_> =
        setting.site.proxies.iter().map(support::proxy::Proxy::client).collect();
    for page in 0..PROBES {
        let due = Instant::now() + PROBE_EVERY;
        setting.site.origin.publish(page, 1);
        let json = format!("{{\"tags\":[\"page-{page}\"]}}");
        let begun = Instant::now();
        publisher.publish(&setting.topic, &page.to_string(), json.as_bytes());
        let mut waiting: Vec<_> = clients.iter_mut().collect();
        while !waiting.is_empty() {
            rest(Duration::from_micros(300));
            waiting.retain_mut(|client| shown(client, page).0 != Some(1));
            assert!(begun.elapsed() < support::PATIENCE, "page {page} is never purged");
        }
        seen.push(begun.elapsed());
        rest(due.saturating_duration_since(Instant::now()));
    }
    seen
}

/// A backlog that the purger finds when it starts.
fn sustained(kafka: &Kafka, events: usize) {
    let setting = Setting::new(kafka, &format!("backlog-{events}"));
    let mut first = setting.purger(); // the proxies are known from offset 0 on
    first.process.kill();
    let publisher = kafka.publisher();
    (0..events)
        .for_each(|number| publisher.publish(&setting.topic, &number.to_string(), &event(number)));
    publisher.flush();
    let ends = kafka.ends(&setting.topic);
    for proxy in &setting.site.proxies {
        pin(proxy.process.pid(), 0);
    }
    pin(kafka.pid(), 0);
    pin(std::process::id(), 0);

    let purger = setting.purgers.start("purger");
    pin(purger.process.pid(), 1);
    until("it begins", || setting.site.proxies.iter().any(|proxy| applied(proxy) > 0));
    let (begun, started, before) = (slowest(&setting.site), Instant::now(), setting.used(&purger));
    let sum: i64 = ends.iter().sum();
    until("all is applied everywhere", || slowest(&setting.site) == sum);
    let (lasted, after) = (started.elapsed().as_secs_f64(), setting.used(&purger));
    let count = f64::from(i32::try_from(sum - begun).unwrap());
    let (own, proxies) = ((after.0 - before.0) / count * 1e6, (after.1 - before.1) / count * 1e6);
    println!(
        "backlog of {events}: {:.0} events/s applied on all {PROXIES} proxies; per event {own:.1} µs of the purger \
         (one core carries {:.0}/s), {:.1} µs of each proxy",
        count / lasted,
        1e6 / own,
        proxies / f64::from(u32::try_from(PROXIES).unwrap()),
    );
}

fn applied(proxy: &support::proxy::Proxy) -> i64 {
    let positions: BTreeMap<i32, i64> =
        proxy.log_status().positions.into_iter().map(|p| (p.log.partition, p.next)).collect();
    positions.values().sum()
}

fn slowest(site: &Site) -> i64 {
    site.proxies.iter().map(applied).min().unwrap()
}

/// Has all threads of a process run on one core.
fn pin(pid: u32, core: usize) {
    let pinned = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string(), &pid.to_string()])
        .output();
    assert!(pinned.is_ok_and(|output| output.status.success()), "taskset (util-linux) is needed");
}

/// What all threads of a process have used (`utime` and `stime` of `/proc/PID/stat`), at 100 ticks
/// a second.
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}
