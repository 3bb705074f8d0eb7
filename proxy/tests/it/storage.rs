//! Storage in a file: hits that come from it, across restarts, with ranges and conditions, and
//! purges that hold.

use std::collections::HashSet;
use std::path::Path;

use insta::assert_snapshot;
use process::clock::Clock;
use serde_json::Value;
use settings::{Config, StorageKind};
use shellac::testing::store::file::inspect::{InspectError, inspect, verify};
use tempfile::TempDir;

use crate::support::client::{Http2, text};
use crate::support::origin::{Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::{Proxy, START};
use crate::support::until;

pub(crate) fn stored_in(folder: &Path, kind: StorageKind) -> impl FnOnce(&mut Config) {
    let path = folder.join("store");
    move |config| {
        config.storage.kind = kind;
        config.storage.memory.capacity = 16 << 20;
        config.storage.memory.max_object = 2 << 20;
        config.storage.file.path = path;
        config.storage.file.capacity = 64 << 20;
        config.storage.file.max_object = 16 << 20;
    }
}

/// A proxy that has found what its file holds.
pub(crate) async fn start(origin: &Origin, folder: &TempDir, kind: StorageKind) -> Proxy {
    start_by(Clock::manual(START), origin, folder, kind).await
}

/// One that starts at this time.
pub(crate) async fn start_by(
    clock: Clock,
    origin: &Origin,
    folder: &TempDir,
    kind: StorageKind,
) -> Proxy {
    let proxy = Proxy::start_at(origin.address, clock, stored_in(folder.path(), kind));
    until("the recovery", || proxy.app.file_usage().is_some_and(|it| !it.is_loading)).await;
    proxy
}

/// Waits until so many responses are in the file.
pub(crate) async fn written(proxy: &Proxy, objects: u64) {
    let is_written = || {
        let usage = proxy.app.file_usage().unwrap();
        usage.objects >= objects && usage.written > 0 && proxy.app.is_store_settled()
    };
    until("the writing", is_written).await;
}

async fn restart(mut proxy: Proxy, origin: &Origin, folder: &TempDir, kind: StorageKind) -> Proxy {
    let clock = Clock::manual(proxy.app.clock().wall());
    proxy.leave();
    proxy.left().await;
    drop(proxy);
    start_by(clock, origin, folder, kind).await
}

pub(crate) fn large(length: usize) -> String {
    (0..length).map(|number| char::from(b'a' + u8::try_from(number / 1000 % 26).unwrap())).collect()
}

#[tokio::test]
async fn what_declares_equivalent_urls_is_a_hit_after_a_restart_and_purged_by_any_of_them() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let page = |path: &str| cacheable(path).field("no-vary-search", "params=(\"ref\")");
    for path in ["/p?ref=a", "/q?ref=a"] {
        origin.on(path, page(path));
    }
    let mut proxy = start(&origin, &folder, StorageKind::Tiered).await;
    for path in ["/p?ref=a", "/q?ref=a"] {
        proxy.get(path).await;
    }
    written(&proxy, 2).await;
    for restarts in 1..=2 {
        proxy = restart(proxy, &origin, &folder, StorageKind::Tiered).await;
        for same in ["/p?ref=a", "/p?ref=b", "/p"] {
            let answer = proxy.get(same).await;
            assert_eq!((answer.text(), answer.is_hit()), ("/p?ref=a", true), "{same}, {restarts}");
        }
    }
    proxy = restart(proxy, &origin, &folder, StorageKind::Tiered).await;
    for body in [
        r#"{"urls":["http://site.example/p?ref=never-seen"]}"#,
        r#"{"all_of":["url:http://site.example/q?ref=never-seen"]}"#,
    ] {
        proxy.purge(body).await;
    }
    for path in ["/p?ref=a", "/q?ref=a"] {
        assert!(!proxy.get(path).await.is_hit(), "{path} was on disk only");
        assert_eq!(origin.count(path), 2);
    }
}

