//! What the file store costs: memory for each response in the index, the time of a recovery, and
//! how well it chooses what stays.
//!
//! `cargo bench -p benches --bench file [-- index|hit|churn|policy]`; `SHELLAC_BENCH_PAGES` is the
//! number of responses (1,000,000). Prints Markdown tables. The file is made in the temporary
//! directory. Linux only.

#![expect(clippy::print_stdout, reason = "a program that prints tables")]
#![expect(clippy::cast_precision_loss, reason = "figures for reading")]

use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use std::{env, fs, thread};

use benches::file_shop::FileShop;
use benches::{Random, Zipf};
use bytes::Bytes;
use shellac::testing::store::Promote;
use shellac::testing::store::file::Tiering;
use tokio::time::Instant;

fn main() {
    let chosen = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let parts: [(&str, fn()); 4] =
        [("index", index), ("hit", hit), ("churn", churn), ("policy", policy)];
    for (name, run) in parts {
        if chosen.as_ref().is_none_or(|chosen| chosen == name) {
            run();
        }
    }
}

/// Memory for each response, and the time of a recovery.
fn index() {
    let pages: u64 =
        env::var("SHELLAC_BENCH_PAGES").ok().and_then(|it| it.parse().ok()).unwrap_or(1_000_000);
    let folder = env::temp_dir().join("shellac-bench-index");
    drop(fs::remove_dir_all(&folder));
    let content = Bytes::from(vec![b'x'; 300]);
    let capacity = (pages * 2100).next_multiple_of(64 << 20);
    println!("## {pages} responses of 300 bytes, 60-byte key, 12 fields\n");
    let bench = FileShop::open(&folder, capacity, 2 << 30, Tiering::File);
    bench.settle();
    let started = Instant::now();
    for number in 0..pages {
        bench.put(number, &content);
        if number % 4096 == 0 {
            bench.settle();
        }
    }
    bench.settle();
    let filled = started.elapsed();
    bench.opened.store.close();
    drop(bench);
    // What an empty one takes in this process is not the responses'.
    let empty = env::temp_dir().join("shellac-bench-empty");
    let bench = FileShop::open(&empty, 64 << 20, 2 << 30, Tiering::File);
    bench.settle();
    drop(bench);
    drop(fs::remove_dir_all(&empty));
    let before = resident();
    let started = Instant::now();
    let bench = FileShop::open(&folder, capacity, 2 << 30, Tiering::File);
    let opened = started.elapsed();
    bench.settle();
    let loaded = started.elapsed();
    let after = resident();
    let usage = bench.opened.store.file_usage();
    println!(
        "| responses found | index B each | filters B each | resident B each | serves after | found after | filled in |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {} | {:.1} | {:.1} | {:.1} | {opened:.1?} | {loaded:.2?} | {filled:.1?} |\n",
        usage.objects,
        usage.index_bytes as f64 / usage.objects as f64,
        usage.filter_bytes as f64 / usage.objects as f64,
        after.saturating_sub(before) as f64 / usage.objects as f64,
    );
    for tag in ["section-7", "page-8"] {
        let (took, [swept, segments]) = bench.sweep(tag);
        println!(
            "{swept} responses with a purged tag are out of the file after {took:.2?}; {segments} segments were looked into.\n"
        );
    }
    drop(bench);
    drop(fs::remove_dir_all(&folder));
}

/// What a hit costs that comes from the file, warm: from the look-up to the last byte, without
/// HTTP.
fn hit() {
    println!("## A hit from the file, in the system's cache: without HTTP and sockets\n");
    println!("| body | responses | first use: found and read | bodies over 16 KiB, again |");
    println!("|---|---|---|---|");
    for (length, pages) in [(1 << 10, 100_000_u64), (64 << 10, 4_000), (1 << 20, 300)] {
        let folder = env::temp_dir().join("shellac-bench-hit");
        drop(fs::remove_dir_all(&folder));
        let bench = FileShop::open(&folder, 1 << 30, 64 << 20, Tiering::File);
        bench.settle();
        let content = Bytes::from(vec![b'x'; length]);
        for number in 0..pages {
            bench.put(number, &content);
            while !bench.opened.store.has_room() {
                thread::yield_now();
            }
        }
        bench.settle();
        drop(bench);
        let bench = FileShop::open(&folder, 1 << 30, 64 << 20, Tiering::File);
        bench.settle();
        let read = || {
            let started = Instant::now();
            let bytes: u64 = (0..pages).map(|number| bench.read(number)).sum();
            assert_eq!(bytes, pages * length as u64, "each is found");
            started.elapsed().as_secs_f64() * 1e6 / pages as f64
        };
        let (first, again) = (read(), read());
        let again = if length > 16 << 10 { format!("{again:.0} us") } else { "in memory".into() };
        println!("| {} KiB | {pages} | {first:.1} us | {again} |", length >> 10);
        drop(bench);
        drop(fs::remove_dir_all(&folder));
    }
    println!();
}

