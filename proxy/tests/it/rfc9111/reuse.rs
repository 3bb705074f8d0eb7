//! When a stored response answers: RFC 9111 §4.

use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::{
    ETAG, Lines, MINUTE_BEFORE, MINUTE_LATER, Scene, TEN_MINUTES_BEFORE, control, of_status, page,
    with,
};
use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, status};
use crate::support::proxy::{Proxy, START_DATE};

// §4.1: selecting fields.

#[tokio::test]
async fn a_variant_matches_by_its_fields_and_not_by_how_they_are_written() {
    for (vary, first, second, matches) in [
        ("x-a", &[("X-A", "1,2")] as Lines, &[("x-a", " 1 ,\t2")] as Lines, true),
        ("X-A", &[("X-A", "1,2")], &[("X-A", "1"), ("X-A", "2")], true),
        ("x-a", &[("X-A", "1")], &[("X-A", "1"), ("X-B", "2")], true),
        ("x-a", &[], &[], true),
        ("x-a", &[], &[("X-A", "")], false),
        ("x-a", &[("X-A", "1")], &[], false),
        ("x-a", &[("X-A", "a")], &[("X-A", "A")], false),
        ("x-a", &[("X-A", "1,2")], &[("X-A", "2,1")], false),
        ("x-a, x-b", &[("X-A", "1"), ("X-B", "2")], &[("X-B", "2"), ("X-A", "1")], true),
        ("x-a, x-b", &[("X-A", "1"), ("X-B", "2")], &[("X-A", "1")], false),
        ("x-a, x-b", &[("X-A", "1"), ("X-B", "2")], &[("X-A", "1"), ("X-B", "3")], false),
        ("*", &[], &[], false),
        ("x-a, *", &[("X-A", "1")], &[("X-A", "1")], false),
    ] {
        let scene = Scene::of(cacheable("page").field("vary", vary)).await;
        scene.ask(first).await;
        assert_eq!(scene.ask(second).await.is_hit(), matches, "{vary}: {first:?} {second:?}");
    }
}

#[tokio::test]
async fn of_several_lines_of_vary_all_count() {
    let scene =
        Scene::of(page(&[("cache-control", "max-age=60"), ("vary", "x-a"), ("vary", "x-b")])).await;
    scene.ask(&[("X-A", "1"), ("X-B", "1")]).await;

    assert!(!scene.ask(&[("X-A", "1"), ("X-B", "2")]).await.is_hit());
    assert!(!scene.ask(&[("X-A", "2"), ("X-B", "1")]).await.is_hit());
    assert!(scene.ask(&[("X-A", "1"), ("X-B", "1")]).await.is_hit());
}

// §4.2: freshness.

/// Shows that a response is fresh for so many seconds after its arrival, and no longer.
async fn assert_fresh_for(lines: &[(&str, &str)], seconds: u64) {
    let scene = Scene::of(page(lines)).await;
    if let Some(last) = seconds.checked_sub(1) {
        assert_eq!(scene.second(last).await.cache_status(), "hit; ttl=1", "{lines:?}");
        scene.proxy.advance(1);
    } else {
        scene.ask(&[]).await;
    }
    assert!(!scene.ask(&[]).await.is_hit(), "{lines:?}");
}

#[tokio::test]
async fn the_first_of_s_maxage_max_age_and_expires_is_the_lifetime() {
    for (directives, seconds) in [
        ("max-age=60", 60),
        ("MAX-AGE=60", 60),
        ("max-age=\"60\"", 60),
        ("max-age=60, max-age=10", 60),
        ("s-maxage=60, max-age=10", 60),
        ("max-age=10, s-maxage=60", 60),
        ("max-age=60, s-maxage=0", 0),
        ("max-age=99999999999999999999", 1 << 31),
        ("max-age=60s", 0),
        ("max-age=-1", 0),
        ("max-age=1.5", 0),
        ("max-age=", 0),
        ("max-age", 0),
        ("s-maxage=x, max-age=60", 0),
        ("public", 0),
    ] {
        let both = [("cache-control", directives), ("expires", "Sun, 06 Nov 1994 08:49:47 GMT")];
        if directives != "public" {
            assert_fresh_for(&both, seconds).await;
        }
        assert_fresh_for(&both[..1], seconds).await;
    }
    let lines = [("cache-control", "max-age=60"), ("cache-control", "max-age=10")];
    assert_fresh_for(&lines, 60).await;
}