#[tokio::test]
async fn a_prefix_finds_every_spelling_on_disk_also_when_it_ends_within_a_segment() {
    for kind in [StorageKind::File, StorageKind::Tiered] {
        for (prefix, mode) in [("/blo", "hard"), ("/blog/", "soft"), ("/blog/", "hard")] {
            let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
            origin.on("/%62log/x", cacheable("old"));
            let proxy = start(&origin, &folder, kind).await;
            proxy.get("/%62log/x").await;
            written(&proxy, 1).await;
            let proxy = restart(proxy, &origin, &folder, kind).await;
            origin.on("/%62log/x", cacheable("new"));
            let purge = serde_json::json!({"prefixes": [prefix], "mode": mode});
            proxy.purge(&purge.to_string()).await;
            let answer = proxy.get("/%62log/x").await;
            assert_eq!(answer.text(), "new", "{kind:?}, {prefix}, {mode}");
        }
    }
}

#[tokio::test]
async fn what_was_stored_is_a_hit_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    for kind in [StorageKind::File, StorageKind::Tiered] {
        let path = format!("/{kind:?}");
        origin.on(&path, ok("hello").field("cache-control", "max-age=600").field("x-a", "b"));
        let proxy = start(&origin, &folder, kind).await;
        proxy.get(&path).await;
        proxy.advance(5);
        written(&proxy, 1).await;
        let proxy = restart(proxy, &origin, &folder, kind).await;
        let hit = proxy.get(&path).await;
        assert!(hit.is_hit(), "{}", hit.cache_status());
        assert_eq!((hit.text(), hit.field("x-a").unwrap().as_str()), ("hello", "b"));
        assert_eq!(origin.count(&path), 1);
        assert!(proxy.get(&path).await.is_hit(), "from memory");
    }
}

#[tokio::test]
async fn a_large_response_is_streamed_from_the_file_whole_in_part_and_as_a_head() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let content = large(9_500_000);
    origin.on("/large", cacheable(&content).field("etag", "\"v1\""));
    origin.on("/middle", cacheable(content.get(..200_000).unwrap()).field("etag", "\"v1\""));
    let proxy = start(&origin, &folder, StorageKind::Tiered).await;
    for path in ["/large", "/middle"] {
        proxy.get(path).await;
    }
    written(&proxy, 2).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    for (path, content) in
        [("/large", content.as_str()), ("/middle", content.get(..200_000).unwrap())]
    {
        for _ in 0..3 {
            let whole = proxy.get(path).await;
            assert!(whole.is_hit() && whole.text() == content, "{}", whole.cache_status());
        }
        for (range, expected) in [
            ("bytes=0-9", 0..10),
            ("bytes=65530-140000", 65_530..140_001),
            ("bytes=-7", content.len() - 7..content.len()),
        ] {
            let part = proxy.get_with(path, &[("range", range)]).await;
            assert_eq!((part.status(), part.is_hit()), (206, true));
            assert!(Some(part.text()) == content.get(expected), "{range}");
        }
        let several = proxy.get_with(path, &[("range", "bytes=0-1,5-6")]).await;
        assert!(several.status() == 200 && several.text() == content);
        let head = proxy.ask("HEAD", path, &[]).await;
        assert_eq!(head.field("content-length").unwrap(), content.len().to_string());
        let unchanged = proxy.get_with(path, &[("if-none-match", "\"v1\"")]).await;
        assert_eq!(unchanged.status(), 304);
        assert_eq!(origin.count(path), 1);
    }
    let usage = proxy.app.file_usage().unwrap();
    assert!(usage.mapped > 10 && usage.corrupt == 0, "{usage:?}");
}

