//! What a purge costs: the one who purges, and the hits that have to check afterwards.

use std::hint::black_box;

use benches::{Shop, key};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use purge_protocol::PurgeMode;
use shellac::invalidation::{Mark, Verdict};

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

criterion_group!(all, verdict, mark);
criterion_main!(all);
