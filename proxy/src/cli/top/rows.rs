//! The tables of the screen as text, in their order.

use std::cmp::Reverse;

use super::figures::{count, rate, seconds, size, span};
use super::view::View;
use super::{SortBy, Tab};
use crate::live::snapshot::{KafkaState, LiveSnapshot, RecentPurge, UrlUse};

/// A table: its columns with their least width, and its rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) columns: Vec<(&'static str, u16)>,
    pub(super) cells: Vec<Vec<String>>,
    /// What the table is of, or why it is empty.
    pub(super) note: String,
}

/// Returns the table that is looked at, filtered.
pub(super) fn rows(snapshot: &LiveSnapshot, view: &View) -> Rows {
    let mut table = match view.tab {
        Tab::Urls => urls(snapshot, view.sort),
        Tab::Reasons => reasons(snapshot),
        Tab::Tags => tags(snapshot),
        Tab::Origins => origins(snapshot),
        Tab::Storage => storage(snapshot),
        Tab::Purges => purges(snapshot),
    };
    let wanted = view.filter.to_lowercase();
    table.cells.retain(|row| row.iter().any(|cell| cell.to_lowercase().contains(&wanted)));
    table
}

fn urls(snapshot: &LiveSnapshot, sort: SortBy) -> Rows {
    let mut urls: Vec<&UrlUse> = snapshot.top.urls.iter().collect();
    match sort {
        SortBy::Requests => urls.sort_by_key(|url| Reverse(url.requests)),
        SortBy::Misses => urls.sort_by_key(|url| Reverse(url.misses)),
        SortBy::Bytes => urls.sort_by_key(|url| Reverse(url.bytes)),
        SortBy::Origin => {
            urls.sort_by(|one, other| other.origin_seconds.total_cmp(&one.origin_seconds));
        }
    }
    let row = |url: &&UrlUse| {
        let origin = (url.origin_seconds > 0.0).then_some(url.origin_seconds);
        let figures = [count(url.requests), count(url.misses), size(url.bytes), seconds(origin)];
        figures.into_iter().chain([url.url.clone()]).collect()
    };
    let by = match sort {
        SortBy::Requests => "requests",
        SortBy::Misses => "misses",
        SortBy::Bytes => "bytes",
        SortBy::Origin => "origin time",
    };
    Rows {
        columns: vec![("requests", 9), ("misses", 8), ("bytes", 9), ("origin", 8), ("URL", 0)],
        cells: urls.iter().map(row).collect(),
        note: format!("last {} s, by {by}; hits are a sample", snapshot.top.window_seconds),
    }
}

fn reasons(snapshot: &LiveSnapshot) -> Rows {
    let row = |entry: &crate::live::snapshot::NotCached| {
        vec![
            rate(entry.per_second),
            count(entry.total),
            entry.reason.clone(),
            entry.example.clone().unwrap_or_default(),
        ]
    };
    Rows {
        columns: vec![("a second", 9), ("total", 9), ("reason", 18), ("last URL", 0)],
        cells: snapshot.not_cached.iter().map(row).collect(),
        note: "responses that were not stored".to_owned(),
    }
}

fn tags(snapshot: &LiveSnapshot) -> Rows {
    let row = |tag: &crate::live::snapshot::TagUse| {
        vec![
            count(tag.renders),
            rate(tag.purges_per_hour),
            count(tag.pages),
            size(tag.bytes),
            count(tag.stale_served),
            tag.tag.clone(),
        ]
    };
    Rows {
        columns: vec![
            ("renders", 8),
            ("purges/h", 9),
            ("pages", 8),
            ("bytes", 9),
            ("stale", 7),
            ("tag", 0),
        ],
        cells: snapshot.tags.iter().map(row).collect(),
        note: "renders and their bytes that purges of the tag have caused".to_owned(),
    }
}

fn origins(snapshot: &LiveSnapshot) -> Rows {
    let servers = snapshot.origins.iter().flat_map(|origin| {
        origin.servers.iter().map(|server| {
            vec![
                origin.name.clone(),
                server.address.clone(),
                server.detail.clone(),
                count(server.in_flight),
                count(server.queue),
                count(server.requests),
                count(server.errors),
                seconds(server.p95_seconds),
                server.reason.clone().unwrap_or_default(),
            ]
        })
    });
    Rows {
        columns: vec![
            ("origin", 8),
            ("server", 21),
            ("state", 12),
            ("flight", 6),
            ("queue", 5),
            ("requests", 9),
            ("errors", 7),
            ("p95", 7),
            ("", 0),
        ],
        cells: servers.collect(),
        note: "since the start; p95 of the last minute".to_owned(),
    }
}

fn storage(snapshot: &LiveSnapshot) -> Rows {
    let row = |tier: &crate::live::snapshot::Tier| {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let full = tier.bytes as f64 / tier.capacity_bytes.max(1) as f64;
        vec![
            tier.name.clone(),
            count(tier.objects),
            size(tier.bytes),
            size(tier.capacity_bytes),
            format!("{:.1} %", full * 100.0),
            tier.evictions_per_second.map_or_else(|| "-".to_owned(), rate),
        ]
    };
    Rows {
        columns: vec![
            ("tier", 8),
            ("objects", 11),
            ("bytes", 9),
            ("capacity", 9),
            ("full", 8),
            ("evictions/s", 11),
        ],
        cells: snapshot.storage.iter().map(row).collect(),
        note: String::new(),
    }
}

fn purges(snapshot: &LiveSnapshot) -> Rows {
    let row = |purge: &RecentPurge| {
        let time = purge.at.get(11..19).unwrap_or(&purge.at).to_owned();
        let position = purge.position.as_ref().or(purge.event.as_ref());
        vec![
            time,
            purge.source.clone(),
            purge.mode.clone(),
            count(purge.objects),
            seconds(Some(purge.seconds)),
            purge.selector.clone(),
            position.cloned().unwrap_or_default(),
        ]
    };
    Rows {
        columns: vec![
            ("UTC", 8),
            ("from", 6),
            ("mode", 4),
            ("objects", 8),
            ("took", 7),
            ("selector", 24),
            ("event", 0),
        ],
        cells: snapshot.purges.iter().map(row).collect(),
        note: snapshot.kafka.as_ref().map_or_else(|| "no purger delivers".to_owned(), kafka),
    }
}

fn kafka(state: &KafkaState) -> String {
    let lease =
        state.lease_seconds.map_or_else(String::new, |left| format!(", lease {}", span(left)));
    let clean = state.partitions.iter().filter_map(|partition| partition.clean_seconds);
    let oldest = clean
        .fold(None, |oldest: Option<f64>, age| Some(oldest.map_or(age, |oldest| oldest.max(age))));
    let oldest = oldest
        .map_or_else(String::new, |age| format!(", all applied as of {} ago", seconds(Some(age))));
    let KafkaState { topic, state, partitions, .. } = state;
    format!("Kafka {topic}: {state}, {} partitions{oldest}{lease}", partitions.len())
}
