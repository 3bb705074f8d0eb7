//! What belongs where: which responses from the file are worth a place in memory, and which are
//! worth being written at all.
//!
//! `cargo bench -p benches --bench tiers [-- promotion|lives]`. Prints Markdown tables. The file is
//! made in the temporary directory.

#![expect(clippy::print_stdout, reason = "a program that prints tables")]
#![expect(clippy::cast_precision_loss, reason = "figures for reading")]

use std::time::Duration;
use std::{env, fs};

use benches::file_shop::FileShop;
use benches::{Random, Zipf};
use shellac::testing::store::Promote;
use shellac::testing::store::file::Tiering;
use tokio::time::Instant;

fn main() {
    let chosen = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let parts: [(&str, fn()); 2] = [("promotion", promotion), ("lives", lives)];
    for (name, run) in parts {
        if chosen.as_ref().is_none_or(|chosen| chosen == name) {
            run();
        }
    }
}

fn open(tiering: Tiering, memory: u64) -> FileShop {
    let folder = env::temp_dir().join("shellac-bench-tiers");
    drop(fs::remove_dir_all(&folder));
    let shop = FileShop::with(&folder, 1 << 30, (u64::from(PAGES) * 2, memory), tiering);
    shop.settle();
    shop
}

/// All pages are in the file, and memory holds a part of them.
fn promotion() {
    println!("## Promotion: {PAGES} pages of lognormal size in the file, zipf requests\n");
    println!(
        "| zipf | memory | rule | answered from memory | entered memory, of those from the file | time a request |"
    );
    println!("|---|---|---|---|---|---|");
    for exponent in [0.0, 0.8, 1.0] {
        for memory in [32 << 20, 128 << 20] {
            for (rule, stay) in
                [("every recall", Promote::Always), ("asked for again soon", Promote::IfHot)]
            {
                promote(exponent, memory, (rule, stay));
            }
        }
    }
    println!();
}

fn promote(exponent: f64, memory: u64, (rule, stay): (&str, Promote)) {
    let shop = open(Tiering::Tiered, memory);
    for page in 0..u64::from(PAGES) {
        shop.put_in_turn(page, Random::new(page).page_bytes());
    }
    shop.settle();
    let (zipf, mut random) = (Zipf::new(PAGES, exponent), Random::new(1));
    let mut ask = |requests: u64| {
        let before = shop.opened.store.file_usage();
        let started = Instant::now();
        for number in 0..requests {
            if number % 5_000 == 0 {
                shop.clock.advance(Duration::from_secs(1));
            }
            assert!(shop.find(zipf.choose(&mut random), stay).is_some(), "all are stored");
        }
        let took = started.elapsed();
        let after = shop.opened.store.file_usage();
        (took, after.loads[0] - before.loads[0], after.promoted - before.promoted)
    };
    ask(REQUESTS);
    let (took, recalls, promoted) = ask(REQUESTS);
    println!(
        "| {exponent} | {} MiB | {rule} | {:.1} % | {:.1} % | {:.2} us |",
        memory >> 20,
        (REQUESTS - recalls) as f64 / REQUESTS as f64 * 100.0,
        promoted as f64 / recalls.max(1) as f64 * 100.0,
        took.as_secs_f64() * 1e6 / REQUESTS as f64,
    );
    shop.remove();
}

/// Pages that live for a short time: all written, or only what memory would not keep for so long.
fn lives() {
    println!("## Short lives: {PAGES} pages, 1,000 zipf (0.8) requests a second for ten lives\n");
    println!(
        "| life | memory | all written: hits | MB for 1,000 hits | what memory does not keep: hits | MB for 1,000 hits |"
    );
    println!("|---|---|---|---|---|---|");
    for life in [5, 15, 30, 59] {
        for memory in [32 << 20, 128 << 20, 512 << 20] {
            print!("| {life} s | {} MiB |", memory >> 20);
            for tiering in [Tiering::File, Tiering::Tiered] {
                let (hits, written) = live(tiering, life, memory);
                print!(
                    " {:.1} % | {:.1} |",
                    hits as f64 / (life * 8000) as f64 * 100.0,
                    written as f64 / 1e6 / (hits as f64 / 1000.0),
                );
            }
            println!();
        }
    }
    println!();
}

/// Hits, and bytes written, of eight lives after two.
fn live(tiering: Tiering, life: u64, memory: u64) -> (u64, u64) {
    let mut shop = open(tiering, memory);
    shop.set_life(life);
    let (zipf, mut random) = (Zipf::new(PAGES, 0.8), Random::new(1));
    let (mut hits, mut before) = (0, 0);
    for second in 0..life * 10 {
        if second == life * 2 {
            shop.settle();
            (hits, before) = (0, shop.opened.store.file_usage().written);
        }
        for _ in 0..1000 {
            let page = zipf.choose(&mut random);
            if shop.has_fresh(page) {
                hits += 1;
            } else {
                shop.put_in_turn(page, Random::new(page).page_bytes());
            }
        }
        shop.clock.advance(Duration::from_secs(1));
    }
    shop.settle();
    let written = shop.opened.store.file_usage().written - before;
    shop.remove();
    (hits, written)
}

const PAGES: u32 = 50_000;
const REQUESTS: u64 = 500_000;