/// Bytes that are in the file only are not at hand when more of them arrive.
#[tokio::test]
async fn a_part_that_is_in_the_file_only_is_not_put_together_with_another() {
    let content = large(200_000);
    for (stored, next) in
        [("bytes=100000-199999", None), ("bytes=50000-99999", Some("bytes=100000-149999"))]
    {
        let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
        let whole = content.clone();
        origin.script("/a", move |request| {
            let Some(range) = request.head.field("range") else {
                return cacheable(&whole).field("etag", "\"a\"");
            };
            let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            status("206 Partial Content", whole.get(first..=last).unwrap())
                .field("cache-control", "max-age=60")
                .field("content-range", &format!("bytes {first}-{last}/200000"))
                .field("etag", "\"a\"")
        });
        let proxy = start(&origin, &folder, StorageKind::Tiered).await;
        proxy.get_with("/a", &[("range", stored)]).await;
        written(&proxy, 1).await;
        let proxy = restart(proxy, &origin, &folder, StorageKind::Tiered).await;
        let inner = proxy.get_with("/a", &[("range", "bytes=99990-100009")]).await;
        assert_eq!(inner.status(), 206, "{stored}");
        if let Some(next) = next {
            proxy.get_with("/a", &[("range", next)]).await;
            let joined = proxy.get_with("/a", &[("range", "bytes=60000-60009")]).await;
            assert_eq!(joined.text(), content.get(60_000..60_010).unwrap());
        }

        for _ in 0..2 {
            let answer = proxy.get("/a").await;
            assert_eq!((answer.status(), answer.content.len()), (200, 200_000), "{stored}");
            assert!(answer.text() == content, "{stored}");
        }
    }
}

/// Its library copies the ends of frames: what is behind the end of a mapped file would be a signal
/// there.
#[tokio::test]
async fn over_http2_nothing_is_sent_from_the_map() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let content = large(1_000_003);
    origin.on("/large", cacheable(&content));
    let proxy = start(&origin, &folder, StorageKind::File).await;
    proxy.get("/large").await;
    written(&proxy, 1).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    let mut client = Http2::open(proxy.address).await;
    for _ in 0..3 {
        let response = client.get("/large").await.unwrap();
        assert!(text(response).await.unwrap() == content);
    }
    assert_eq!((origin.count("/large"), proxy.app.file_usage().unwrap().mapped), (1, 0));
    for _ in 0..3 {
        assert!(proxy.get("/large").await.text() == content);
    }
    assert!(proxy.app.file_usage().unwrap().mapped > 3);
}

fn numbered(number: usize) -> String {
    format!("{number} {}", large(1000))
}

/// A proxy that has stored more pages than its memory holds, each with one of ten tags.
async fn crowded(origin: &Origin, folder: &TempDir) -> Proxy {
    for number in 0..PAGES {
        let tag = format!("t{}", number % 10);
        let page = cacheable(&numbered(number)).field("surrogate-key", &tag);
        origin.on(&format!("/{number}"), page);
    }
    let file = stored_in(folder.path(), StorageKind::File);
    let little = move |config: &mut Config| {
        file(config);
        config.storage.memory.capacity = 2 << 20;
    };
    let proxy = Proxy::start_at(origin.address, Clock::manual(START), little);
    until("the recovery", || proxy.app.file_usage().is_some_and(|it| !it.is_loading)).await;
    for number in 0..PAGES {
        proxy.get(&format!("/{number}")).await;
    }
    written(&proxy, PAGES as u64).await;
    proxy
}

/// Most of them are read from the file for one use and never enter memory.
#[tokio::test]
async fn more_pages_than_memory_holds_are_hits_each_time_and_never_after_a_purge() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let proxy = crowded(&origin, &folder).await;
    for _ in 0..2 {
        for number in 0..PAGES {
            let hit = proxy.get(&format!("/{number}")).await;
            assert!(hit.is_hit() && hit.text() == numbered(number), "{}", hit.cache_status());
        }
    }
    let usage = proxy.app.file_usage().unwrap();
    assert!(usage.loads[0] > PAGES as u64 && usage.promoted < usage.loads[0] / 2, "{usage:?}");
    proxy.purge(r#"{"tags":["t3"]}"#).await;
    for number in 0..PAGES {
        let answer = proxy.get(&format!("/{number}")).await;
        assert_eq!(answer.is_hit(), number % 10 != 3, "{number}: {}", answer.cache_status());
    }
}

