//! The examples beside the schema of `cache.purge.requested.v1`: each is read as it says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use purge_protocol::PurgeRequest;
use purge_protocol::log::Rewarm;

use super::super::{EventReader, PurgeEvent, Reading, Record, Rules, cloud_event, time};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    about: String,
    /// The schema accepts it. The reader is more lenient in places, and stricter about URLs and
    /// sources.
    schema: bool,
    event: Value,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Expect {
    Purge { purge: Box<Purge> },
    Ignored { ignored: String },
    Unreadable { unreadable: String, detail: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Purge {
    request: PurgeRequest,
    source: Option<String>,
    #[serde(default = "normal")]
    priority: String,
    #[serde(default)]
    settle_ms: Vec<u64>,
    revision: Option<u64>,
    site: Option<String>,
    rewarm: Option<Rewarm>,
}

fn normal() -> String {
    "normal".to_owned()
}

fn vectors() -> Vec<(String, Vector)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../purge-protocol/schema/examples");
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let vector = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        vectors.push((name, vector));
    }
    assert!(vectors.len() > 50, "the examples were not found");
    vectors
}

fn reader() -> EventReader {
    EventReader::new(Rules { may_purge_all: vec!["/ops/*".to_owned()], ..Rules::default() })
}

fn read(payload: &[u8]) -> Reading {
    let record = Record {
        topic: "cache-purge",
        partition: 2,
        offset: 18811,
        timestamp: None,
        key: None,
        headers: &[],
        payload: Some(payload),
    };
    reader().read(&record, time::parse("2026-11-22T14:00:00Z").unwrap())
}

fn as_told(event: &PurgeEvent, wanted: &Purge) {
    assert_eq!(event.request, wanted.request);
    assert_eq!(event.source, wanted.source);
    assert_eq!(event.time.and_then(time::format), wanted.request.event_time);
    assert_eq!(event.priority.as_str(), wanted.priority);
    let settle: Vec<_> = wanted.settle_ms.iter().copied().map(Duration::from_millis).collect();
    assert_eq!(event.settle, settle);
    assert_eq!(event.revision, wanted.revision);
    assert_eq!(event.site, wanted.site);
    assert_eq!(event.rewarm, wanted.rewarm);
}

#[test]
fn every_example_is_read_as_it_says() {
    for (name, vector) in vectors() {
        println!("{name}: {}", vector.about);
        let payload = serde_json::to_vec(&vector.event).unwrap();
        match (read(&payload), vector.expect) {
            (Reading::Purge(event), Expect::Purge { purge }) => {
                as_told(&event, &purge);
                let written = cloud_event(&event);
                assert_eq!(read(&written), Reading::Purge(event), "read back");
            }
            (Reading::Ignored(ignored), Expect::Ignored { ignored: wanted }) => {
                assert_eq!(ignored.as_str(), wanted);
            }
            (Reading::Unreadable(found), Expect::Unreadable { unreadable, detail }) => {
                assert_eq!(found.code.as_str(), unreadable, "{}", found.detail);
                assert!(found.detail.contains(&detail), "{} lacks {detail}", found.detail);
                assert!(found.detail.len() < 600, "a detail fits a log line: {}", found.detail);
            }
            (reading, _) => panic!("{name}: {reading:?}"),
        }
    }
}

#[test]
fn examples_that_purge_satisfy_the_schema_with_one_exception() {
    let lenient: Vec<_> = vectors()
        .into_iter()
        .filter(|(_, vector)| matches!(vector.expect, Expect::Purge { .. }) && !vector.schema)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(lenient, ["mode-unknown"]);
}
