//! The screen at several sizes, and what keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::live::snapshot::{
    ConfigState, ConnectionCounts, HitRatios, KafkaState, Latencies, LatencyCounts, NotCached,
    OriginFigures, OutcomeRates, PartitionFigures, Quantiles, Rates, RecentPurge, SeriesOfSeconds,
    ServerFigures, TagUse, Tier, Top, UrlUse,
};

fn text(text: &str) -> String {
    text.to_owned()
}

fn quantiles(p50: f64, p95: f64, p99: f64) -> Quantiles {
    Quantiles { p50: Some(p50), p95: Some(p95), p99: Some(p99) }
}

fn bucket(place: usize, count: u64) -> Vec<u64> {
    let mut counts = vec![0; 42];
    counts[place] = count;
    counts[place + 1] = count / 2;
    counts
}

fn url(url: &str, requests: u64, misses: u64, bytes: u64, origin_seconds: f64) -> UrlUse {
    UrlUse { url: text(url), requests, misses, bytes, origin_seconds }
}

fn purge(at: &str, selector: &str, source: &str, position: Option<&str>) -> RecentPurge {
    RecentPurge {
        at: text(at),
        source: text(source),
        selector: text(selector),
        mode: text("hard"),
        objects: 3,
        seconds: 0.000_12,
        position: position.map(text),
        ..RecentPurge::default()
    }
}

#[expect(clippy::too_many_lines, reason = "one of everything")]
fn snapshot() -> LiveSnapshot {
    LiveSnapshot {
        version: text("0.1.0"),
        uptime_seconds: 266_400.0,
        ready: true,
        config: ConfigState { hash: text("9f3a2b1c5d"), ..ConfigState::default() },
        hit_ratio: HitRatios {
            second: Some(0.94),
            ten_seconds: Some(0.931),
            minute: Some(0.92),
            quarter: None,
        },
        rates: Rates {
            requests: 1940.0,
            origin_requests: 131.0,
            bytes_in: 10_000.0,
            bytes_out: 1e6,
        },
        outcomes: OutcomeRates {
            hit: 1800.0,
            stale: 2.0,
            miss: 100.0,
            error: 0.1,
            ..OutcomeRates::default()
        },
        latency_seconds: Latencies {
            hit: quantiles(0.000_012, 0.000_08, 0.000_4),
            miss: quantiles(0.08, 0.2, 1.4),
        },
        series: SeriesOfSeconds {
            requests: (0..100).map(|second| second % 20 * 100).collect(),
            ..SeriesOfSeconds::default()
        },
        histogram: LatencyCounts {
            bounds_seconds: Vec::new(),
            hits: bucket(5, 900),
            misses: bucket(24, 40),
        },
        not_cached: vec![NotCached {
            reason: text("set_cookie"),
            per_second: 1.2,
            total: 412,
            example: Some(text("https://shop.example/cart")),
        }],
        top: Top {
            window_seconds: 60,
            urls: vec![
                url("https://shop.example/", 9000, 2, 90_000_000, 0.2),
                url("https://shop.example/search?q=*", 40, 40, 1_600_000, 12.5),
            ],
        },
        tags: vec![TagUse {
            tag: text("product-42"),
            pages: 3,
            purges_per_hour: 12.0,
            renders: 36,
            bytes: 1_480_000,
            stale_served: 0,
        }],
        origins: vec![OriginFigures {
            name: text("app"),
            is_usable: true,
            queue: 1,
            requests: 10,
            errors: 2,
            servers: vec![ServerFigures {
                address: text("127.0.0.1:3000"),
                state: text("down"),
                detail: text("circuit_open"),
                reason: Some(text("8 of 10 requests failed")),
                in_flight: 1,
                queue: 1,
                requests: 10,
                errors: 2,
                p95_seconds: Some(0.1),
            }],
        }],
        storage: vec![Tier {
            name: text("memory"),
            objects: 12_345,
            bytes: 500_000_000,
            capacity_bytes: 1_000_000_000,
            evictions_per_second: Some(0.5),
        }],
        purges: vec![
            purge(
                "2026-11-29T12:00:01.000Z",
                "tag product-42",
                "kafka",
                Some("cache-purge/2@18811"),
            ),
            purge("2026-11-29T12:00:00.000Z", "prefix https://shop.example/p/", "admin", None),
        ],
        kafka: Some(KafkaState {
            topic: text("cache-purge"),
            state: text("current"),
            partitions: vec![PartitionFigures {
                partition: 2,
                position: 18_812,
                lag: None,
                clean_seconds: Some(0.4),
            }],
            lease_seconds: Some(12.0),
        }),
        connections: ConnectionCounts { open: 3, tls: 0, http2: 1 },
        ..LiveSnapshot::default()
    }
}

