//! What it costs to find a stored response among a million, to note its use, and to store one.

use std::hint::black_box;
use std::time::Duration;

use benches::{Random, Shop, Zipf, key};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use shellac::testing::key::Key;
use shellac::testing::store::Store as _;

const PAGES: u32 = 1_000_000;

fn lookup(criterion: &mut Criterion) {
    let shop = Shop::new(4 << 30);
    (0..PAGES.into()).for_each(|number| drop(shop.put(number, shop.tags(number, 2), b"content")));
    let mut random = Random::new(1);
    let uniform: Vec<Key> = (0..100_000).map(|_| key(random.number() % u64::from(PAGES))).collect();
    let zipf = Zipf::new(PAGES, 1.0);
    let zipf: Vec<Key> = (0..100_000).map(|_| key(zipf.choose(&mut random))).collect();
    for (name, keys) in [("uniform", &uniform), ("zipf 1.0", &zipf)] {
        let mut keys = keys.iter().cycle();
        criterion.bench_function(&format!("lookup: among 1M, {name}"), |bencher| {
            bencher.iter(|| shop.store.lookup(keys.next().expect("it cycles"), &|_| true));
        });
    }
    let stored = shop.store.lookup(&key(1), &|_| true).expect("it is stored");
    criterion.bench_function("lookup: touch, again in the same second", |bencher| {
        bencher.iter(|| shop.store.touch(black_box(&stored)));
    });
    criterion.bench_function("lookup: touch, first in its second", |bencher| {
        bencher.iter(|| {
            shop.clock.advance(Duration::from_secs(1));
            shop.store.touch(black_box(&stored));
        });
    });
    let mut number = u64::from(PAGES);
    criterion.bench_function("lookup: store a page of 1 KiB, 5 tags", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                (number, shop.tags(number, 5))
            },
            |(number, tags)| shop.put(number, tags, &[b'x'; 1024]),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(all, lookup);
criterion_main!(all);
