//! What a purge costs: the one who purges, and the hits that have to check afterwards.

use std::hint::black_box;
use std::sync::Arc;

use benches::{Shop, key};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use purge_protocol::PurgeMode;
use settings::{Config, Flags, PurgeSettings, Sources};
use shellac::testing::invalidation::{Mark, Verdict};
use shellac::testing::key::KeySeed;
use shellac::testing::policy::LiveSettings;
use shellac::testing::purge::PurgeExecutor;
use shellac::testing::purge::log::{PurgeLog, reading};
use shellac::testing::store::journal::Journal;

fn verdict(criterion: &mut Criterion) {
    let shop = Shop::new(1 << 30);
    let invalidation = &shop.invalidation;
    let mark_other = || {
        let other = invalidation.ids().tag(b"other");
        invalidation.mark(&[Mark::Tag(other)], PurgeMode::Hard, shop.clock.now());
    };
    let stored = shop.put(1, shop.tags(1, 5), b"content");
    criterion.bench_function("verdict: nothing was purged since", |bencher| {
        bencher
            .iter(|| invalidation.verdict(black_box(&stored.provenance), black_box(&stored.key)));
    });
    for count in [5, 20] {
        let stored = shop.put(2, shop.tags(2, count), b"content");
        criterion.bench_function(
            &format!("verdict: {count} tags, after a purge of another"),
            |bencher| {
                bencher.iter_batched(
                    mark_other,
                    |()| {
                        let verdict = invalidation.verdict(&stored.provenance, &stored.key);
                        assert_eq!(verdict, Verdict::Valid);
                    },
                    BatchSize::PerIteration,
                );
            },
        );
    }
    let _flight = invalidation.begin_fetch();
    let url = invalidation.ids().url(&key(7));
    invalidation.mark(&[Mark::Tag(url)], PurgeMode::Hard, shop.clock.now());
    criterion.bench_function(
        "verdict: 5 tags, after a purge, with a URL's mark in the table",
        |bencher| {
            bencher.iter_batched(
                mark_other,
                |()| {
                    let verdict = invalidation.verdict(&stored.provenance, &stored.key);
                    assert_eq!(verdict, Verdict::Valid);
                },
                BatchSize::PerIteration,
            );
        },
    );
}

fn mark(criterion: &mut Criterion) {
    let shop = Shop::new(4 << 30);
    (0..1_000_000).for_each(|number| drop(shop.put(number, shop.tags(number, 2), b"content")));
    criterion.bench_function("mark: a tag on 1M", |bencher| {
        bencher.iter(|| {
            let mark = Mark::Tag(shop.site());
            shop.invalidation.mark(&[mark], PurgeMode::Hard, shop.clock.now())
        });
    });
    criterion.bench_function("mark: a tag that nobody has", |bencher| {
        bencher.iter(|| {
            let mark = Mark::Tag(shop.invalidation.ids().tag(b"nobody's"));
            shop.invalidation.mark(&[mark], PurgeMode::Hard, shop.clock.now())
        });
    });
}

fn config() -> Config {
    let flags = Flags { origin: Some("http://127.0.0.1:9".to_owned()), ..Flags::default() };
    Config::load(&Sources { flags, ..Sources::default() }).expect("it is right")
}

/// Batches of the purge log as they come over HTTP: read, checked, applied one after the other.
fn log(criterion: &mut Criterion) {
    let shop = Shop::new(4 << 30);
    for number in 0..PURGES * 20 {
        let page = shop.invalidation.ids().tag(format!("page-{number}").as_bytes());
        drop(shop.put(number, vec![shop.site(), page], b"content"));
    }
    let store = Arc::new(shop.store.clone());
    let invalidation = Arc::clone(&shop.invalidation);
    let executor = PurgeExecutor::new(
        store,
        Arc::clone(&invalidation),
        Journal::default(),
        KeySeed(3),
        shop.clock.clone(),
    );
    let nothing_recovered = (Journal::default(), Vec::new());
    let settings = LiveSettings::new(&config());
    let rules = PurgeSettings::default();
    let log =
        PurgeLog::new(executor, invalidation, nothing_recovered, shop.clock.clone(), settings);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let deliver = |text: &str| {
        let sound = reading::read(text.as_bytes(), &rules).expect("a sound batch");
        runtime.block_on(log.apply(sound, shop.clock.now())).expect("a batch that follows on")
    };
    deliver(&batch(0, r#","start":"adopt""#, "", &|_| String::new()));
    let mut from = 0;
    let kinds: [(&str, &dyn Fn(u64) -> String); 2] = [
        ("that nobody has", &|number| format!("nobodys-{number}")),
        ("on a page each", &|number| format!("page-{}", number * 20)),
    ];
    for (name, tag) in kinds {
        criterion.bench_function(
            &format!("log: 1,000 soft purges of two tags {name}"),
            |bencher| {
                bencher.iter_batched(
                    || {
                        from += PURGES;
                        batch(from - PURGES, "", "soft", tag)
                    },
                    |text| deliver(&text),
                    BatchSize::PerIteration,
                );
            },
        );
    }
}

fn batch(from: u64, start: &str, mode: &str, tag: &dyn Fn(u64) -> String) -> String {
    let purge = |number: u64| {
        let offset = from + number;
        let (one, other) = (tag(number), tag(number + PURGES));
        format!(
            r#"{{"offset":{offset},"tags":["{one}","{other}"],"mode":"{mode}","id":"{offset}"}}"#
        )
    };
    let purges: Vec<String> = (0..PURGES).filter(|_| start.is_empty()).map(purge).collect();
    let to = if start.is_empty() { from + PURGES } else { from };
    format!(
        r#"{{"log":{{"cluster":"c","topic":"t","partition":0}},"partitions":1,"from":{from},"to":{to},"clean_ms":0,"purger":"p","purges":[{}]{start}}}"#,
        purges.join(",")
    )
}

const PURGES: u64 = 1000;

criterion_group!(all, verdict, mark, log);
criterion_main!(all);
