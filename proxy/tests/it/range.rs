//! Ranges (RFC 9110 §14) of stored and of arriving responses.

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, Reply, cacheable, ok};
use crate::support::proxy::Proxy;

const CONTENT: &str = "0123456789";

fn part(answer: &Answer) -> (u16, &str, Option<String>) {
    (answer.status(), answer.text(), answer.field("content-range"))
}

#[tokio::test]
async fn a_part_comes_from_the_stored_whole() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT).field("etag", "\"1\""));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    for (range, content, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-1", "9", "bytes 9-9/10"),
        ("bytes=0-99", CONTENT, "bytes 0-9/10"),
    ] {
        let answer = proxy.get_with("/a", &[("Range", range)]).await;
        assert_eq!(part(&answer), (206, content, Some(content_range.to_owned())));
        assert_eq!(answer.field("content-length").unwrap(), content.len().to_string());
        assert!(answer.is_hit());
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_range_behind_the_end_is_416() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let answer = proxy.get_with("/a", &[("Range", "bytes=10-")]).await;

    assert_eq!(part(&answer), (416, "", Some("bytes */10".to_owned())));
}

#[tokio::test]
async fn an_invalid_range_is_answered_whole() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    for range in ["bytes=4-2", "lines=0-1", "bytes=x", "bytes=0-4,5-9"] {
        let answer = proxy.get_with("/a", &[("Range", range)]).await;
        assert_eq!(part(&answer), (200, CONTENT, None), "{range}");
    }
}

#[tokio::test]
async fn several_parts_come_in_one_answer_in_the_order_asked_for() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT).field("content-type", "text/plain"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let answer = proxy.get_with("/a", &[("Range", "bytes=-1, 2-3")]).await;

    assert_eq!((answer.status(), answer.field("content-range")), (206, None));
    assert!(answer.is_hit());
    let media_type = answer.field("content-type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let head = format!("--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes");
    let expected =
        format!("{head} 9-9/10\r\n\r\n9\r\n{head} 2-3/10\r\n\r\n23\r\n--{boundary}--\r\n");
    assert_eq!(answer.text(), expected);
    assert_eq!(answer.field("content-length").unwrap(), expected.len().to_string());
}

#[tokio::test]
async fn parts_that_touch_are_one_part() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let answer = proxy.get_with("/a", &[("Range", "bytes=4-6,2-3")]).await;

    assert_eq!(part(&answer), (206, "23456", Some("bytes 2-6/10".to_owned())));
}

#[tokio::test]
async fn several_parts_of_what_is_not_stored_yet_are_answered_whole() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT));
    let proxy = Proxy::start(&origin);

    let answer = proxy.get_with("/a", &[("Range", "bytes=0-1,4-5")]).await;

    assert_eq!(part(&answer), (200, CONTENT, None));
}

#[tokio::test]
async fn if_range_needs_the_same_representation() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT).field("etag", "\"1\""));
    origin.on("/weak", cacheable(CONTENT).field("etag", "W/\"1\""));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.get("/weak").await;

    for (path, condition, status) in
        [("/a", "\"1\"", 206), ("/a", "\"2\"", 200), ("/weak", "W/\"1\"", 200)]
    {
        let fields = [("Range", "bytes=0-1"), ("If-Range", condition)];
        assert_eq!(proxy.get_with(path, &fields).await.status(), status, "{path} {condition}");
    }
}

#[tokio::test]
async fn an_origin_that_knows_no_ranges_fills_the_store_with_the_whole() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable(CONTENT));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get_with("/a", &[("Range", "bytes=2-4")]).await;

    assert_eq!(part(&miss), (206, "234", Some("bytes 2-4/10".to_owned())));
    assert_eq!(origin.last("/a").head.field("range").unwrap(), "bytes=2-4");
    let key = || proxy.app.store.usage().objects;
    crate::support::until("storing the whole", || key() == 1).await;
    let whole = proxy.get("/a").await;
    assert_eq!((whole.text(), whole.is_hit()), (CONTENT, true));
}

#[tokio::test]
async fn a_part_is_answered_before_the_whole_has_arrived() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";
    origin.on("/a", Reply::bytes(head).send("01234").hold(&gate).send("56789"));
    let proxy = Proxy::start(&origin);

    let mut whole = proxy.begin("/a", &[]).await;
    whole.head().await;
    let early = proxy.get_with("/a", &[("Range", "bytes=1-3")]).await;
    let mut late = proxy.begin("/a", &[("Range", "bytes=3-7")]).await;
    let head = late.head().await;
    gate.open();
    let late = late.rest(head).await.unwrap();

    assert_eq!(part(&early), (206, "123", Some("bytes 1-3/10".to_owned())));
    assert_eq!(part(&late), (206, "34567", Some("bytes 3-7/10".to_owned())));
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_part_of_what_came_in_chunks_is_answered_once_it_is_stored() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
    origin.on("/a", Reply::bytes(head).send("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get_with("/a", &[("Range", "bytes=3-6")]).await;
    let hit = proxy.get_with("/a", &[("Range", "bytes=3-6")]).await;

    assert_eq!(part(&miss), (200, CONTENT, None));
    assert_eq!(part(&hit), (206, "3456", Some("bytes 3-6/10".to_owned())));
}

#[tokio::test]
async fn a_part_from_the_origin_is_never_stored_as_the_whole() {
    let origin = Origin::start().await;
    let partial = Reply::bytes(
        "HTTP/1.1 206 Partial Content\r\ncache-control: max-age=60\r\ncontent-range: bytes 0-1/10\r\n\
         content-length: 2\r\n\r\n01",
    );
    origin.on_each("/a", [partial, ok(CONTENT).field("cache-control", "max-age=60")]);
    let proxy = Proxy::start(&origin);

    proxy.get_with("/a", &[("Range", "bytes=0-1")]).await;
    let whole = proxy.get("/a").await;

    assert_eq!((whole.text(), whole.is_hit()), (CONTENT, false));
}
