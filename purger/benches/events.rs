//! What reading one event costs: `cargo bench -p shellac-purger`.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what is wrong with itself")]

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use shellac_purger::event::{EventReader, Pattern, Reading, Record, Rules, TableRule, cloud_event};

const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"01JD9Z3K6W8T2V5N4B7Q0XYZAB","source":"/publisher/site-editor","type":"cache.purge.requested.v1","subject":"site/7f3c2a","time":"2026-11-22T13:37:00.123Z","datacontenttype":"application/json","dataschema":"/schemas/cache.purge.requested/1.0.0","partitionkey":"7f3c2a","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"siteId":"7f3c2a","scope":"tags","tags":["page:42","menu"],"urls":[],"mode":"soft","revision":1834,"reason":"publish","priority":"normal","reboundMs":[3000],"rewarm":{"urls":["/"],"max":20},"expiresAt":null,"rootEvent":{"id":"r","time":"2026-11-22T13:36:59Z"}}}"#;
const SITE: &str = r#"{"siteId":"7f3c2a","etag":"W/\"7f3c2a-1834\"","siteRevision":1834}"#;
const PLAIN: &str = r#"{"tags":["product-42"]}"#;
const DEBEZIUM: &str = r#"{"op":"u","before":{"id":42,"category_id":1,"name":"A teapot","price":"12.50","site_id":"s"},"after":{"id":42,"category_id":2,"name":"A teapot","price":"13.50","site_id":"s"},"source":{"version":"3.0","connector":"postgresql","name":"shop","ts_ms":1795300000000,"snapshot":"false","db":"inventory","schema":"public","table":"product","txId":555,"lsn":24023128},"ts_ms":1795300000100}"#;

fn record(payload: &[u8]) -> Record<'_> {
    Record {
        topic: "cache-purge",
        partition: 2,
        offset: 18811,
        timestamp: Some(UNIX_EPOCH),
        key: Some(b"7f3c2a"),
        headers: &[],
        payload: Some(payload),
    }
}

fn reading(criterion: &mut Criterion) {
    let table = TableRule {
        table: Pattern::new("public.product"),
        tags: ["{table}:{id}", "category-{category_id}"].map(|text| text.parse().unwrap()).into(),
        site: Some("site_id".to_owned()),
        truncate: Vec::new(),
        mode: None,
    };
    let reader = EventReader::new(Rules { tables: vec![table], ..Rules::default() });
    let now = UNIX_EPOCH + Duration::from_secs(1_795_300_000);
    let many: Vec<String> = (0..1000).map(|number| format!("product-{number}")).collect();
    let many = format!("{{\"tags\":{}}}", serde_json::to_string(&many).unwrap());
    for (name, text) in [
        ("cloud event", CLOUD_EVENT),
        ("site", SITE),
        ("plain", PLAIN),
        ("debezium", DEBEZIUM),
        ("1000 tags", &many),
    ] {
        let record = record(text.as_bytes());
        assert!(matches!(reader.read(&record, now), Reading::Purge(_)), "{name}");
        criterion.bench_function(&format!("read/{name}"), |bench| {
            bench.iter(|| reader.read(black_box(&record), now));
        });
    }
    let Reading::Purge(event) = reader.read(&record(CLOUD_EVENT.as_bytes()), now) else { return };
    criterion.bench_function("write/cloud event", |bench| {
        bench.iter(|| cloud_event(black_box(&event)));
    });
}

criterion_group!(benches, reading);
criterion_main!(benches);
