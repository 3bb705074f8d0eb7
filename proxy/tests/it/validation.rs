//! Validation (RFC 9111 §4.3): a 304 freshens the stored response, from which clients' conditions
//! are answered.

use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok, status};
use crate::support::proxy::{Proxy, START_DATE};

const HOUR_BEFORE: &str = "Sun, 06 Nov 1994 07:49:37 GMT";

#[tokio::test]
async fn a_304_freshens_the_stored_response_and_its_fields_win() {
    let origin = Origin::start().await;
    let stored = cacheable("hello")
        .field("etag", "\"1\"")
        .field("last-modified", HOUR_BEFORE)
        .field("x-kept", "old")
        .field("x-changed", "old")
        .field("x-changed", "old too");
    let confirmed = not_modified()
        .field("etag", "\"1\"")
        .field("x-changed", "new")
        .field("cache-control", "max-age=100");
    origin.on_each("/a", [stored, confirmed]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(61);
    let validated = proxy.get("/a").await;
    proxy.advance(3);
    let hit = proxy.get("/a").await;

    let asked = origin.last("/a").head;
    assert_eq!(asked.field("if-none-match").unwrap(), "\"1\"");
    assert_eq!(asked.field("if-modified-since").unwrap(), HOUR_BEFORE);
    assert_eq!(validated.cache_status(), "fwd=stale; fwd-status=304; stored");
    assert_eq!(hit.cache_status(), "hit; ttl=97");
    for answer in [validated, hit] {
        assert_eq!((answer.status(), answer.text()), (200, "hello"));
        assert_eq!(answer.field("x-kept").unwrap(), "old");
        assert_eq!(answer.field("x-changed").unwrap(), "new");
        assert_eq!(answer.field("date").unwrap(), "Sun, 06 Nov 1994 08:50:38 GMT");
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_200_to_a_validation_replaces_the_stored_response() {
    let origin = Origin::start().await;
    let old = cacheable("old").field("etag", "\"1\"").field("x-old", "1");
    origin.on_each("/a", [old, cacheable("new").field("etag", "\"2\"")]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(61);
    let replaced = proxy.get("/a").await;
    let hit = proxy.get("/a").await;

    assert_eq!(replaced.cache_status(), "fwd=stale; fwd-status=200; stored");
    assert!(hit.is_hit());
    assert_eq!((replaced.text(), hit.text()), ("new", "new"));
    assert!(!hit.head.has("x-old"));
    assert_eq!(proxy.app.store.usage().objects, 1);
}

#[tokio::test]
async fn no_cache_is_validated_each_time() {
    let origin = Origin::start().await;
    let stored = ok("hello").field("cache-control", "no-cache").field("etag", "\"1\"");
    origin.on_each("/a", [stored, not_modified().field("etag", "\"1\"")]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    for count in 2..5 {
        let answer = proxy.get("/a").await;
        assert_eq!(answer.cache_status(), "fwd=stale; fwd-status=304; stored");
        assert_eq!(answer.text(), "hello");
        assert_eq!(origin.count("/a"), count);
    }
}

#[tokio::test]
async fn a_304_for_another_response_is_followed_by_a_whole_request() {
    let origin = Origin::start().await;
    let wrong = not_modified().field("etag", "\"other\"");
    origin.on_each("/a", [cacheable("old").field("etag", "\"1\""), wrong, cacheable("new")]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(61);
    let answer = proxy.get("/a").await;

    assert_eq!(answer.text(), "new");
    assert!(!origin.last("/a").head.has("if-none-match"));
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn a_clients_condition_is_answered_from_the_store() {
    let origin = Origin::start().await;
    let stored = cacheable("hello")
        .field("etag", "\"1\"")
        .field("last-modified", HOUR_BEFORE)
        .field("content-type", "text/html");
    origin.on("/a", stored);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    for (condition, expected) in [
        (("If-None-Match", "\"1\""), 304),
        (("If-None-Match", "W/\"1\""), 304),
        (("If-None-Match", "\"0\", \"1\""), 304),
        (("If-None-Match", "*"), 304),
        (("If-None-Match", "\"2\""), 200),
        (("If-Modified-Since", HOUR_BEFORE), 304),
        (("If-Modified-Since", START_DATE), 304),
        (("If-Modified-Since", "Sun, 06 Nov 1994 06:49:37 GMT"), 200),
        (("If-Modified-Since", "yesterday"), 200),
    ] {
        let answer = proxy.get_with("/a", &[condition]).await;
        assert_eq!(answer.status(), expected, "{condition:?}");
        assert!(answer.is_hit());
        assert_eq!(answer.field("etag").unwrap(), "\"1\"");
        assert_eq!(answer.field("cache-control").unwrap(), "max-age=60");
        assert_eq!(answer.head.has("content-type"), expected == 200);
        assert_eq!(answer.text(), if expected == 200 { "hello" } else { "" });
    }
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn if_none_match_goes_before_if_modified_since() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("etag", "\"1\"").field("last-modified", HOUR_BEFORE));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let both = [("If-None-Match", "\"2\""), ("If-Modified-Since", START_DATE)];
    assert_eq!(proxy.get_with("/a", &both).await.status(), 200);
}

#[tokio::test]
async fn a_condition_on_a_miss_fetches_the_whole_and_is_evaluated() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("etag", "\"1\""));
    let proxy = Proxy::start(&origin);

    let miss = proxy.get_with("/a", &[("If-None-Match", "\"1\"")]).await;
    let hit = proxy.get("/a").await;

    assert_eq!(miss.status(), 304);
    assert!(!origin.last("/a").head.has("if-none-match"));
    assert_eq!((hit.status(), hit.text(), hit.is_hit()), (200, "hello", true));
}

#[tokio::test]
async fn a_client_without_a_copy_gets_the_whole_after_a_304() {
    let origin = Origin::start().await;
    origin.on_each(
        "/a",
        [cacheable("hello").field("etag", "\"1\""), not_modified().field("etag", "\"1\"")],
    );
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(61);
    let other = proxy.get_with("/a", &[("If-None-Match", "\"0\"")]).await;
    proxy.advance(61);
    let same = proxy.get_with("/a", &[("If-None-Match", "\"1\"")]).await;

    assert_eq!((other.status(), other.text()), (200, "hello"));
    assert_eq!(same.status(), 304);
}

#[tokio::test]
async fn conditions_for_the_origin_are_forwarded_as_they_are() {
    let origin = Origin::start().await;
    origin.on_each(
        "/a",
        [cacheable("hello").field("etag", "\"1\""), status("412 Precondition Failed", "")],
    );
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    for (count, condition) in
        [("If-Match", "\"2\""), ("If-Unmodified-Since", HOUR_BEFORE)].into_iter().enumerate()
    {
        let answer = proxy.get_with("/a", &[condition]).await;
        assert_eq!(answer.status(), 412);
        assert_eq!(origin.last("/a").head.field(condition.0).unwrap(), condition.1);
        assert_eq!(origin.count("/a"), count + 2);
    }
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_clients_no_cache_is_ignored_unless_the_operator_honours_it() {
    let origin = Origin::start().await;
    let script = |origin: &Origin, path| {
        origin.on_each(
            path,
            [cacheable("").field("etag", "\"1\""), not_modified().field("etag", "\"1\"")],
        );
    };
    script(&origin, "/a");
    script(&origin, "/b");
    let ignoring = Proxy::start(&origin);
    let honouring =
        Proxy::start_with(&origin, |config| config.cache.ignore_client_no_cache = false);
    let reload = [("Cache-Control", "no-cache")];

    ignoring.get("/a").await;
    assert!(ignoring.get_with("/a", &reload).await.is_hit());
    honouring.get("/b").await;
    let forced = honouring.get_with("/b", &reload).await;
    assert_eq!(forced.cache_status(), "fwd=request; fwd-status=304; stored");
}

#[tokio::test]
async fn a_response_that_forbids_storing_removes_the_stored_one() {
    let origin = Origin::start().await;
    let private = ok("mine").field("cache-control", "private");
    origin.on_each("/a", [cacheable("old").field("etag", "\"1\""), private]);
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(61);
    for _ in 0..2 {
        let answer = proxy.get("/a").await;
        assert_eq!(answer.text(), "mine");
        assert!(!answer.is_hit());
    }
}

#[tokio::test]
async fn a_304_without_a_validator_confirms_the_response_asked_about() {
    let origin = Origin::start().await;
    origin.on_each(
        "/a",
        [
            cacheable("hello").field("last-modified", HOUR_BEFORE),
            Reply::bytes("HTTP/1.1 304 Not Modified\r\n\r\n"),
        ],
    );
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    proxy.advance(61);
    let validated = proxy.get("/a").await;

    assert_eq!(validated.cache_status(), "fwd=stale; fwd-status=304; stored");
    assert_eq!(validated.text(), "hello");
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_304_that_drops_the_tag_of_a_purge_on_its_way_brings_nothing_back() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let old = cacheable("old").field("etag", "\"1\"").field("surrogate-key", "a");
    let confirmed = not_modified().field("etag", "\"1\"").field("surrogate-key", "b");
    let new = cacheable("new").field("etag", "\"2\"");
    origin.on_each("/a", [old, confirmed.after(&gate), new]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    proxy.advance(61);

    let mut asked_before = proxy.begin("/a", &[]).await;
    origin.seen("/a", 2).await;
    proxy.purge(r#"{"tags":["a"]}"#).await;
    gate.open();

    assert_eq!(
        asked_before.answer().await.text(),
        "new",
        "what was purged is confirmed by nothing"
    );
    assert_eq!(proxy.get("/a").await.text(), "new");
}

/// A confirmation to one client is no answer to those who waited along.
#[tokio::test]
async fn a_304_that_forbids_storing_is_followed_by_a_whole_request_for_each() {
    for (name, value) in [
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("set-cookie", "sid=1"),
        ("vary", "*"),
    ] {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let forbidding = |reply: Reply| reply.field("etag", "\"1\"").field(name, value);
        let own = forbidding(ok("own"));
        origin.on_each(
            "/a",
            [
                cacheable("shared").field("etag", "\"1\""),
                forbidding(not_modified()).after(&gate),
                own.clone(),
                own.clone(),
                own,
            ],
        );
        let proxy = Proxy::start(&origin);
        proxy.get("/a").await;
        proxy.advance(61);
        let mut first = proxy.begin("/a", &[]).await;
        origin.seen("/a", 2).await;
        let mut second = proxy.begin("/a", &[]).await;
        gate.open();

        for answer in [first.answer().await, second.answer().await, proxy.get("/a").await] {
            assert_eq!((answer.text(), answer.field(name).unwrap()), ("own", value.to_owned()));
            assert!(!answer.cache_status().contains("stored"), "{}", answer.cache_status());
        }
        assert_eq!(origin.count("/a"), 5, "{value}");
    }
}