#[tokio::test]
async fn dates_count_in_three_formats_in_any_case_and_in_gmt_only() {
    for (expires, seconds) in [
        (MINUTE_LATER, 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("sun, 06 nov 1994 08:50:37 gmt", 60),
        ("SUNDAY, 06-NOV-94 08:50:37 GMT", 60),
        (START_DATE, 0),
        (MINUTE_BEFORE, 0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 0),
        ("Sun, 06 Nov 1994 08:50:37 UTC", 0),
        ("Sun, 06 Nov 1994 08:50:37 EST", 0),
        ("Sun, 06 Nov 1994 08:50:37", 0),
        ("Sun, 06 Nov 1994 08:50 GMT", 0),
        ("Sun, 32 Nov 1994 08:50:37 GMT", 0),
        ("1994-11-06T08:50:37Z", 0),
        ("784111837", 0),
        ("0", 0),
        ("-1", 0),
        ("tomorrow", 0),
        ("", 0),
    ] {
        assert_fresh_for(&[("expires", expires)], seconds).await;
    }
    assert_fresh_for(&[("expires", MINUTE_LATER), ("expires", MINUTE_LATER)], 0).await;
}

#[tokio::test]
async fn expires_is_relative_to_date() {
    for (date, seconds) in [
        (START_DATE, 60),
        ("Sun, 06 Nov 1994 08:51:37 GMT", 0),
        ("Sun, 06 Nov 1994 08:50:07 GMT", 30),
        (MINUTE_BEFORE, 120), // both were written by the clock of the origin, which may be behind
        ("Sunday, 06-Nov-94 08:49:37 GMT", 60),
        ("no date", 60),
    ] {
        assert_fresh_for(&[("date", date), ("expires", MINUTE_LATER)], seconds).await;
    }
}

#[tokio::test]
async fn a_heuristic_lifetime_is_a_tenth_of_the_time_since_the_change() {
    for (lines, seconds) in [
        (&[("last-modified", TEN_MINUTES_BEFORE)] as Lines, 60),
        (&[("last-modified", "Sunday, 06-Nov-94 08:39:37 GMT")], 60),
        (&[("last-modified", "Sat, 01 Jan 1994 00:00:00 GMT")], 86_400),
        (&[("last-modified", MINUTE_LATER)], 0),
        (&[("last-modified", "no date")], 0),
        (&[("last-modified", TEN_MINUTES_BEFORE), ("cache-control", "max-age=0")], 0),
        (&[("last-modified", TEN_MINUTES_BEFORE), ("cache-control", "max-age=x")], 0),
        (&[("last-modified", TEN_MINUTES_BEFORE), ("expires", "0")], 0),
        (&[("last-modified", TEN_MINUTES_BEFORE), ("cache-control", "no-cache")], 0),
    ] {
        assert_fresh_for(lines, seconds).await;
    }
}

#[tokio::test]
async fn age_is_what_age_delay_and_residence_make_of_it() {
    for (date, age, delay, residence, expected) in [
        (START_DATE, "0", 0, 0, 0),
        (START_DATE, "0", 0, 7, 7),
        (START_DATE, "10", 0, 7, 17),
        (START_DATE, "10", 5, 7, 22),  // Age is as of the request
        (MINUTE_BEFORE, "0", 0, 7, 7), // the origin's clock may be wrong
        (MINUTE_BEFORE, "10", 5, 7, 22),
        (MINUTE_BEFORE, "100", 5, 7, 112),
        (MINUTE_LATER, "0", 5, 7, 12),
        ("no date", "10", 5, 7, 22),
    ] {
        let gate = Gate::closed();
        let said = [("cache-control", "max-age=600"), ("date", date), ("age", age)];
        let scene = Scene::of(page(&said).after(&gate)).await;
        let mut first = scene.proxy.begin("/", &[]).await;
        scene.origin.seen("/", 1).await;
        scene.proxy.advance(delay);
        gate.open();
        first.answer().await;
        scene.proxy.advance(residence);

        let hit = scene.ask(&[]).await;

        assert_eq!(hit.field("age").unwrap(), expected.to_string(), "{date}, {age}, {delay}");
        assert_eq!(hit.cache_status(), format!("hit; ttl={}", 600 - expected));
    }
}

#[tokio::test]
async fn an_origin_with_a_slow_clock_has_hits_and_age_fields_count() {
    for (via, age, expected) in [
        (None, None, Some(7)),
        (None, Some("20"), Some(27)),
        (Some("1.1 cdn"), Some("20"), Some(27)),
        (Some("1.1 cdn"), Some("60"), None), // stale on arrival
        (Some("1.0 old"), None, None),       // it may have kept it all the time
        (Some("1.0 old, 1.1 cdn"), Some("0"), None),
    ] {
        let mut said = vec![("cache-control", "max-age=60"), ("date", TEN_MINUTES_BEFORE)];
        said.extend(via.map(|via| ("via", via)));
        said.extend(age.map(|age| ("age", age)));
        let scene = Scene::of(page(&said)).await;
        scene.ask(&[]).await;
        scene.proxy.advance(7);

        let answer = scene.ask(&[]).await;

        let seen = answer.is_hit().then(|| answer.field("age").unwrap());
        assert_eq!(seen, expected.map(|age: u32| age.to_string()), "{via:?} {age:?}");
    }
}

// §4.2.4: stale responses.

/// What an origin does that fails.
fn failures() -> Vec<(Reply, u16)> {
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag";
    let mut all = vec![
        (Reply::nothing(), 502),
        (Reply::nothing().reset(), 502),
        (Reply::bytes("nonsense\r\n\r\n").close(), 502),
        (Reply::bytes(head).close(), 502),
    ];
    let codes = [500, 502, 503, 504];
    all.extend(codes.map(|code| (status(&format!("{code} Failed"), "failed"), code)));
    all
}

const FORBIDDING: [&str; 6] = [
    "max-age=60, must-revalidate, stale-while-revalidate=600, stale-if-error=600",
    "max-age=60, proxy-revalidate, stale-while-revalidate=600, stale-if-error=600",
    "no-cache, stale-while-revalidate=600, stale-if-error=600",
    "max-age=60, no-cache, stale-if-error=600",
    "max-age=60, stale-if-error=0",
    "s-maxage=60",
];

const ALLOWING: [&str; 3] = ["max-age=60", "max-age=60, stale-if-error=600", "public, max-age=60"];

#[tokio::test]
async fn a_stale_response_is_served_on_error_unless_forbidden() {
    for (failure, code) in failures() {
        for directives in FORBIDDING.into_iter().chain(ALLOWING) {
            let scene = Scene::of(control(directives).field(ETAG.0, ETAG.1)).await;
            scene.ask(&[]).await;
            scene.origin.on("/", failure.clone());
            scene.proxy.advance(61);

            let answer = scene.ask(&[]).await;

            let expected = if ALLOWING.contains(&directives) { 200 } else { code };
            assert_eq!(answer.status(), expected, "{directives}, {failure:?}");
            assert_eq!(answer.is_hit(), expected == 200, "{directives}, {failure:?}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_gone_is_stood_in_for_or_it_is_an_error() {
    for directives in FORBIDDING.into_iter().chain(ALLOWING) {
        let (origin, world) = origin_of_its_own().await;
        origin.on("/", control(directives).field(ETAG.0, ETAG.1));
        let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
        proxy.get("/").await;
        world.end().await;
        proxy.advance(61);

        let answer = proxy.get("/").await;

        let is_allowed = ALLOWING.contains(&directives);
        assert_eq!(answer.status(), if is_allowed { 200 } else { 502 }, "{directives}");
    }
}

// §4.3: validation.

#[tokio::test]
async fn a_304_confirms_the_response_that_has_its_validators() {
    const OLD: (&str, &str) = ("last-modified", TEN_MINUTES_BEFORE);
    const NEW: (&str, &str) = ("last-modified", MINUTE_BEFORE);
    const WEAK: (&str, &str) = ("etag", "W/\"1\"");
    const OTHER: (&str, &str) = ("etag", "\"2\"");
    for (stored, confirming, confirms) in [
        (&[ETAG] as Lines, &[ETAG] as Lines, true),
        (&[ETAG, OLD], &[ETAG, NEW], true),
        (&[ETAG, OLD], &[OLD], true),
        (&[OLD], &[OLD], true),
        (&[ETAG], &[WEAK], true),
        (&[WEAK], &[WEAK], true),
        (&[OLD], &[], true), // the letter of §4.3.4 asks for a stored response without validators
        (&[ETAG], &[OTHER], false),
        (&[ETAG, OLD], &[OTHER, OLD], false),
        (&[WEAK], &[ETAG], false),
        (&[OLD], &[NEW], false),
        (&[OLD], &[ETAG], false),
    ] {
        let scene = Scene::of(with(cacheable("old"), stored)).await;
        scene.ask(&[]).await;
        let confirmation = with(not_modified(), confirming);
        scene.origin.on_each("/", [confirmation, cacheable("new")]);
        scene.proxy.advance(61);

        let answer = scene.ask(&[]).await;

        let asked = &scene.origin.received("/")[1].head;
        for (name, condition) in [("etag", "if-none-match"), ("last-modified", "if-modified-since")]
        {
            let validator = stored.iter().find(|(field, _)| *field == name);
            let expected = validator.map(|(_, value)| (*value).to_owned());
            assert_eq!(asked.field(condition), expected, "{stored:?}");
        }
        assert_eq!(answer.text() == "old", confirms, "{stored:?} {confirming:?}");
        assert_eq!(scene.origin.count("/"), if confirms { 2 } else { 3 });
        assert_eq!(scene.ask(&[]).await.text(), if confirms { "old" } else { "new" });
    }
}

#[tokio::test]
async fn conditions_of_clients_are_evaluated_against_what_is_stored() {
    let modified = ("last-modified", MINUTE_BEFORE);
    let date = ("date", MINUTE_BEFORE);
    for (stored, condition, code) in [
        (ETAG, ("If-None-Match", "W/\"1\""), 304),
        (ETAG, ("If-None-Match", "\"0\", \"1\""), 304),
        (ETAG, ("If-None-Match", "*"), 304),
        (ETAG, ("If-None-Match", "\"0\""), 200),
        (modified, ("If-Modified-Since", MINUTE_BEFORE), 304),
        (modified, ("If-Modified-Since", START_DATE), 304),
        (modified, ("If-Modified-Since", TEN_MINUTES_BEFORE), 200),
        (modified, ("If-Modified-Since", "yesterday"), 200),
        (date, ("If-Modified-Since", MINUTE_BEFORE), 304), // no Last-Modified: Date counts
        (date, ("If-Modified-Since", TEN_MINUTES_BEFORE), 200),
        (("date", "no date"), ("If-Modified-Since", START_DATE), 304), // nor Date: the receipt
        (("date", "no date"), ("If-Modified-Since", MINUTE_BEFORE), 200),
    ] {
        let lines = [("cache-control", "max-age=600"), stored];
        let scene = Scene::of(page(&lines)).await;
        scene.ask(&[]).await;

        let answer = scene.ask(&[condition]).await;

        assert!(answer.is_hit());
        assert_eq!(answer.status(), code, "{stored:?} {condition:?}");
    }
}

#[tokio::test]
async fn only_a_stored_200_has_conditions() {
    for (stored, code) in [("404 Not Found", 404), ("301 Moved Permanently", 301)] {
        let lines = [("cache-control", "max-age=600"), ETAG];
        let scene = Scene::of(with(status(stored, "page"), &lines)).await;
        scene.ask(&[]).await;
        let answer = scene.ask(&[("If-None-Match", "\"1\"")]).await;
        assert_eq!((answer.status(), answer.is_hit()), (code, true));
    }
}

#[tokio::test]
async fn a_304_and_a_206_have_what_the_200_had_to_say_about_itself() {
    const KEPT: Lines = &[
        ("cache-control", "max-age=60"),
        ETAG,
        ("expires", MINUTE_LATER),
        ("vary", "x-a"),
        ("content-location", "/page"),
        ("date", START_DATE),
    ];
    let described = [("content-type", "text/html"), ("content-language", "de")];
    let scene = Scene::of(page(&[KEPT, &described].concat())).await;
    scene.ask(&[]).await;
    for (asked, code) in [(("If-None-Match", ETAG.1), 304), (("Range", "bytes=0-1"), 206)] {
        let answer = scene.ask(&[asked]).await;
        assert_eq!((answer.status(), answer.is_hit()), (code, true));
        for (name, value) in KEPT {
            assert_eq!(answer.field(name).as_deref(), Some(*value), "{code}");
        }
        assert!(described.iter().all(|(name, _)| answer.head.has(name) == (code == 206)), "{code}");
    }
}

// §4.4: invalidation.

#[tokio::test]
async fn a_non_error_response_to_an_unsafe_request_invalidates() {
    for (method, codes, invalidates) in [
        ("POST", &[200_u16, 201, 202, 204, 301, 302, 303, 307, 308] as &[u16], true),
        ("FROBNICATE", &[200, 204, 303], true),
        ("POST", &[400, 401, 403, 404, 405, 409, 412, 422, 500, 502, 503], false),
        ("DELETE", &[404, 500], false),
        ("OPTIONS", &[200, 204], false),
    ] {
        for code in codes {
            let scene = Scene::of(cacheable("page")).await;
            scene.ask(&[]).await;
            scene.origin.on("/", of_status(*code));
            assert_eq!(scene.proxy.ask(method, "/", &[]).await.status(), *code);
            assert_eq!(!scene.ask(&[]).await.is_hit(), invalidates, "{method} {code}");
        }
    }
}

/// Where an origin lives that can be gone altogether: its listener and its connections with it.
struct World {
    leave: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

async fn origin_of_its_own() -> (Origin, World) {
    let (leave, left) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            drop(tell.send(Origin::start().await));
            drop(left.await);
        });
    });
    (told.await.unwrap(), World { leave, thread })
}

impl World {
    async fn end(self) {
        drop(self.leave);
        spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
    }
}