fn view(tab: Tab) -> View {
    View::new(tab, SortBy::Requests)
}

#[test]
fn a_terminal_of_80_by_24_shows_everything_that_matters() {
    insta::assert_snapshot!(page(&snapshot(), &view(Tab::Urls), (80, 24)));
}

#[test]
fn each_table_shows_its_rows() {
    let tabs = [Tab::Reasons, Tab::Tags, Tab::Origins, Tab::Storage, Tab::Purges];
    let tables = tabs.map(|tab| {
        let text = page(&snapshot(), &view(tab), (100, 24));
        text.lines().skip(11).take(6).collect::<Vec<_>>().join("\n")
    });
    insta::assert_snapshot!(tables.join("\n\n"));
}

#[test]
fn a_failed_reload_and_an_unready_proxy_stand_in_the_first_line() {
    let mut snapshot = snapshot();
    snapshot.unready_because = Some(text("draining"));
    snapshot.config.problem = Some(text("limits.max_url is no size"));
    let page = page(&snapshot, &view(Tab::Urls), (100, 24));
    let first = page.lines().next().unwrap();
    assert!(first.contains("not ready: draining") && first.contains("FAILED"), "{first}");
}

#[test]
fn a_filter_leaves_rows_with_its_text_and_help_lies_above() {
    let mut view = view(Tab::Urls);
    for key in "/SEARCH".chars() {
        view.press(KeyEvent::from(KeyCode::Char(key)));
    }
    let shown = page(&snapshot(), &view, (80, 24));
    assert!(shown.contains("search?q=*") && !shown.contains("9,000"), "{shown}");
    assert!(shown.contains("filter: SEARCH_ (1)"), "{shown}");
    assert_eq!(view.press(KeyEvent::from(KeyCode::Char('q'))), Next::Stay, "it is text");
    view.press(KeyEvent::from(KeyCode::Esc));
    view.press(KeyEvent::from(KeyCode::Char('?')));
    assert!(page(&snapshot(), &view, (80, 24)).contains("freeze the screen"));
}

#[test]
fn keys_turn_tables_sort_freeze_and_end() {
    let mut view = view(Tab::Urls);
    let press = |view: &mut View, code| view.press(KeyEvent::from(code));
    press(&mut view, KeyCode::Char('6'));
    assert_eq!(view.tab, Tab::Purges);
    press(&mut view, KeyCode::Tab);
    assert_eq!(view.tab, Tab::Urls);
    press(&mut view, KeyCode::BackTab);
    assert_eq!(view.tab, Tab::Purges);
    press(&mut view, KeyCode::Char('s'));
    assert_eq!(view.sort, SortBy::Misses);
    press(&mut view, KeyCode::Char('f'));
    assert!(view.is_frozen);
    press(&mut view, KeyCode::PageDown);
    press(&mut view, KeyCode::Up);
    assert_eq!(view.skipped, 9);
    assert_eq!(press(&mut view, KeyCode::Char('q')), Next::End);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.press(interrupt), Next::End);
}

#[test]
fn urls_are_in_the_order_that_is_asked_for() {
    for (sort, first) in
        [(SortBy::Requests, "9,000"), (SortBy::Misses, "40"), (SortBy::Origin, "40")]
    {
        let shown = page(&snapshot(), &View::new(Tab::Urls, sort), (80, 24));
        let row = shown.lines().find(|line| line.contains("https://")).unwrap();
        assert!(row.starts_with(first), "{sort:?}: {row}");
    }
}

#[test]
fn no_size_of_a_terminal_breaks_the_screen() {
    for size in [(1, 1), (10, 3), (40, 10), (80, 24), (200, 60)] {
        let mut view = view(Tab::Purges);
        view.shows_help = true;
        let shown = page(&snapshot(), &view, size);
        assert_eq!(shown.lines().count(), usize::from(size.1), "{size:?}");
    }
}
