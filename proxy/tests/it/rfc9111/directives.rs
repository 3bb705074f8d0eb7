//! What the fields mean: RFC 9111 §5, and the RFCs that add directives and fields.

use http::StatusCode;

use super::{ETAG, Lines, MINUTE_LATER, Scene, TEN_MINUTES_BEFORE, control, page};
use crate::support::origin::{Origin, Reply, cacheable, ok};
use crate::support::proxy::Proxy;

// §5.1: Age.

#[tokio::test]
async fn the_first_member_of_age_counts_and_what_is_no_number_does_not() {
    for (lines, age) in [
        (&[("age", "7")] as Lines, 7),
        (&[("age", "7, 9")], 7),
        (&[("age", "7"), ("age", "9")], 7),
        (&[("age", "x, 7")], 0),
        (&[("age", "-7")], 0),
        (&[("age", "7.5")], 0),
        (&[("age", "7s")], 0),
        (&[("age", "")], 0),
    ] {
        let scene = Scene::of(page(&[&[("cache-control", "max-age=60")], lines].concat())).await;
        assert_eq!(scene.second(1).await.field("age").unwrap(), (age + 1).to_string(), "{lines:?}");
    }
}

// §5.2: Cache-Control.

#[tokio::test]
async fn directives_pass_through_in_both_directions() {
    let said = "max-age=60, x-unheard-of=\"a, b\",  IMMUTABLE";
    let asked = "no-cache, max-stale=5, x-unheard-of=\"a, b\"";
    let scene = Scene::of(control(said)).await;
    for _ in 0..2 {
        let answer = scene.ask(&[("Cache-Control", asked), ("Pragma", "no-cache, x")]).await;
        assert_eq!(answer.field("cache-control").unwrap(), said);
    }
    let head = scene.origin.last("/").head;
    assert_eq!(head.field("cache-control").unwrap(), asked);
    assert_eq!(head.field("pragma").unwrap(), "no-cache, x");
}

const RELOADS: [Lines; 5] = [
    &[("Cache-Control", "no-cache")],
    &[("Cache-Control", "max-age=0")],
    &[("Cache-Control", "min-fresh=100")],
    &[("Pragma", "no-cache")],
    &[("Cache-Control", "no-cache, max-age=0"), ("Pragma", "no-cache")],
];

// §5.2.1, §5.4: what clients ask for is advice.

#[tokio::test]
async fn no_client_forces_a_request_to_the_origin_unless_the_operator_lets_it() {
    for lines in RELOADS {
        let scene = Scene::of(cacheable("page")).await;
        scene.second(1).await;
        assert_eq!(scene.ask(lines).await.cache_status(), "hit; ttl=59", "{lines:?}");

        let scene = Scene::obliging(cacheable("page")).await;
        scene.second(1).await;
        let answer = scene.ask(lines).await;
        assert_eq!(answer.cache_status(), "fwd=request; fwd-status=200; stored", "{lines:?}");
    }
}

#[tokio::test]
async fn each_request_directive_is_obeyed_where_the_operator_allows() {
    let forwarded = "fwd=request; fwd-status=200; stored";
    for (directives, seconds, expected) in [
        ("max-age=10", 10, "hit; ttl=50"),
        ("max-age=10", 11, forwarded),
        ("MAX-AGE=\"10\"", 11, forwarded),
        ("max-age=x", 11, "hit; ttl=49"),
        ("min-fresh=50", 10, "hit; ttl=50"),
        ("min-fresh=50", 11, forwarded),
        ("no-store", 11, "hit; ttl=49"),
        ("no-transform", 11, "hit; ttl=49"),
        ("x-unheard-of=0", 11, "hit; ttl=49"),
        ("only-if-cached", 11, "hit; ttl=49"),
        ("only-if-cached, max-age=10", 11, "detail=only_if_cached"),
        ("only-if-cached", 60, "detail=only_if_cached"),
    ] {
        let scene = Scene::obliging(cacheable("page")).await;
        scene.ask(&[]).await;
        scene.proxy.advance(seconds);
        let answer = scene.ask(&[("Cache-Control", directives)]).await;
        assert_eq!(answer.cache_status(), expected, "{directives} after {seconds} s");
    }
}

