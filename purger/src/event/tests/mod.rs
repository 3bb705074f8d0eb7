//! Tests of the reader as a whole: formats, rules, poison, and properties of any bytes.

mod debezium;
mod formats;
mod poison;
mod properties;
mod rules;
mod vectors;

use std::time::SystemTime;

use super::{Code, EventReader, Ignored, PurgeEvent, Reading, Record, Rules, Unreadable, time};

/// Noon of the day on which these tests take place.
fn now() -> SystemTime {
    time::parse("2026-11-22T12:00:00Z").unwrap()
}

fn record(payload: &[u8]) -> Record<'_> {
    Record {
        topic: "t",
        partition: 3,
        offset: 14,
        timestamp: time::parse("2026-11-22T11:59:59.500Z"),
        key: None,
        headers: &[],
        payload: Some(payload),
    }
}

fn read(rules: &Rules, payload: &str) -> Reading {
    EventReader::new(rules.clone()).read(&record(payload.as_bytes()), now())
}

#[track_caller]
fn purge(rules: &Rules, payload: &str) -> PurgeEvent {
    match read(rules, payload) {
        Reading::Purge(event) => *event,
        other => panic!("{payload}: {other:?}"),
    }
}

#[track_caller]
fn ignored(rules: &Rules, payload: &str) -> Ignored {
    match read(rules, payload) {
        Reading::Ignored(ignored) => ignored,
        other => panic!("{payload}: {other:?}"),
    }
}

#[track_caller]
fn unreadable(rules: &Rules, payload: &str) -> (Code, String) {
    match read(rules, payload) {
        Reading::Unreadable(Unreadable { code, detail, .. }) => (code, detail),
        other => panic!("{payload}: {other:?}"),
    }
}