#[tokio::test]
async fn what_is_in_memory_and_what_is_in_the_file_only_is_listed_page_by_page() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let proxy = crowded(&origin, &folder).await;
    let listed = async |query: &str| {
        let (mut objects, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/objects?limit=500{query}{after}");
            let mut page = proxy.ask_admin("GET", &path, &[], "").await.json();
            objects.extend(page["objects"].as_array().unwrap().clone());
            let Some(next) = page["next"].take().as_str().map(str::to_owned) else {
                return objects;
            };
            after = format!("&after={next}");
        }
    };
    let urls = |objects: &[Value]| -> HashSet<String> {
        objects.iter().map(|object| object["url"].as_str().unwrap().to_owned()).collect()
    };
    let all = listed("").await;
    assert_eq!((all.len(), urls(&all).len()), (PAGES, PAGES));
    for tier in ["memory", "file"] {
        assert!(all.iter().any(|object| object["tier"] == tier), "{tier}");
    }
    let of_tag = listed("&tag=t7").await;
    assert!(urls(&of_tag).iter().all(|url| url.ends_with('7')));
    assert_eq!(of_tag.len(), PAGES / 10);
    let of_prefix = listed("&prefix=http%3A%2F%2Fsite.example%2F11").await;
    assert_eq!(of_prefix.len(), 1 + 10 + 100);

    proxy.purge(r#"{"tags":["t7"]}"#).await;
    assert_eq!(listed("&tag=t7").await, [Value::Null; 0]);
    assert_eq!(listed("").await.len(), PAGES - PAGES / 10);
}

const PAGES: usize = 1200;

#[tokio::test]
async fn what_is_useless_soon_is_written_only_where_memory_does_not_keep_it_for_so_long() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    for number in 0..PAGES {
        let page = ok(&large(1000)).field("cache-control", "max-age=30");
        origin.on(&format!("/{number}"), page);
    }
    origin.on("/long", cacheable(&large(1000)));
    let file = stored_in(folder.path(), StorageKind::Tiered);
    let little = move |config: &mut Config| {
        file(config);
        config.storage.memory.capacity = 2 << 20;
        (config.cache.keep, config.cache.stale_if_error) = Default::default();
    };
    let proxy = Proxy::start_at(origin.address, Clock::manual(START), little);
    until("the recovery", || proxy.app.file_usage().is_some_and(|it| !it.is_loading)).await;
    for number in 0..10 {
        proxy.get(&format!("/{number}")).await;
    }
    proxy.get("/long").await;
    written(&proxy, 1).await;
    assert_eq!(proxy.app.file_usage().unwrap().objects, 1, "memory keeps the others");
    for number in 10..PAGES {
        proxy.get(&format!("/{number}")).await;
    }
    until("the writing", || proxy.app.is_store_settled()).await;
    assert!(proxy.app.file_usage().unwrap().objects > 100, "memory evicts them at once");
    proxy.advance(31);
    assert!(!proxy.get(&format!("/{}", PAGES - 1)).await.is_hit());
}

#[tokio::test]
async fn a_response_without_a_length_is_stored_while_it_arrives() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let content = large(9_000_000);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{content}\r\n0\r\n\r\n",
        content.len()
    );
    origin.on("/chunked", Reply::bytes(chunked));
    let proxy = start(&origin, &folder, StorageKind::File).await;
    assert!(proxy.get("/chunked").await.text() == content);
    let hit = proxy.get("/chunked").await;
    assert!(hit.is_hit() && hit.text() == content);
    assert_eq!(hit.field("content-length").unwrap(), content.len().to_string());
}

