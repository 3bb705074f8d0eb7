//! What a million stored responses occupy, whether the capacity is kept, and what a purge of all of
//! them does to hits.
//!
//! `cargo bench -p benches --bench memory [-- overhead|turnover|purge]`. Prints Markdown tables.
//! Resident memory is that of the process (`/proc/self/statm`), with the allocator of the program
//! `shellac`. Linux only.

#![expect(clippy::print_stdout, reason = "a program that prints tables")]
#![expect(clippy::cast_precision_loss, reason = "figures for reading")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use benches::{Random, Shop, key};
use purge_protocol::request::Target;
use purge_protocol::{PurgeMode, Selector, Tag};
use shellac::testing::key::KeySeed;
use shellac::testing::purge::PurgeExecutor;
use shellac::testing::purge::metrics::Source;
use shellac::testing::store::journal::Journal;
use shellac::testing::store::{Store as _, Usage};
use tokio::time::Instant;

const PAGES: u64 = 1_000_000;
const TURNS: u64 = 20;

fn main() {
    if let Ok(task) = env::var(CHILD) {
        return measure(&task);
    }
    let chosen = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!("{}\n", machine());
    let parts: [(&str, fn()); 3] =
        [("overhead", overhead), ("turnover", turnover), ("purge", purge)];
    for (name, run) in parts {
        if chosen.as_ref().is_none_or(|chosen| chosen == name) {
            run();
        }
    }
}

/// Bytes per response, against what the store believes. Each row in a process of its own: memory
/// that another one has given back would count as nobody's.
fn overhead() {
    println!("## 1,000,000 stored responses: 60-byte key, 12 fields\n");
    println!(
        "| body B | tags | own tag | resident B | accounted B | accounted / resident | payload B | overhead B |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let rows = [
        "0 1 shared",
        "1024 1 shared",
        "1024 5 shared",
        "1024 5 own",
        "3000 5 shared",
        "20000 5 shared",
    ];
    for row in rows {
        let program = env::current_exe().expect("a program has a name");
        let status = std::process::Command::new(program).env(CHILD, row).status();
        assert!(status.is_ok_and(|status| status.success()), "the measuring process failed");
    }
    println!();
}

fn measure(row: &str) {
    let mut words = row.split(' ');
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let (body, tags) = (number(), number());
    let has_own_tag = words.next() == Some("own");
    let count = if body > 10_000 { PAGES / 10 } else { PAGES };
    let shop = Shop::new(16 << 30);
    let content = vec![b'x'; usize::try_from(body).expect("a size")];
    let before = resident();
    for page in 0..count {
        let mut tags = shop.tags(page, tags);
        if has_own_tag {
            tags.push(shop.invalidation.ids().tag(format!("etag-{page}").as_bytes()));
        }
        drop(shop.put(page, tags, &content));
    }
    shop.store.settle();
    let each = |bytes: u64| bytes as f64 / count as f64;
    let resident = each(resident() - before);
    let accounted = each(shop.store.usage().bytes);
    let payload = (key(0).path().len() + key(0).host().len() + field_bytes()) as f64 + body as f64;
    let overhead = resident - payload;
    let share = accounted / resident;
    println!(
        "| {body} | {tags} | {has_own_tag} | {resident:.0} | {accounted:.0} | {share:.2} | {payload:.0} | {overhead:.0} |"
    );
}

fn field_bytes() -> usize {
    benches::FIELDS.iter().map(|(_, value)| value.len()).sum()
}

/// Resident memory against the capacity, while twenty times the capacity goes through.
fn turnover() {
    const CAPACITY: u64 = 1 << 30;
    println!("## Capacity 1 GiB, lognormal pages (median 8 KiB), one in three asked for again\n");
    println!("| turned over | stored | accounted | resident | resident / capacity |");
    println!("|---|---|---|---|---|");
    let shop = Shop::new(CAPACITY);
    let content = vec![b'x'; 1 << 20];
    let (mut random, mut page, mut turned, mut shown) = (Random::new(1), 0, 0, 0);
    let before = resident();
    while turned < TURNS * CAPACITY {
        let body = content.get(..random.page_bytes()).unwrap_or_default();
        turned += shop.put(page, shop.tags(page, 5), body).cost();
        page += 1;
        if page % 3 == 0
            && let Some(old) = shop.store.lookup(&key(random.number() % page), &|_| true)
        {
            shop.store.touch(&old);
        }
        if page % 10_000 == 0 {
            shop.clock.advance(Duration::from_secs(1));
        }
        if turned / CAPACITY > shown {
            shown = turned / CAPACITY;
            let Usage { objects, bytes, .. } = shop.store.usage();
            let resident = resident() - before;
            let share = resident as f64 / CAPACITY as f64;
            println!(
                "| {shown}x | {objects} | {} MiB | {} MiB | {share:.2} |",
                bytes >> 20,
                resident >> 20
            );
        }
    }
    println!();
}