fn churn() {
    let folder = env::temp_dir().join("shellac-bench-churn");
    drop(fs::remove_dir_all(&folder));
    let capacity = 256 << 20;
    let bench = FileShop::open(&folder, capacity, 64 << 20, Tiering::File);
    bench.settle();
    let mut random = Random::new(1);
    println!("## 100 times a capacity of 256 MiB: lognormal sizes and parts of 1 MiB and more\n");
    println!("| tenth | MB/s | live + dead + free | not written | written again |");
    println!("|---|---|---|---|---|");
    let block = Bytes::from(vec![b'x'; 3 << 20]);
    for tenth in 1..=10 {
        let (started, mut written) = (Instant::now(), 0_u64);
        while written < capacity * 10 {
            let number = random.number() % 200_000;
            let length = if random.number().is_multiple_of(500) {
                (1 << 20) + number as usize * 10
            } else {
                random.page_bytes()
            };
            bench.put(number, &block.slice(..length));
            written += length as u64;
            while !bench.opened.store.has_room() {
                thread::yield_now();
            }
        }
        bench.settle();
        let usage = bench.opened.store.file_usage();
        let known = usage.live_bytes + usage.dead_bytes + usage.free_bytes;
        println!(
            "| {tenth} | {:.0} | {:.2} % | {} | {:.1} % |",
            written as f64 / 1e6 / started.elapsed().as_secs_f64(),
            known as f64 / usage.capacity as f64 * 100.0,
            usage.dropped,
            usage.rewritten as f64 / usage.written as f64 * 100.0,
        );
    }
    println!();
    drop(bench);
    drop(fs::remove_dir_all(&folder));
}

/// A working set five times the memory, and ten times the file: hit ratios against LRU on the same
/// requests.
fn policy() {
    println!(
        "## Hit ratios: zipf requests for 100,000 pages of lognormal size; a tenth fits into the file, a fifth of that into memory\n"
    );
    println!("| zipf | one-hit requests | LRU of the file's size | file | tiered |");
    println!("|---|---|---|---|---|");
    for exponent in [0.8, 1.0] {
        for one_hit in [0.0, 0.2] {
            let stores = [Tiering::File, Tiering::Tiered]
                .map(|tiering| through_store(tiering, exponent, one_hit));
            let lru = through_lru(exponent, one_hit);
            println!(
                "| {exponent} | {:.0} % | {:.1} % | {:.1} % | {:.1} % |",
                one_hit * 100.0,
                lru * 100.0,
                stores[0] * 100.0,
                stores[1] * 100.0
            );
        }
    }
    println!();
}

const POLICY_PAGES: u32 = 100_000;
const POLICY_REQUESTS: u64 = 1_000_000;
/// A tenth of the pages' bytes.
const POLICY_CAPACITY: u64 = 128 << 20;

fn requests(exponent: f64, one_hit: f64) -> impl Iterator<Item = (u64, usize)> {
    let (zipf, mut random, mut fresh) =
        (Zipf::new(POLICY_PAGES, exponent), Random::new(1), 1 << 32);
    (0..POLICY_REQUESTS).map(move |_| {
        let page = if random.share() < one_hit {
            fresh += 1;
            fresh
        } else {
            zipf.choose(&mut random)
        };
        (page, Random::new(page).page_bytes())
    })
}

fn through_store(tiering: Tiering, exponent: f64, one_hit: f64) -> f64 {
    let folder = env::temp_dir().join("shellac-bench-policy");
    drop(fs::remove_dir_all(&folder));
    let bench = FileShop::open(&folder, POLICY_CAPACITY, POLICY_CAPACITY / 5, tiering);
    bench.settle();
    let block = Bytes::from(vec![b'x'; 1 << 20]);
    let (mut hits, mut counted) = (0_u64, 0_u64);
    for (number, (page, length)) in requests(exponent, one_hit).enumerate() {
        if number % 10_000 == 0 {
            bench.clock.advance(Duration::from_secs(1));
        }
        let is_counted = number as u64 > POLICY_REQUESTS / 2;
        counted += u64::from(is_counted);
        if bench.find(page, Promote::IfHot).is_some() {
            hits += u64::from(is_counted);
        } else {
            bench.put(page, &block.slice(..length));
            while !bench.opened.store.has_room() {
                thread::yield_now();
            }
        }
    }
    let folder = bench.folder.clone();
    drop(bench);
    drop(fs::remove_dir_all(folder));
    hits as f64 / counted as f64
}

/// Exact LRU with the bytes that the file has, and the heads counted as the file counts them.
fn through_lru(exponent: f64, one_hit: f64) -> f64 {
    let mut stamps: HashMap<u64, (u64, usize)> = HashMap::new();
    let mut order: VecDeque<(u64, u64)> = VecDeque::new();
    let (mut held, mut hits, mut counted) = (0_u64, 0_u64, 0_u64);
    for (number, (page, length)) in requests(exponent, one_hit).enumerate() {
        let (stamp, length) = (number as u64, length + 1000);
        let is_counted = stamp > POLICY_REQUESTS / 2;
        counted += u64::from(is_counted);
        match stamps.insert(page, (stamp, length)) {
            Some(_) => hits += u64::from(is_counted),
            None => held += length as u64,
        }
        order.push_back((stamp, page));
        while held > POLICY_CAPACITY
            && let Some((stamp, page)) = order.pop_front()
        {
            if stamps.get(&page).is_some_and(|(latest, _)| *latest == stamp)
                && let Some((_, length)) = stamps.remove(&page)
            {
                held -= length as u64;
            }
        }
    }
    hits as f64 / counted as f64
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
