//! The proxy's current values as HTML, from the snapshot that `/api/v1/live` answers.

use serde_json::Value;

use crate::html::{Escaped, card, table};
use crate::number::{bytes, number, percent, seconds, text};

pub(crate) fn facts(snapshot: &Value) -> String {
    let is_ready = snapshot["ready"].as_bool().unwrap_or(false);
    let (kind, word) = if is_ready { ("good", "ready") } else { ("bad", "not ready") };
    format!(
        "<span class=\"badge {kind}\">{word}</span><span>up {}</span><span>{}</span><span>config {}</span>",
        Escaped(seconds(&snapshot["uptime_seconds"])),
        Escaped(text(&snapshot["version"])),
        Escaped(text(at(snapshot, "/config/hash"))),
    )
}

pub(crate) fn of(snapshot: &Value) -> String {
    let parts = [
        hit_ratio(snapshot),
        rates(snapshot),
        latencies(snapshot),
        list("Why not cached", snapshot, "not_cached", &["Reason", "a second", "in all"], |row| {
            vec![text(&row["reason"]), number(&row["per_second"]), number(&row["total"])]
        }),
        top(snapshot),
        list("Storage", snapshot, "storage", &["Tier", "objects", "bytes", "of"], |row| {
            let size = [bytes(&row["bytes"]), bytes(&row["capacity_bytes"])];
            [vec![text(&row["tier"]), number(&row["objects"])], size.to_vec()].concat()
        }),
        origins(snapshot),
        list("Purges", snapshot, "purges", &["What", "from", "responses"], |row| {
            vec![text(&row["selector"]), text(&row["source"]), number(&row["objects"])]
        }),
    ];
    format!("<h1 class=\"hidden\">Overview</h1><div class=\"grid\">{}</div>", parts.concat())
}

fn hit_ratio(snapshot: &Value) -> String {
    let ratio = &snapshot["hit_ratio"];
    let window = |name: &str| percent(&ratio[name]);
    let content = format!(
        "<p class=\"figure\">{}</p><p class=\"windows\"><span>1 s {}</span><span>10 s {}</span><span>15 min {}</span></p>",
        window("1m"),
        window("1s"),
        window("10s"),
        window("15m"),
    );
    card("Hit ratio, last minute", "hero w5", &content)
}

fn rates(snapshot: &Value) -> String {
    let rates = &snapshot["rates"];
    let rows = [
        ("Requests a second", number(&rates["requests"])),
        ("Requests a second that reach the origin", number(&rates["origin_requests"])),
        ("Bytes a second to clients", bytes(&rates["bytes_out"])),
        ("Open connections", number(at(snapshot, "/connections/open"))),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    card("Rates", "w7", &table(&["", "now"], &rows))
}

fn latencies(snapshot: &Value) -> String {
    let all = &snapshot["latency_seconds"];
    let row = |name: &str, key: &str| {
        let of = &all[key];
        let percentiles = ["p50", "p95", "p99"].map(|percentile| seconds(&of[percentile]));
        [vec![name.to_owned()], percentiles.to_vec()].concat()
    };
    let rows = [row("Hits", "hit"), row("Misses", "miss")];
    card("Latency", "w6", &table(&["", "p50", "p95", "p99"], &rows))
}

fn top(snapshot: &Value) -> String {
    list("Top URLs", &snapshot["top"], "urls", &["URL", "requests", "misses"], |row| {
        vec![text(&row["url"]), number(&row["requests"]), number(&row["misses"])]
    })
}

fn origins(snapshot: &Value) -> String {
    let titles = ["Server", "state", "in flight", "p95"];
    let none = Vec::new();
    let of_origin = |origin: &Value| -> Vec<Vec<String>> {
        let row = |server: &Value| {
            let name = format!("{} {}", text(&origin["name"]), text(&server["address"]));
            let state = text(&server["state"]);
            vec![name, state, number(&server["in_flight"]), seconds(&server["p95_seconds"])]
        };
        origin["servers"].as_array().unwrap_or(&none).iter().map(row).collect()
    };
    let all = snapshot["origins"].as_array().unwrap_or(&none);
    let rows: Vec<_> = all.iter().flat_map(of_origin).take(ROWS_MAX).collect();
    card("Origins", "w6", &table(&titles, &rows))
}

/// Returns the value at a JSON pointer, or null.
fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}

/// A card with a table of the first rows of a list.
fn list(
    title: &str,
    document: &Value,
    key: &str,
    titles: &[&str],
    row: impl Fn(&Value) -> Vec<String>,
) -> String {
    let rows: Vec<_> = document[key]
        .as_array()
        .map_or_else(Vec::new, |rows| rows.iter().take(ROWS_MAX).map(row).collect());
    let content = if rows.is_empty() {
        "<p class=\"empty\">Nothing yet.</p>".to_owned()
    } else {
        table(titles, &rows)
    };
    card(title, "w6", &content)
}

const ROWS_MAX: usize = 10;
