//! Parts: stored, reused, put together and completed (RFC 9111 §3.3, §3.4), never mixed.

use crate::support::origin::{Gate, Origin, Received, Reply, status};
use crate::support::proxy::{Proxy, request};

const WHOLE: &str = "0123456789abcdefghij";

/// An origin of one resource that serves single ranges, and honours `If-Range`.
fn ranged(etag: &'static str) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    move |request| {
        let unchanged = request.head.field("if-range").is_none_or(|condition| condition == etag);
        match request.head.field("range").filter(|_| unchanged) {
            Some(range) => part(&range, etag),
            None => Reply::bytes(format!(
                "HTTP/1.1 200 OK\r\netag: {etag}\r\ncache-control: max-age=60\r\n\
                 content-length: 20\r\n\r\n{WHOLE}"
            )),
        }
    }
}

fn part(range: &str, etag: &str) -> Reply {
    assert!(!range.contains(','), "several ranges reached the origin: {range}");
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (first, last) = match (first, last) {
        ("", length) => (20 - length.parse::<usize>().unwrap(), 19),
        (first, "") => (first.parse().unwrap(), 19),
        (first, last) => (first.parse().unwrap(), last.parse::<usize>().unwrap().min(19)),
    };
    let content = WHOLE.get(first..=last).unwrap();
    Reply::bytes(format!(
        "HTTP/1.1 206 Partial Content\r\netag: {etag}\r\ncache-control: max-age=60\r\n\
         content-range: bytes {first}-{last}/20\r\ncontent-length: {}\r\n\r\n{content}",
        content.len()
    ))
}

async fn start(etag: &'static str) -> (Origin, Proxy) {
    let origin = Origin::start().await;
    origin.script("/a", ranged(etag));
    let proxy = Proxy::start(&origin);
    (origin, proxy)
}

async fn get(proxy: &Proxy, range: &str) -> (u16, String, String, bool) {
    let answer = proxy.get_with("/a", &[("Range", range)]).await;
    let place = answer.field("content-range").unwrap_or_default();
    (answer.status(), place, answer.text().to_owned(), answer.is_hit())
}

fn found(place: &str, content: &str, is_hit: bool) -> (u16, String, String, bool) {
    (206, place.to_owned(), content.to_owned(), is_hit)
}

#[tokio::test]
async fn a_part_is_asked_for_stored_and_serves_smaller_ones() {
    let (origin, proxy) = start("\"a\"").await;

    assert_eq!(get(&proxy, "bytes=5-14").await, found("bytes 5-14/20", "56789abcde", false));
    for (range, place, content) in [
        ("bytes=5-14", "bytes 5-14/20", "56789abcde"),
        ("bytes=7-8", "bytes 7-8/20", "78"),
        ("bytes=14-14", "bytes 14-14/20", "e"),
    ] {
        assert_eq!(get(&proxy, range).await, found(place, content, true), "{range}");
    }
    assert_eq!(origin.count("/a"), 1);
    assert_eq!(origin.last("/a").head.field("range").unwrap(), "bytes=5-14");
}