/// A purge of the tag that a million responses carry, and hits of others meanwhile.
fn purge() {
    println!("## Purge of one tag on 1,000,000 responses\n");
    let shop = Arc::new(Shop::new(8 << 30));
    (0..PAGES).for_each(|page| drop(shop.put(page, shop.tags(page, 5), &[b'x'; 1024])));
    let others: Vec<_> = (PAGES..PAGES + 10_000)
        .map(|page| shop.put(page, Vec::new(), &[b'x'; 1024]).key.clone())
        .collect();
    let (phase, is_over) = (AtomicU8::new(0), AtomicBool::new(false));
    let mut answered = Duration::ZERO;
    let mut emptied = Duration::ZERO;
    let latencies = thread::scope(|scope| {
        let hits = scope.spawn(|| hit_others(&shop, &others, &phase, &is_over));
        wait(Duration::from_secs(2));
        phase.store(1, Ordering::Relaxed);
        (answered, emptied) = purge_all(&shop);
        phase.store(2, Ordering::Relaxed);
        wait(Duration::from_secs(2));
        is_over.store(true, Ordering::Relaxed);
        hits.join().expect("the hits go on")
    });
    println!("answered in {answered:?}, emptied in the background in {emptied:?}\n");
    println!("| look-up and verdict of another response | count | p50 | p99 | p99.9 | p99.99 |");
    println!("|---|---|---|---|---|---|");
    let phases = ["before", "while it is emptied", "after"];
    for (phase, mut nanos) in phases.into_iter().zip(latencies) {
        nanos.sort_unstable();
        let beyond = |one_in: usize| nanos.iter().rev().nth(nanos.len() / one_in).copied();
        let micros = |one_in| beyond(one_in).map_or(0.0, |nanos| f64::from(nanos) / 1000.0);
        let [median, p99, p999, p9999] = [2, 100, 1000, 10_000].map(micros);
        let count = nanos.len();
        println!(
            "| {phase} | {count} | {median:.2} us | {p99:.2} us | {p999:.2} us | {p9999:.2} us |"
        );
    }
}

/// Returns the time to the answer, and until the last response is gone.
fn purge_all(shop: &Arc<Shop>) -> (Duration, Duration) {
    let store = Arc::new(shop.store.clone());
    let executor = PurgeExecutor::new(
        store,
        Arc::clone(&shop.invalidation),
        Journal::default(),
        KeySeed(3),
        shop.clock.clone(),
    );
    let tag = Tag::parse("site-1").expect("a tag");
    let selectors = vec![(Selector::Tag("site-1".to_owned()), Target::Tag(tag))];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let started = Instant::now();
    let report = runtime
        .block_on(executor.apply(None, selectors, PurgeMode::Hard, Source::Admin))
        .expect("memory has no device");
    let answered = started.elapsed();
    assert_eq!(report.matched.objects, PAGES);
    while shop.store.usage().objects > 10_000 {
        wait(Duration::from_millis(5));
    }
    (answered, started.elapsed())
}

/// Hits until it is over, and returns how long each took, by phase, in nanoseconds.
fn hit_others(
    shop: &Shop,
    others: &[shellac::testing::key::Key],
    phase: &AtomicU8,
    is_over: &AtomicBool,
) -> [Vec<u32>; 3] {
    let mut nanos = [const { Vec::new() }; 3];
    for key in others.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        let found = shop.store.lookup(key, &|_| true).expect("it was not purged");
        let verdict = shop.invalidation.verdict(&found.provenance, key);
        let took = started.elapsed();
        assert_eq!(verdict, shellac::testing::invalidation::Verdict::Valid);
        if let Some(nanos) = nanos.get_mut(usize::from(phase.load(Ordering::Relaxed))) {
            nanos.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
        }
    }
    nanos
}

#[expect(clippy::disallowed_methods, reason = "a program that measures, no server")]
fn wait(span: Duration) {
    thread::sleep(span);
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second number is that of resident pages") * 4096
}

/// Says where this was measured.
fn machine() -> String {
    let read = |path, prefix: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line =
            text.lines().find(|line| line.starts_with(prefix)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} x {}, {}",
        cores,
        read("/proc/cpuinfo", "model name"),
        read("/proc/meminfo", "MemTotal")
    )
}

const CHILD: &str = "SHELLAC_BENCH_MEASURE";
