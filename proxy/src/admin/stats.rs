//! `/api/v1/stats`: the numbers that people ask for first, as JSON.

use serde_json::{Map, Value, json};

use crate::app::App;
use crate::cache::outcome::Outcome;
use crate::store::Usage;
use crate::store::file::Service;

pub(super) fn document(app: &App) -> Vec<u8> {
    let usage = app.store.usage();
    let (misses, flights, inflight_bytes) = app.front.cache.fetcher().in_flight();
    let (in_use, idle) = app.origins().connections();
    let purges = &app.front.purge_endpoint.executor().metrics;
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": app.uptime().as_secs(),
        "requests": requests(app),
        "hit_ratio": hit_ratio(app),
        "bypass_cookies": app.front.cache.bypass_cookies().document(),
        "config_hash": app.reloads.hash(),
        "connections": app.listeners.connections(),
        "store": {
            "objects": usage.objects,
            "bytes": usage.bytes,
            "capacity_bytes": usage.capacity,
            "inserts": usage.inserts,
            "tags": app.invalidation.tag_count(),
            "crowded_urls": crowded_urls(&usage),
        },
        "origin": {
            "requests": app.origins().iter().map(|origin| origin.metrics.requests()).sum::<u64>(),
            "in_flight": misses,
            "flights": flights,
            "inflight_bytes": inflight_bytes,
            "connections_in_use": in_use,
            "connections_idle": idle,
            "queued": app.origins().queued(),
        },
        "purges": {
            "sequence": app.invalidation.sequence().number(),
            "purged_objects": purges.purged.value(),
        },
    });
    let mut document = document;
    if let (Some(file), Some(fields)) = (app.file_usage(), document.as_object_mut()) {
        fields.insert(
            "file".to_owned(),
            json!({
                "objects": file.objects,
                "live_bytes": file.live_bytes,
                "dead_bytes": file.dead_bytes,
                "free_bytes": file.free_bytes,
                "capacity_bytes": file.capacity,
                "index_bytes": file.index_bytes,
                "is_loading": file.is_loading,
                "is_offline": file.service != Service::Full,
                "is_distrusted": file.service == Service::Out,
            }),
        );
    }
    serde_json::to_vec_pretty(&document).unwrap_or_default()
}

/// The URLs that have more variants than are stored (`cache.vary_max_variants`).
fn crowded_urls(usage: &Usage) -> Value {
    usage
        .crowded
        .iter()
        .map(|it| json!({ "url": it.url, "displaced_variants": it.displaced }))
        .collect()
}

fn requests(app: &App) -> Value {
    let mut by_outcome = Map::new();
    for outcome in Outcome::ALL {
        by_outcome.insert(outcome.as_str().to_owned(), total(app, outcome).into());
    }
    Value::Object(by_outcome)
}

fn hit_ratio(app: &App) -> Value {
    let hits = total(app, Outcome::Hit) + total(app, Outcome::Stale);
    let others: u64 = [Outcome::Revalidated, Outcome::Miss, Outcome::Bypass, Outcome::Uncacheable]
        .into_iter()
        .map(|outcome| total(app, outcome))
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = hits as f64 / (hits + others).max(1) as f64;
    json!((ratio * 10_000.0).round() / 10_000.0)
}

fn total(app: &App, outcome: Outcome) -> u64 {
    app.front.metrics.total(outcome)
}