#[tokio::test]
async fn a_suffix_is_stored_at_its_place() {
    let (origin, proxy) = start("\"a\"").await;

    assert_eq!(get(&proxy, "bytes=-5").await, found("bytes 15-19/20", "fghij", false));
    assert_eq!(get(&proxy, "bytes=16-").await, found("bytes 16-19/20", "ghij", true));
    assert_eq!(get(&proxy, "bytes=-1").await, found("bytes 19-19/20", "j", true));
    assert_eq!(get(&proxy, "bytes=-6").await, found("bytes 14-19/20", "efghij", false));
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn parts_that_touch_or_overlap_become_one_and_at_last_the_whole() {
    let (origin, proxy) = start("\"a\"").await;
    get(&proxy, "bytes=0-4").await;
    get(&proxy, "bytes=5-9").await;
    assert_eq!(get(&proxy, "bytes=3-7").await, found("bytes 3-7/20", "34567", true));
    get(&proxy, "bytes=8-14").await;
    assert_eq!(get(&proxy, "bytes=0-14").await, found("bytes 0-14/20", "0123456789abcde", true));

    get(&proxy, "bytes=15-").await;
    let whole = proxy.get("/a").await;

    assert!(whole.is_hit(), "{}", whole.cache_status());
    assert_eq!((whole.status(), whole.text()), (200, WHOLE));
    assert!(!whole.head.has("content-range"));
    assert_eq!(whole.field("content-length").unwrap(), "20");
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn a_request_for_the_whole_completes_the_stored_part() {
    for (stored, missing) in [("bytes=0-4", "bytes=5-19"), ("bytes=12-", "bytes=0-11")] {
        let (origin, proxy) = start("\"a\"").await;
        get(&proxy, stored).await;

        let miss = proxy.get("/a").await;

        assert_eq!((miss.status(), miss.text()), (200, WHOLE));
        assert!(miss.cache_status().starts_with("fwd=partial"), "{}", miss.cache_status());
        assert!(!miss.head.has("content-range"));
        let asked = origin.last("/a").head;
        assert_eq!(asked.field("range").unwrap(), missing);
        assert_eq!(asked.field("if-range").unwrap(), "\"a\"");
        assert!(proxy.get("/a").await.is_hit());
        assert_eq!(origin.count("/a"), 2);
    }
}

#[tokio::test]
async fn a_part_in_the_middle_is_not_completed_but_replaced() {
    let (origin, proxy) = start("\"a\"").await;
    get(&proxy, "bytes=5-9").await;

    assert_eq!(proxy.get("/a").await.text(), WHOLE);

    assert!(!origin.last("/a").head.has("range"));
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn parts_of_two_representations_are_never_put_together() {
    for (one, other) in [("\"a\"", "\"b\""), ("W/\"a\"", "W/\"a\""), ("\"a\"", "W/\"a\"")] {
        let origin = Origin::start().await;
        origin.script("/a", ranged(one));
        let proxy = Proxy::start(&origin);
        get(&proxy, "bytes=0-9").await;
        origin.script("/a", ranged(other));
        get(&proxy, "bytes=10-19").await;

        let whole = proxy.get("/a").await;

        assert!(!whole.is_hit(), "{one} {other}");
        assert_eq!(whole.text(), WHOLE);
    }
}

#[tokio::test]
async fn a_representation_that_has_changed_is_sent_whole() {
    let origin = Origin::start().await;
    origin.script("/a", ranged("\"a\""));
    let proxy = Proxy::start(&origin);
    get(&proxy, "bytes=0-9").await;
    origin.script("/a", |_| status("200 OK", "new").field("cache-control", "max-age=60"));

    let whole = proxy.get("/a").await;

    assert_eq!(whole.text(), "new");
    assert_eq!(origin.count("/a"), 2);
    assert_eq!(proxy.get("/a").await.text(), "new");
}

#[tokio::test]
async fn a_wrong_part_is_asked_for_again_as_a_whole() {
    let origin = Origin::start().await;
    origin.script("/a", ranged("\"a\""));
    let proxy = Proxy::start(&origin);
    get(&proxy, "bytes=0-9").await;
    origin.script("/a", |request| match request.head.field("range") {
        Some(_) => part("bytes=12-19", "\"a\""),
        None => ranged("\"a\"")(request),
    });

    assert_eq!(proxy.get("/a").await.text(), WHOLE);

    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn contradictory_parts_are_relayed_and_not_stored() {
    let head = "HTTP/1.1 206 Partial Content\r\netag: \"a\"\r\ncache-control: max-age=60\r\n";
    for fields in [
        "content-range: bytes 0-9/20\r\ncontent-length: 5\r\n",
        "content-range: bytes 0-3/20\r\ncontent-length: 5\r\n",
        "content-range: bytes 0-4/*\r\ncontent-length: 5\r\n",
        "content-range: bytes 0-4/4\r\ncontent-length: 5\r\n",
        "content-range: bytes 4-0/20\r\ncontent-length: 5\r\n",
        "content-range: lines 0-4/20\r\ncontent-length: 5\r\n",
        "content-range: bytes 0-4/20\r\ncontent-range: bytes 5-9/20\r\ncontent-length: 5\r\n",
        "content-length: 5\r\n",
        "content-type: multipart/byteranges; boundary=x\r\ncontent-length: 5\r\n",
    ] {
        let origin = Origin::start().await;
        origin.on("/a", Reply::bytes(format!("{head}{fields}\r\n01234")));
        let proxy = Proxy::start(&origin);

        assert_eq!(get(&proxy, "bytes=0-4").await.0, 206, "{fields}");
        assert_eq!(get(&proxy, "bytes=0-4").await.0, 206, "{fields}");

        assert_eq!(origin.count("/a"), 2, "{fields}");
    }
}

#[tokio::test]
async fn a_part_answers_nothing_else() {
    let (origin, proxy) = start("\"a\"").await;
    get(&proxy, "bytes=0-4").await;

    // With `no-store` the HEAD leaves the stored response as it is.
    let fields = [("Range", "bytes=0-4"), ("Cache-Control", "no-store")];
    let head = proxy.ask("HEAD", "/a", &fields).await;
    assert!(!head.is_hit());
    let several = proxy.get_with("/a", &[("Range", "bytes=0-1,3-4")]).await;
    assert_eq!((several.status(), several.is_hit(), several.text()), (200, false, WHOLE));
    assert!(
        origin
            .received("/a")
            .iter()
            .skip(2)
            .all(|one| { one.head.field("range").is_none_or(|range| !range.contains(',')) })
    );
}

#[tokio::test]
async fn a_purge_between_two_parts_keeps_the_first_out() {
    let (origin, proxy) = start("\"a\"").await;
    get(&proxy, "bytes=0-9").await;

    proxy.purge(r#"{"urls": ["http://site.example/a"]}"#).await;
    get(&proxy, "bytes=10-19").await;

    assert!(!get(&proxy, "bytes=0-9").await.3);
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn a_purge_while_the_missing_part_is_fetched_keeps_the_whole_out() {
    let origin = Origin::start().await;
    origin.script("/a", ranged("\"a\""));
    let proxy = Proxy::start(&origin);
    get(&proxy, "bytes=0-9").await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.script("/a", move |request| ranged("\"a\"")(request).after(&held));
    let mut client = proxy.connect().await;
    client.send(request("GET", "/a", &[], "")).await;
    origin.seen("/a", 2).await;

    proxy.purge(r#"{"urls": ["http://site.example/a"]}"#).await;
    gate.open();

    assert_eq!(client.answer().await.text(), WHOLE);
    assert!(!proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn an_unsatisfiable_range_is_the_origins_to_refuse_and_is_not_stored() {
    let origin = Origin::start().await;
    origin.script("/a", |request| match request.head.field("range") {
        Some(_) => status("416 Range Not Satisfiable", "")
            .field("content-range", "bytes */20")
            .field("cache-control", "max-age=60"),
        None => ranged("\"a\"")(request),
    });
    let proxy = Proxy::start(&origin);

    assert_eq!(get(&proxy, "bytes=30-").await.0, 416);
    assert_eq!(proxy.get("/a").await.text(), WHOLE);
    assert_eq!(get(&proxy, "bytes=30-").await.0, 416);

    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn many_who_ask_for_one_part_cause_one_request() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.script("/a", move |request| ranged("\"a\"")(request).after(&held));
    let proxy = Proxy::start(&origin);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(proxy.begin("/a", &[("Range", "bytes=2-3")]).await);
    }
    origin.seen("/a", 1).await;
    gate.open();

    for mut client in clients {
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text()), (206, "23"));
        assert_eq!(answer.field("content-range").unwrap(), "bytes 2-3/20");
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn parts_far_apart_do_not_take_turns_in_the_store() {
    let (origin, proxy) = start("\"a\"").await;
    get(&proxy, "bytes=0-0").await;

    assert_eq!(get(&proxy, "bytes=19-19").await, found("bytes 19-19/20", "j", false));
    for _ in 0..3 {
        assert!(get(&proxy, "bytes=0-0").await.3);
        assert!(get(&proxy, "bytes=19-19").await.3);
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_purge_of_the_first_part_reaches_who_joins_the_completion_after_it() {
    let origin = Origin::start().await;
    let tagged = |tag: &'static str| {
        move |request: &Received| ranged("\"a\"")(request).field("surrogate-key", tag)
    };
    origin.script("/a", tagged("old"));
    let proxy = Proxy::start(&origin);
    get(&proxy, "bytes=0-9").await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.script("/a", move |request| tagged("new")(request).after(&held));
    let mut before = proxy.begin("/a", &[]).await;
    origin.seen("/a", 2).await;

    proxy.purge(r#"{"tags": ["old"]}"#).await;
    let mut after = proxy.begin("/a", &[]).await;
    gate.open();

    assert_eq!(before.answer().await.text(), WHOLE);
    assert_eq!(after.answer().await.text(), WHOLE);
    assert_eq!(origin.count("/a"), 3, "who came after the purge is given bytes from before it");
}

#[tokio::test]
async fn a_part_is_not_validated_in_place_of_the_whole() {
    let origin = Origin::start().await;
    origin.script("/a", ranged("\"a\""));
    let proxy = Proxy::start_with(&origin, |config| config.cache.ignore_client_no_cache = false);
    get(&proxy, "bytes=0-3").await;

    let reload = [("Range", "bytes=0-3"), ("Cache-Control", "no-cache")];
    let reloaded = proxy.get_with("/a", &reload).await;

    assert_eq!((reloaded.status(), reloaded.text()), (206, "0123"));
    assert!(!origin.last("/a").head.has("if-none-match"));
    assert_eq!(proxy.get("/a").await.text(), WHOLE);
}
