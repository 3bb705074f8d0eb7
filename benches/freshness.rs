//! What it costs to judge a response when it is stored, and to ask for its state on a hit.

use std::hint::black_box;

use benches::{FIELDS, facts, fields};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, StatusCode};
use process::timestamp::Timestamp;
use shellac::testing::freshness::{
    ExchangeTimes, Freshness, FreshnessRules, RequestDirectives, judge,
};

fn judged(fields: &HeaderMap) -> Freshness {
    let now = Timestamp::from_secs(1_800_000_000);
    let exchange = ExchangeTimes { request_time: now, response_time: now, wall_time: now };
    judge(&FreshnessRules::default(), &facts(), StatusCode::OK, fields, exchange)
        .expect("may be stored")
}

fn freshness(criterion: &mut Criterion) {
    let response = fields(FIELDS);
    criterion.bench_function("freshness: judge a response of 12 fields", |bencher| {
        bencher.iter(|| judged(black_box(&response)));
    });
    let freshness = judged(&response);
    let now = Timestamp::from_secs(1_800_000_030);
    criterion.bench_function("freshness: state of a stored response", |bencher| {
        bencher.iter(|| black_box(&freshness).state(black_box(now), None));
    });
    let request = fields(&[("accept", "text/html"), ("cache-control", "max-age=0, no-transform")]);
    criterion.bench_function("freshness: directives of a request", |bencher| {
        bencher.iter(|| RequestDirectives::of(black_box(&request)));
    });
}

criterion_group!(all, freshness);
criterion_main!(all);
