//! The fleet as HTML, from the document that the purger's `/api/v1/fleet` answers.

use serde_json::Value;

use crate::html::{Escaped, card, table};
use crate::number::{number, percent, seconds, text};

pub(crate) fn facts(fleet: &Value) -> String {
    let is_connected = fleet["kafka_connected"].as_bool().unwrap_or(false);
    let (kind, word) = if is_connected { ("good", "connected") } else { ("bad", "not connected") };
    format!(
        "<span class=\"badge {kind}\">{word}</span><span>{}</span><span>{}</span>",
        Escaped(text(&fleet["purger"])),
        Escaped(text(&fleet["version"])),
    )
}

pub(crate) fn of(fleet: &Value) -> String {
    let proxies = rows(&fleet["proxies"], |proxy| {
        let live = &proxy["live"];
        vec![
            text(&proxy["url"]),
            text(&proxy["state"]),
            percent(&live["hit_ratio"]),
            number(&live["requests_per_second"]),
            text(&live["version"]),
            number(&proxy["lag"]),
        ]
    });
    let partitions = rows(&fleet["partitions"], |partition| {
        vec![
            format!("{}/{}", text(&partition["topic"]), text(&partition["partition"])),
            number(&partition["confirmed"]),
            number(&partition["end"]),
            number(&partition["lag"]),
            seconds(&partition["lag_seconds"]),
        ]
    });
    let titles = ["Proxy", "state", "hit ratio", "requests/s", "version", "behind"];
    let parts = [
        card("Proxies", "", &table(&titles, &proxies)),
        card(
            "Partitions",
            "",
            &table(&["Partition", "confirmed", "end", "behind", "for"], &partitions),
        ),
    ];
    format!("<h1 class=\"hidden\">Fleet</h1><div class=\"grid\">{}</div>", parts.concat())
}

fn rows(list: &Value, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().map_or_else(Vec::new, |list| list.iter().take(ROWS_MAX).map(row).collect())
}

const ROWS_MAX: usize = 200;