#[tokio::test]
async fn a_purge_holds_across_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let paths = ["/tag", "/url", "/prefix/a", "/host", "/kept"];
    for path in paths {
        origin.on(
            path,
            ok(path)
                .field("cache-control", "max-age=6000")
                .field("surrogate-key", path.trim_start_matches('/')),
        );
    }
    let other = [("host", "other.example")];
    let proxy = start(&origin, &folder, StorageKind::File).await;
    for path in paths {
        proxy.get(path).await;
    }
    proxy.get_with("/host", &other).await;
    written(&proxy, 6).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    for purge in [
        r#"{"tags":["tag"]}"#,
        r#"{"urls":["http://site.example/url"]}"#,
        r#"{"prefixes":["http://site.example/prefix/"]}"#,
        r#"{"hosts":["other.example"]}"#,
    ] {
        proxy.purge(purge).await;
    }
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    for (path, is_kept) in paths.into_iter().zip([false, false, false, true, true]) {
        assert_eq!(proxy.get(path).await.is_hit(), is_kept, "{path}");
    }
    assert!(!proxy.get_with("/host", &other).await.is_hit());
    let report = proxy.purge(r#"{"all":true}"#).await;
    assert_eq!(report["matched"]["objects"], 6);
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    assert!(!proxy.get("/kept").await.is_hit());
}

