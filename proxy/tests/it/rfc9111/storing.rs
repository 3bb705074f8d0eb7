//! What is stored: RFC 9111 §3.

use super::{ETAG, Lines, MINUTE_LATER, Scene, TEN_MINUTES_BEFORE, control, of_status, page, with};
use crate::support::origin::{Origin, Reply, ok};
use crate::support::proxy::Proxy;

/// Every final status code but 206, which is a part of something, and 304, which is about something
/// stored.
fn final_codes() -> impl Iterator<Item = u16> {
    (200..=599).filter(|code| ![206, 304].contains(code))
}

/// Errors that a client provokes with a faulty request of its own would poison the URL for all
/// others.
const NEVER_STORED: [u16; 9] = [400, 413, 414, 416, 428, 429, 431, 501, 511];

async fn stored_codes(lines: Lines) -> Vec<u16> {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let mut stored = Vec::new();
    for code in final_codes() {
        let path = format!("/{code}");
        origin.on(&path, with(of_status(code), lines));
        let first = proxy.get(&path).await;
        assert_eq!(first.status(), code);
        let second = proxy.get(&path).await;
        assert_eq!(second.status(), code);
        if second.is_hit() {
            stored.push(code);
        }
    }
    stored
}

#[tokio::test]
async fn with_an_explicit_lifetime_every_final_status_code_is_stored_but_nine() {
    let expected: Vec<_> = final_codes().filter(|code| !NEVER_STORED.contains(code)).collect();
    for lines in [
        &[("cache-control", "max-age=60")] as Lines,
        &[("cache-control", "s-maxage=60")],
        &[("expires", MINUTE_LATER)],
        &[("cache-control", "public"), ("last-modified", TEN_MINUTES_BEFORE)],
    ] {
        assert_eq!(stored_codes(lines).await, expected, "{lines:?}");
    }
}

#[tokio::test]
async fn without_one_only_what_is_heuristically_cacheable_is_stored() {
    let expected = [200, 203, 204, 300, 301, 308, 404, 405, 410];
    assert_eq!(stored_codes(&[("last-modified", TEN_MINUTES_BEFORE)]).await, expected);
    assert_eq!(stored_codes(&[]).await, [0_u16; 0]);
}

#[tokio::test]
async fn must_understand_stores_what_is_understood_and_nothing_else() {
    let understood: Vec<_> = [
        200..=205,
        300..=303,
        305..=305,
        307..=308,
        401..=412,
        415..=415,
        417..=417,
        421..=422,
        426..=426,
    ]
    .into_iter()
    .flatten()
    .chain([500, 502, 503, 504, 505])
    .collect();
    for directives in ["must-understand, no-store, max-age=60", "max-age=60, Must-Understand"] {
        let lines: Lines = vec![("cache-control", directives)].leak();
        assert_eq!(stored_codes(lines).await, understood, "{directives}");
    }
}

#[tokio::test]
async fn the_most_restrictive_of_contradictory_directives_is_obeyed() {
    for (lines, expected) in [
        (&[("cache-control", "max-age=60")] as Lines, "hit; ttl=60"),
        (&[("cache-control", "public, max-age=60, no-store")], "detail=no_store"),
        (&[("cache-control", "no-store, public")], "detail=no_store"),
        (&[("cache-control", "max-age=60"), ("cache-control", "NO-STORE")], "detail=no_store"),
        (&[("cache-control", "max-age=60, no-store=\"x\"")], "detail=no_store"),
        (&[("cache-control", "public, s-maxage=60, private")], "detail=private"),
        (&[("cache-control", "max-age=60, private=\"")], "detail=private"),
        (&[("cache-control", "max-age=60, private=\"x-user\"")], "hit; ttl=60"),
        (&[("cache-control", "max-age=60, no-cache")], "detail=no_cache"),
        (&[("cache-control", "max-age=60, no-cache"), ETAG], "fwd=stale; fwd-status=200; stored"),
        (&[("cache-control", "no-cache"), ("expires", MINUTE_LATER)], "detail=no_cache"),
        (&[("cache-control", "max-age=60, no-cache=\"x-user\"")], "hit; ttl=60"),
        (&[("cache-control", "x=\"no-store, private\", max-age=60")], "hit; ttl=60"),
        (&[("cache-control", "community=\"UCI\", max-age=60")], "hit; ttl=60"),
        (&[("cache-control", "private, community=\"UCI\"")], "detail=private"),
        (&[("cache-control", "max-age=60"), ("set-cookie", "a=b")], "detail=set_cookie"),
        (&[("pragma", "no-cache"), ("cache-control", "max-age=60")], "hit; ttl=60"),
    ] {
        let second = Scene::of(page(lines)).await.second(0).await.cache_status();
        assert!(second.ends_with(expected), "{lines:?}: {second}");
    }
}