#[tokio::test]
async fn pragma_counts_only_where_there_is_no_cache_control() {
    for (lines, is_hit) in [
        (&[("Pragma", "no-cache")] as Lines, false),
        (&[("Pragma", "x, No-Cache")], false),
        (&[("Pragma", "x")], true),
        (&[("Pragma", "no-cache"), ("Cache-Control", "max-age=100")], true),
        (&[("Pragma", "no-cache"), ("Cache-Control", "x")], true),
    ] {
        let scene = Scene::obliging(cacheable("page")).await;
        scene.ask(&[]).await;
        assert_eq!(scene.ask(lines).await.is_hit(), is_hit, "{lines:?}");
    }
}

#[tokio::test]
async fn the_response_to_a_no_store_request_is_not_stored() {
    let scene = Scene::of(cacheable("page")).await;

    let first = scene.ask(&[("Cache-Control", "no-store")]).await;
    assert_eq!(first.cache_status(), "fwd=uri-miss; fwd-status=200; detail=request_no_store");
    assert_eq!(scene.proxy.app.store.usage().objects, 0);
    assert_eq!(scene.ask(&[]).await.cache_status(), "fwd=uri-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn only_if_cached_gets_what_is_stored_or_504() {
    let scene = Scene::of(cacheable("page").field("vary", "x-a")).await;
    let only = ("Cache-Control", "only-if-cached");
    let status = async |lines: &[(&str, &str)]| {
        StatusCode::from_u16(scene.ask(lines).await.status()).unwrap()
    };

    assert_eq!(status(&[only]).await, StatusCode::GATEWAY_TIMEOUT);
    scene.ask(&[]).await;
    assert_eq!(status(&[only]).await, StatusCode::OK);
    assert_eq!(status(&[only, ("X-A", "1")]).await, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(status(&[only, ("Authorization", "x")]).await, StatusCode::GATEWAY_TIMEOUT);
    scene.proxy.advance(60);
    assert_eq!(status(&[only]).await, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(scene.origin.count("/"), 1);
}

// RFC 8246: immutable.

#[tokio::test]
async fn a_reload_does_not_reach_past_what_is_immutable_and_fresh() {
    for (directives, seconds, is_hit) in [
        ("max-age=60, immutable", 59, true),
        ("max-age=60, immutable=1", 59, true),
        ("max-age=60, immutable", 60, false),
        ("max-age=60", 59, false),
    ] {
        let scene = Scene::obliging(control(directives).field(ETAG.0, ETAG.1)).await;
        scene.ask(&[]).await;
        scene.proxy.advance(seconds);
        let answer = scene.ask(&[("Cache-Control", "max-age=0")]).await;
        assert_eq!(answer.is_hit(), is_hit, "{directives} after {seconds} s");
    }
}

// RFC 9213 and Surrogate-Control.

#[tokio::test]
async fn the_first_field_that_is_meant_for_us_governs_alone() {
    const NO_STORE: (&str, &str) = ("cache-control", "no-store");
    const MINUTE: (&str, &str) = ("cache-control", "max-age=60");
    const EXPIRES: (&str, &str) = ("expires", MINUTE_LATER);
    const CHANGED: (&str, &str) = ("last-modified", TEN_MINUTES_BEFORE);
    for (lines, expected) in [
        (&[("cdn-cache-control", "max-age=10"), NO_STORE] as Lines, "hit; ttl=10"),
        (&[("cdn-cache-control", "max-age=10"), EXPIRES], "hit; ttl=10"),
        (&[("cdn-cache-control", "max-age=10, x=(a b);c"), NO_STORE], "hit; ttl=10"),
        (&[("cdn-cache-control", "max-age=10;x=1"), NO_STORE], "hit; ttl=10"),
        (&[("cdn-cache-control", "max-age=1, max-age=10"), NO_STORE], "hit; ttl=10"),
        (
            &[("cdn-cache-control", "max-age=10"), ("cdn-cache-control", "private"), MINUTE],
            "detail=private",
        ),
        (&[("cdn-cache-control", "no-store, max-age=10"), MINUTE], "detail=no_store"),
        (&[("cdn-cache-control", "max-age=10, private"), MINUTE], "detail=private"),
        (&[("cdn-cache-control", "max-age=10, private=\"x-a\""), NO_STORE], "hit; ttl=10"),
        (&[("cdn-cache-control", "max-age=10, no-cache"), MINUTE], "detail=no_cache"),
        (&[("cdn-cache-control", "none"), EXPIRES], "detail=no_freshness"),
        (&[("cdn-cache-control", "max-age=10.5"), EXPIRES], "detail=no_freshness"),
        (&[("cdn-cache-control", "max-age=\"10\""), EXPIRES], "detail=no_freshness"),
        (&[("cdn-cache-control", "none"), CHANGED, NO_STORE], "hit; ttl=60"),
        (&[("cdn-cache-control", ""), MINUTE], "hit; ttl=60"),
        (&[("cdn-cache-control", "no-store, max-age=10;;"), MINUTE], "hit; ttl=60"),
        (&[("cdn-cache-control", "Max-Age=10"), MINUTE], "hit; ttl=60"),
        (&[("cdn-cache-control", "no-store,"), MINUTE], "hit; ttl=60"),
        (&[("surrogate-control", "max-age=10"), NO_STORE], "hit; ttl=10"),
        (&[("surrogate-control", "max-age=10"), EXPIRES], "hit; ttl=10"),
        (&[("surrogate-control", "no-store"), MINUTE], "detail=no_store"),
        (&[("surrogate-control", "content=\"ESI/1.0\""), MINUTE], "hit; ttl=60"),
        (&[("surrogate-control", "max-age=10;other"), MINUTE], "hit; ttl=60"),
        (&[("surrogate-control", "no-store"), ("cdn-cache-control", "max-age=10")], "hit; ttl=10"),
        (&[("other-cache-control", "no-store"), MINUTE], "hit; ttl=60"),
        (&[("other-cache-control", "max-age=10")], "detail=no_freshness"),
    ] {
        let second = Scene::of(page(lines)).await.second(0).await;
        let cache_status = second.cache_status();
        assert!(cache_status.ends_with(expected), "{lines:?}: {cache_status}");
        assert_eq!(second.head.has("other-cache-control"), lines[0].0 == "other-cache-control");
    }
}

#[tokio::test]
async fn a_surrogate_may_be_stale_for_as_long_as_it_is_told() {
    let scene = Scene::of(page(&[("surrogate-control", "max-age=60+30")])).await;
    assert_eq!(scene.second(60).await.cache_status(), "hit; ttl=0; detail=stale_while_revalidate");
}

#[tokio::test]
async fn a_targeted_field_forbids_stale_responses_as_cache_control_does() {
    for (directives, code) in [
        ("max-age=60", 200),
        ("max-age=60, must-revalidate", 502),
        ("max-age=60, proxy-revalidate", 502),
        ("s-maxage=60", 502),
    ] {
        let lines = [("cdn-cache-control", directives), ("cache-control", "max-age=9"), ETAG];
        let scene = Scene::of(page(&lines)).await;
        scene.ask(&[]).await;
        scene.origin.on("/", Reply::nothing());
        scene.proxy.advance(61);
        assert_eq!(scene.ask(&[]).await.status(), code, "{directives}");
    }
}

// RFC 9875: groups.

#[tokio::test]
async fn thirty_two_groups_of_thirty_two_characters_are_read() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let group = |number: u8| format!("\"{number:032}\";x=1");
    let all = |numbers: std::ops::Range<u8>| numbers.map(group).collect::<Vec<_>>().join(", ");
    for (path, numbers) in [("/a", 0..32), ("/b", 32..64), ("/c", 64..65)] {
        origin.on(path, cacheable("page").field("cache-groups", &all(numbers)));
        proxy.get(path).await;
    }
    origin.on("/form", ok("done").field("cache-group-invalidation", &all(31..63)));

    proxy.post("/form", "change").await;

    for (path, is_hit) in [("/a", false), ("/b", false), ("/c", true)] {
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path}");
    }
}

// RFC 9110 §15.2: interim responses.

#[tokio::test]
async fn an_http_1_0_client_is_sent_no_interim_response() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage";
    let scene = Scene::of(Reply::bytes(early).send(last)).await;
    let mut client = scene.proxy.connect().await;
    client.send("GET / HTTP/1.0\r\nHost: site.example\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
}