#[tokio::test]
async fn what_a_purge_hits_in_the_file_leaves_it_though_nobody_asks() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let paths = ["/t/1", "/t/2", "/blog/1", "/kept"];
    for path in paths {
        let tag = if path.starts_with("/t/") { "t" } else { "other" };
        origin.on(path, cacheable(path).field("surrogate-key", tag));
    }
    let proxy = start(&origin, &folder, StorageKind::File).await;
    for path in paths {
        proxy.get(path).await;
    }
    proxy.get_with("/kept", &[("host", "other.example")]).await;
    written(&proxy, 5).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    let objects = || proxy.app.file_usage().unwrap().objects;
    for (purge, left) in [
        (r#"{"tags":["t"],"mode":"soft"}"#, 5),
        (r#"{"tags":["t"]}"#, 3),
        (r#"{"prefixes":["/blog/"]}"#, 2),
        (r#"{"hosts":["other.example"]}"#, 1),
    ] {
        assert_eq!(proxy.purge(purge).await["matched"]["objects"], 0, "none is in memory");
        until(purge, || objects() == left).await;
    }
    assert_eq!(proxy.app.file_usage().unwrap().swept[0], 4);
    assert!(proxy.get("/kept").await.is_hit());
}

#[tokio::test]
async fn a_soft_purge_makes_stale_what_is_in_the_file_only() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on_each(
        "/a",
        [cacheable("a").field("etag", "\"1\"").field("surrogate-key", "t"), not_modified()],
    );
    let proxy = start(&origin, &folder, StorageKind::File).await;
    proxy.get("/a").await;
    written(&proxy, 1).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    proxy.purge(r#"{"tags":["t"],"mode":"soft"}"#).await;
    let validated = proxy.get("/a").await;
    assert_eq!((validated.text(), validated.cache_status().contains("fwd=stale")), ("a", true));
    assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"1\"");
    written(&proxy, 1).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    assert!(proxy.get("/a").await.is_hit(), "the 304 was stored");
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn variants_come_back_side_by_side() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.script("/v", |received| {
        let asked = received.head.field("x-lang").unwrap_or_default();
        cacheable(&asked).field("vary", "x-lang")
    });
    let proxy = start(&origin, &folder, StorageKind::File).await;
    for lang in ["de", "en"] {
        proxy.get_with("/v", &[("x-lang", lang)]).await;
    }
    written(&proxy, 2).await;
    let proxy = restart(proxy, &origin, &folder, StorageKind::File).await;
    for lang in ["en", "de"] {
        let hit = proxy.get_with("/v", &[("x-lang", lang)]).await;
        assert_eq!((hit.is_hit(), hit.text()), (true, lang));
    }
    let miss = proxy.get_with("/v", &[("x-lang", "fr")]).await;
    assert!(miss.cache_status().contains("vary-miss"), "{}", miss.cache_status());
    let only = proxy.get_with("/v", &[("x-lang", "en"), ("cache-control", "only-if-cached")]).await;
    assert!(only.is_hit());
}

#[tokio::test]
async fn an_aborted_response_leaves_nothing_in_the_file() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 12000000\r\n\r\n";
    origin.on("/cut", Reply::bytes(format!("{head}{}", large(10_000_000))).close());
    let proxy = start(&origin, &folder, StorageKind::File).await;
    let mut connection = proxy.begin("/cut", &[]).await;
    let head = connection.head().await;
    assert!(connection.rest(head).await.is_err());
    until("the end", || {
        proxy.app.file_usage().unwrap().live_bytes == 0 && proxy.app.is_store_settled()
    })
    .await;
    assert_eq!(proxy.app.store.usage().objects, 0);
}

/// The names of metrics are an interface: these come in addition where there is a file.
#[tokio::test]
async fn the_file_has_metrics_of_its_own_and_is_inspected_and_verified_by_path() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let proxy = start(&origin, &folder, StorageKind::File).await;
    origin.on("/large", cacheable(&large(9_000_000)));
    for path in ["/large", "/a", "/b"] {
        origin.on("/a", cacheable("a"));
        origin.on("/b", cacheable("b").field("surrogate-key", "b"));
        proxy.get(path).await;
    }
    written(&proxy, 3).await;
    proxy.purge(r#"{"tags":["b"]}"#).await;
    let format = [("accept", "application/openmetrics-text")];
    let page = proxy.ask_admin("GET", "/metrics", &format, "").await;
    let names = page.text().lines().filter_map(|line| line.strip_prefix("# TYPE shellac_storage_"));
    assert_snapshot!(names.collect::<Vec<_>>().join("\n"), @r"
    objects gauge
    bytes gauge
    segments gauge
    index_bytes gauge
    filter_bytes gauge
    recovery_seconds gauge
    recovered_objects gauge
    loading gauge
    shared gauge
    offline gauge
    distrusted gauge
    written_bytes counter
    reads counter
    promotions counter
    mapped_windows counter
    faults counter
    segment_turns counter
    swept_responses counter
    swept_segments counter
    sweeps_refused counter
    journal_syncs counter
    ");
    let stats = proxy.ask_admin("GET", "/api/v1/stats", &[], "").await.json();
    assert_eq!(stats["file"]["objects"], 2);

    let path = folder.path().join("store");
    assert!(inspect(&path).unwrap().is_in_use);
    assert!(matches!(verify(&path), Err(InspectError::InUse(_))));
    drop(restart(proxy, &origin, &folder, StorageKind::File).await);
    let inspection = inspect(&path).unwrap();
    assert!(!inspection.is_in_use && inspection.is_clean);
    assert_eq!((inspection.openings, inspection.responses, inspection.dead), (2, 2, 1));
    // The tag, those that begin alike, and any: a page may have folded its tags to either.
    assert_eq!(inspection.purged, 3);
    let verification = verify(&path).unwrap();
    assert_eq!((verification.responses, verification.damaged.len()), (2, 0));
    assert!(verification.extents >= 9 && verification.bytes > 9_000_000);
    damage(&path.join("store.dat"), b"aaaaaaaaaaaaaaaa");
    assert_eq!(verify(&path).unwrap().damaged.len(), 1);
    assert!(matches!(inspect(folder.path()), Err(InspectError::Io { .. })));
}

/// Changes one byte in the middle of the first place where these bytes are.
fn damage(file: &Path, bytes: &[u8]) {
    let mut content = std::fs::read(file).unwrap();
    let at = content.windows(bytes.len()).position(|window| window == bytes).unwrap();
    content[at + bytes.len() / 2] ^= 1;
    std::fs::write(file, content).unwrap();
}

#[tokio::test]
async fn a_store_that_is_in_use_is_an_error_before_anything_is_bound() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let proxy = start(&origin, &folder, StorageKind::File).await;
    let mut config = proxy.app.config.clone();
    config.admin.listen.clear();
    let second = shellac::app::App::new(config, Clock::manual(START)).unwrap_err();
    assert!(second.to_string().contains("in use by another process"), "{second}");
}
