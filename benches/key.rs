//! What it costs to make a primary key, and to compare selecting fields.

use std::hint::black_box;

use benches::fields;
use criterion::{Criterion, criterion_group, criterion_main};
use shellac::testing::key::vary::Variant;
use shellac::testing::key::{Key, KeySeed, Scheme};

fn key(criterion: &mut Criterion) {
    for path in ["/en/catalogue/products/000004711?size=42", &"/long".repeat(60)] {
        let name = format!("key: make one of {} bytes", path.len() + 20);
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                Key::new(
                    KeySeed(1),
                    Scheme::Https,
                    black_box(b"www.shop.example"),
                    black_box(path).as_bytes(),
                )
            });
        });
    }
    let request = fields(&[
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "de-CH, de;q=0.9, en;q=0.8"),
    ]);
    for vary in ["accept-encoding", "accept-encoding, accept-language"] {
        let vary = Variant::of(&fields(&[("vary", vary)]), &request, &[]);
        let variant = vary.ok().flatten().expect("it varies");
        criterion.bench_function(&format!("key: match {variant:?}"), |bencher| {
            bencher.iter(|| black_box(&variant).matches(black_box(&request)));
        });
    }
}

criterion_group!(all, key);
criterion_main!(all);
