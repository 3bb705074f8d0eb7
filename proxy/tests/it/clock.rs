//! A wall clock that is wrong and is set right while the proxy runs, or between two starts: no
//! stored response becomes younger by that, and none that is in memory becomes older.

use std::time::Duration;

use process::clock::Clock;
use process::timestamp::Timestamp;
use settings::StorageKind;
use shellac::testing::field::http_date;
use tempfile::TempDir;

use crate::storage::{start_by, written};
use crate::support::origin::{Origin, Reply, not_modified, ok};
use crate::support::proxy::{Proxy, START, START_DATE};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_MILLIS: i64 = 3_600_000;

fn lasting(seconds: u32) -> Reply {
    ok("page").field("cache-control", &format!("max-age={seconds}"))
}

/// A page of an origin whose clock is right, and whose age `Date` says.
fn dated(seconds: u32) -> Reply {
    lasting(seconds).field("date", START_DATE).field("via", "1.0 old")
}

/// Ends a proxy, and starts another at this time.
async fn next(mut proxy: Proxy, origin: &Origin, folder: &TempDir, now: Timestamp) -> Proxy {
    proxy.leave();
    proxy.left().await;
    drop(proxy);
    start_by(Clock::manual(now), origin, folder, StorageKind::File).await
}

#[tokio::test]
async fn a_proxy_whose_clock_was_ahead_has_hits_as_soon_as_it_is_set_right() {
    let origin = Origin::start().await;
    origin.on("/a", dated(60));
    let proxy = Proxy::start_at(origin.address, Clock::manual(START.plus(HOUR)), |_| {});
    for _ in 0..2 {
        assert!(!proxy.get("/a").await.is_hit(), "an hour old, it seems");
    }
    proxy.app.clock().set_wall(-HOUR_MILLIS);
    assert!(!proxy.get("/a").await.is_hit(), "what was stored counts as older");
    let hit = proxy.get("/a").await;
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert_eq!(hit.field("age").unwrap(), "0");
    proxy.advance(61);
    assert!(!proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn what_is_in_memory_ages_evenly_however_the_wall_clock_is_set() {
    for by in [HOUR_MILLIS, -HOUR_MILLIS] {
        let origin = Origin::start().await;
        origin.on("/a", lasting(60));
        let proxy = Proxy::start(&origin);
        proxy.get("/a").await;
        proxy.advance(10);
        proxy.app.clock().set_wall(by);
        let hit = proxy.get("/a").await;
        assert_eq!((hit.is_hit(), hit.field("age").unwrap().as_str()), (true, "10"), "{by}");
        proxy.advance(51);
        assert!(!proxy.get("/a").await.is_hit(), "{by}");
    }
}

#[tokio::test]
async fn dates_are_those_of_the_wall_clock_at_once() {
    let origin = Origin::start().await;
    origin.on("/a", lasting(60));
    let proxy = Proxy::start(&origin);
    proxy.app.clock().set_wall(HOUR_MILLIS);
    proxy.get("/a").await;
    let hit = proxy.get("/a").await;
    assert!(hit.is_hit());
    let date = http_date::format(START.plus(HOUR));
    assert_eq!(hit.field("date").unwrap(), date.to_str().unwrap());
}

#[tokio::test]
async fn what_was_stored_in_the_future_is_validated_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on_each("/a", [lasting(600).field("etag", "\"1\""), not_modified()]);
    let clock = Clock::manual(START.plus(HOUR));
    let proxy = start_by(clock, &origin, &folder, StorageKind::File).await;
    proxy.get("/a").await;
    written(&proxy, 1).await;
    let proxy = next(proxy, &origin, &folder, START).await;
    let validated = proxy.get("/a").await;
    assert!(validated.cache_status().contains("fwd=stale"), "{}", validated.cache_status());
    assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"1\"");
    assert!(proxy.get("/a").await.is_hit(), "its age is known now");
}

/// The page has expired long ago; the proxy starts at a time at which it had not.
#[tokio::test]
async fn a_proxy_whose_clock_is_behind_uses_nothing_from_the_file_until_it_is_set_right() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on("/expired", lasting(1800));
    origin.on("/kept", lasting(10_000));
    let proxy = start_by(Clock::manual(START), &origin, &folder, StorageKind::File).await;
    for path in ["/expired", "/kept"] {
        proxy.get(path).await;
    }
    written(&proxy, 2).await;
    proxy.advance(3600);
    let late = START.plus(Duration::from_mins(10));
    let proxy = next(proxy, &origin, &folder, late).await;
    assert!(!proxy.get("/expired").await.is_hit());
    let kept = proxy.get_with("/kept", &[("cache-control", "only-if-cached")]).await;
    assert_eq!(kept.status(), 504, "{}", kept.cache_status());
    proxy.app.clock().set_wall(HOUR_MILLIS);
    proxy.app.store.cold().unwrap().sweep_useless(); // as from time to time
    let kept = proxy.get("/kept").await;
    assert!(kept.is_hit(), "{}", kept.cache_status());
    assert_eq!(kept.field("age").unwrap(), "4200");
}

/// Its clock was ahead when it stored the page, and was set back later: the next one knows how old
/// the page is.
#[tokio::test]
async fn what_was_stored_before_a_clock_was_set_back_is_no_younger_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on("/a", lasting(5000));
    let clock = Clock::manual(START.plus(HOUR));
    let proxy = start_by(clock, &origin, &folder, StorageKind::File).await;
    proxy.get("/a").await;
    written(&proxy, 1).await;
    proxy.app.clock().set_wall(-HOUR_MILLIS);
    proxy.advance(100);
    let proxy = next(proxy, &origin, &folder, START.plus(Duration::from_secs(4000))).await;
    let hit = proxy.get("/a").await;
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert_eq!(hit.field("age").unwrap(), "4000");
    proxy.advance(1001);
    assert!(!proxy.get("/a").await.is_hit());
}