// §3.1: which fields are stored.

#[tokio::test]
async fn fields_of_the_connection_and_of_one_client_are_not_stored() {
    let said: Lines = &[
        ("cache-control", "max-age=60, private=\"X-User, x-seat\", no-cache=\"x-once\""),
        ("x-unheard-of", "1"),
        ("warning", "110 - \"Response is Stale\""),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-user", "u"),
        ("x-seat", "s"),
        ("x-once", "o"),
    ];
    let scene = Scene::of(page(said)).await;
    let second = scene.second(1).await;

    assert!(second.is_hit());
    for (name, is_there) in [
        ("x-unheard-of", true),
        ("warning", true),
        ("proxy-authenticate", false),
        ("proxy-authentication-info", false),
        ("x-hop", false),
        ("x-user", false),
        ("x-seat", false),
        ("x-once", false),
    ] {
        assert_eq!(second.head.has(name), is_there, "{name}");
    }
}

#[tokio::test]
async fn trailers_do_not_become_fields_of_the_stored_head() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60\r\n\r\n";
    let reply = Reply::bytes(head).send("4\r\npage\r\n0\r\nx-sum: 4\r\nage: 50\r\n\r\n");
    let second = Scene::of(reply).await.second(1).await;

    assert_eq!((second.text(), &*second.cache_status()), ("page", "hit; ttl=59"));
    assert!(!second.head.has("x-sum"));
}

// §3.3, §3.4: parts.

fn part(place: &str, content: &str, lines: &[(&str, &str)]) -> Reply {
    let head =
        format!("etag: \"a\"\r\ncontent-range: bytes {place}/10\r\ncontent-length: 5\r\n\r\n");
    with(Reply::bytes(format!("HTTP/1.1 206 Partial Content\r\n{head}{content}")), lines)
}

/// A proxy that has stored the first half, and an origin that says this with the second one.
async fn with_half_of_it(lines: Lines) -> Scene {
    const HALF: Lines = &[
        ("cache-control", "max-age=60"),
        ("x-old", "1"),
        ("x-both", "1"),
        ("content-type", "text/html"),
    ];
    let scene = Scene::of(part("0-4", "01234", HALF)).await;
    scene.ask(&[("Range", "bytes=0-4")]).await;
    scene.origin.on_each("/", [part("5-9", "56789", lines), with(ok("0123456789"), lines)]);
    scene
}

#[tokio::test]
async fn joined_parts_have_the_fields_of_both_and_the_newer_ones_win() {
    let scene = with_half_of_it(&[("cache-control", "max-age=90"), ("x-both", "2")]).await;
    for expected in ["fwd=partial", "hit; ttl=90"] {
        let whole = scene.ask(&[]).await;
        assert_eq!((whole.status(), whole.text()), (200, "0123456789"));
        assert!(whole.cache_status().starts_with(expected), "{}", whole.cache_status());
        for (name, value) in [("x-old", "1"), ("x-both", "2"), ("content-type", "text/html")] {
            assert_eq!(whole.field(name).unwrap(), value);
        }
    }
}

#[tokio::test]
async fn an_unstorable_missing_part_is_not_sent_in_place_of_the_whole() {
    for lines in [
        &[("cache-control", "no-store")] as Lines,
        &[("cache-control", "private")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
        &[("cache-control", "max-age=60"), ("vary", "*")],
    ] {
        let scene = with_half_of_it(lines).await;
        let whole = scene.ask(&[]).await;
        assert_eq!((whole.status(), whole.text()), (200, "0123456789"), "{lines:?}");
        assert!(!scene.origin.last("/").head.has("range"));
    }
}

#[tokio::test]
async fn a_stale_part_is_not_validated_for_a_request_for_the_whole() {
    let scene = with_half_of_it(&[("cache-control", "max-age=60")]).await;
    scene.origin.on("/", ok("0123456789").field("cache-control", "max-age=60"));
    scene.proxy.advance(61);
    let whole = scene.ask(&[]).await;

    assert_eq!((whole.status(), whole.text()), (200, "0123456789"));
    assert!(!scene.origin.last("/").head.has("if-none-match"));
}

// §3.5: requests with credentials.

#[tokio::test]
async fn credentials_need_a_directive_that_allows_sharing() {
    let credentials = [("Authorization", "Basic YTpi")];
    for (directives, is_shared) in [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, immutable", false),
        ("max-age=60, stale-if-error=60", false),
        ("public, private, max-age=60", false),
        ("public, no-store, max-age=60", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
    ] {
        let scene = Scene::of(control(directives)).await;
        scene.ask(&credentials).await;
        assert_eq!(scene.ask(&[]).await.is_hit(), is_shared, "{directives}");
        assert_eq!(scene.ask(&credentials).await.is_hit(), is_shared, "{directives}");
    }
}
