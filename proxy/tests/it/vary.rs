//! Variants (RFC 9111 §4.1): stored side by side, chosen by the selecting fields of the request.

use crate::support::join_all;
use crate::support::origin::{Gate, Origin, Received, Reply, cacheable};
use crate::support::proxy::Proxy;

/// Answers with the value of a field on which the response varies.
fn varying(name: &'static str) -> impl Fn(&Received) -> Reply {
    move |request| cacheable(&request.head.field(name).unwrap_or_default()).field("vary", name)
}

#[tokio::test]
async fn variants_are_stored_side_by_side() {
    let origin = Origin::start().await;
    origin.script("/a", varying("accept-language"));
    let proxy = Proxy::start(&origin);

    for round in 0..2 {
        for language in ["de", "en", "fr"] {
            let answer = proxy.get_with("/a", &[("Accept-Language", language)]).await;
            assert_eq!(answer.text(), language);
            assert_eq!(answer.is_hit(), round == 1, "{}", answer.cache_status());
        }
        let none = proxy.get("/a").await;
        assert_eq!((none.text(), none.is_hit()), ("", round == 1));
    }
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn a_miss_of_another_variant_says_so() {
    let origin = Origin::start().await;
    origin.script("/a", varying("accept-language"));
    let proxy = Proxy::start(&origin);

    proxy.get_with("/a", &[("Accept-Language", "de")]).await;
    let other = proxy.get_with("/a", &[("Accept-Language", "en")]).await;

    assert_eq!(other.cache_status(), "fwd=vary-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn accept_encoding_is_forwarded_with_the_codings_that_we_know() {
    let origin = Origin::start().await;
    origin.script("/a", varying("accept-encoding"));
    let proxy = Proxy::start(&origin);

    let ask = async |value: &str| proxy.get_with("/a", &[("Accept-Encoding", value)]).await;
    let first = ask("gzip, deflate, br;q=0.9").await;
    assert_eq!(first.text(), "br, gzip");
    for same in ["br, gzip", "BR,  x-new, gzip;q=0.5", "gzip, br, zstd;q=0"] {
        let answer = ask(same).await;
        assert!(answer.is_hit(), "{same}");
        assert_eq!(answer.text(), "br, gzip");
    }
    let plain = ask("deflate, identity").await;
    assert_eq!(plain.text(), "");
    assert!(!origin.last("/a").head.has("accept-encoding"));
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn two_ways_to_write_the_same_languages_select_one_variant() {
    let origin = Origin::start().await;
    origin.script("/a", varying("accept-language"));
    let proxy = Proxy::start(&origin);

    let ask = async |value: &str| proxy.get_with("/a", &[("Accept-Language", value)]).await;
    let first = ask("EN-us, en;q=0.50").await;
    assert_eq!(first.text(), "EN-us, en;q=0.50", "the origin sees what the client sent");

    for same in ["en-US,en;q=0.5", "en;q=0.5,en-US;q=1.0"] {
        let answer = ask(same).await;
        assert!(answer.is_hit(), "{same}");
        assert_eq!(answer.text(), "EN-us, en;q=0.50");
    }
    assert!(!ask("en-US,en").await.is_hit());
}

#[tokio::test]
async fn orders_of_languages_share_a_page_where_that_is_allowed() {
    for is_allowed in [false, true] {
        let origin = Origin::start().await;
        origin.script("/a", |_| {
            cacheable("Hallo").field("vary", "accept-language, x").field("content-language", "de")
        });
        let proxy = Proxy::start_with(&origin, |config| config.cache.share_languages = is_allowed);
        let ask = async |languages: &str, x: &str| {
            proxy.get_with("/a", &[("Accept-Language", languages), ("X", x)]).await.is_hit()
        };
        assert!(!ask("en, de", "1").await);
        assert_eq!(ask("de, en", "1").await, is_allowed);
        assert!(!ask("de, en", "2").await, "another field differs");
        assert!(!ask("fr, de, en", "1").await, "other languages");
        proxy.advance(100_000);
        assert!(!ask("de, en;q=1.0", "1").await, "what is stale is not shared");
    }
}

#[tokio::test]
async fn a_page_without_one_language_is_shared_by_no_other_order() {
    for language in ["", "de, en", "fr"] {
        let origin = Origin::start().await;
        let page =
            cacheable("").field("vary", "accept-language").field("content-language", language);
        origin.on("/a", page);
        let proxy = Proxy::start_with(&origin, |config| config.cache.share_languages = true);
        for languages in ["en, de", "de, en"] {
            let page = proxy.get_with("/a", &[("Accept-Language", languages)]).await;
            assert!(!page.is_hit(), "{language}: {languages}");
        }
    }
}

#[tokio::test]
async fn a_response_that_varies_on_everything_is_not_stored() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("").field("vary", "accept, *"));
    let proxy = Proxy::start(&origin);

    proxy.get("/a").await;
    let again = proxy.get("/a").await;

    assert_eq!(again.cache_status(), "fwd=uri-miss; fwd-status=200; detail=vary_star");
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn the_oldest_of_too_many_variants_makes_room() {
    let origin = Origin::start().await;
    origin.script("/a", varying("x-variant"));
    let proxy = Proxy::start_with(&origin, |config| config.cache.vary_max_variants = 3);

    let ask = async |variant: &str| {
        proxy.advance(1);
        proxy.get_with("/a", &[("X-Variant", variant)]).await
    };
    for variant in ["1", "2", "3", "4"] {
        ask(variant).await;
    }

    for kept in ["2", "3", "4"] {
        assert!(ask(kept).await.is_hit(), "{kept}");
    }
    assert!(!ask("1").await.is_hit());
    assert_eq!(proxy.app.store.usage().objects, 3);
}

#[tokio::test]
async fn a_variant_in_use_survives_a_flood_of_others() {
    let origin = Origin::start().await;
    origin.script("/a", varying("x-variant"));
    let proxy = Proxy::start_with(&origin, |config| config.cache.vary_max_variants = 8);

    let ask = async |variant: &str| proxy.get_with("/a", &[("X-Variant", variant)]).await;
    ask("hot").await;
    proxy.advance(1);
    assert!(ask("hot").await.is_hit());
    for number in 0..20 {
        proxy.advance(1);
        ask(&number.to_string()).await;
    }

    assert!(ask("hot").await.is_hit());
    assert!(proxy.app.store.usage().objects <= 8);
}

#[tokio::test]
async fn variants_that_are_cold_at_once_are_fetched_in_parallel() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let closed = gate.clone();
    origin.script("/a", move |request| {
        let language = request.head.field("accept-language").unwrap();
        let head = "HTTP/1.1 200 OK\r\nvary: accept-language\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\n";
        match &*language {
            "l0" => Reply::bytes(head).hold(&closed).send("l0"),
            other => Reply::held(&closed).send(head).send(other),
        }
    });
    let proxy = Proxy::start(&origin);

    // The head of the first response says that the URL varies. From then on no request waits for
    // the variant of another.
    let mut first = proxy.begin("/a", &[("Accept-Language", "l0")]).await;
    let head = first.head().await;
    let mut others = Vec::new();
    for variant in ["l1", "l2", "l3", "l1", "l2", "l3"] {
        others.push((variant, proxy.begin("/a", &[("Accept-Language", variant)]).await));
    }
    origin.seen("/a", 4).await;
    gate.open();

    assert_eq!(first.rest(head).await.unwrap().text(), "l0");
    for (variant, connection) in &mut others {
        assert_eq!(connection.answer().await.text(), *variant);
    }
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn a_variant_is_never_given_to_a_request_that_waited_for_another() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let closed = gate.clone();
    origin.script("/a", move |request| varying("accept-language")(request).after(&closed));
    let proxy = Proxy::start(&origin);

    let mut waiting = Vec::new();
    for number in 0..30 {
        let language = format!("l{}", number % 3);
        let fields = [("Accept-Language", language.as_str())];
        waiting.push((language.clone(), proxy.begin("/a", &fields).await));
    }
    origin.seen("/a", 1).await;
    gate.open();

    let answers = waiting.into_iter().map(async |(language, mut connection)| {
        (language, connection.answer().await.text().to_owned())
    });
    for (language, text) in join_all(answers).await {
        assert_eq!(language, text);
    }
    assert_eq!(proxy.app.store.usage().objects, 3);
}

#[tokio::test]
async fn a_response_that_varies_on_a_field_of_ours_is_not_shared() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for name in ["X-Forwarded-For", "Via", "Forwarded", "X-Request-Id", "TE"] {
        let path = format!("/{name}");
        origin.on(&path, cacheable("yours").field("vary", name));
        proxy.get(&path).await;
        assert!(!proxy.get(&path).await.is_hit(), "{name}");
    }
    for name in ["Host", "X-Forwarded-Proto", "X-Forwarded-Host"] {
        let path = format!("/{name}");
        origin.on(&path, cacheable("ours").field("vary", name));
        proxy.get(&path).await;
        assert!(proxy.get(&path).await.is_hit(), "{name} is in the key");
    }
}

/// As CORS middleware does: `Vary: Origin` and the permission only where the request has an allowed
/// `Origin`.
fn cross_origin(request: &Received) -> Reply {
    let page = cacheable("page");
    match request.head.field("origin").filter(|origin| origin.ends_with(".example")) {
        Some(origin) => page.field("vary", "Origin").field("access-control-allow-origin", &origin),
        None => page,
    }
}

#[tokio::test]
async fn pages_keep_their_cross_origin_permission_between_other_requests() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.script("/a", cross_origin);
    let get = async |from: Option<&str>| {
        let fields: Vec<_> = from.iter().map(|from| ("Origin", *from)).collect();
        let answer = proxy.get_with("/a", &fields).await;
        (answer.field("access-control-allow-origin"), answer.is_hit())
    };
    let (shop, news) = ("https://shop.example", "https://news.example");
    let allowed = |from: &str| Some(from.to_owned());
    for (from, permission, is_hit) in [
        (Some(shop), allowed(shop), false),
        (None, None, false),
        (Some(shop), allowed(shop), true),
        (Some(news), allowed(news), false),
        (Some("https://other.test"), None, false),
        (None, None, true),
        (Some(news), allowed(news), true),
        (Some(shop), allowed(shop), true),
        (Some("https://other.test"), None, true),
    ] {
        proxy.advance(1);
        assert_eq!(get(from).await, (permission, is_hit), "{from:?}");
    }
    assert_eq!(origin.count("/a"), 4);
}

#[tokio::test]
async fn a_url_that_varies_keeps_a_page_for_requests_without_the_field() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.script("/a", cross_origin);
    let fields = [("Origin", "https://shop.example")];
    proxy.get("/a").await;
    proxy.advance(61);
    assert!(!proxy.get_with("/a", &fields).await.is_hit());

    proxy.advance(30);
    proxy.get("/a").await; // stored anew: it varies on the field's absence now
    for _ in 0..2 {
        let with = proxy.get_with("/a", &fields).await;
        assert!(with.is_hit() && with.head.has("access-control-allow-origin"));
        let without = proxy.get("/a").await;
        assert!(without.is_hit() && !without.head.has("access-control-allow-origin"));
    }
    assert_eq!(proxy.app.store.usage().objects, 2);
}

#[tokio::test]
async fn fields_that_only_some_responses_of_a_url_name_select_among_all_of_them() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.script("/a", |request| {
        let language = request.head.field("x-language").unwrap_or_default();
        let device = request.head.field("x-device").unwrap_or_default();
        let vary = if device.is_empty() { "X-Language" } else { "X-Language, X-Device" };
        cacheable(&format!("{language}/{device}")).field("vary", vary)
    });
    let (de, en, tv) = (("X-Language", "de"), ("X-Language", "en"), ("X-Device", "tv"));
    let requests =
        [(vec![de, tv], "de/tv"), (vec![de], "de/"), (vec![en], "en/"), (vec![en, tv], "en/tv")];
    for is_hit in [false, true] {
        for (fields, content) in &requests {
            proxy.advance(1);
            let answer = proxy.get_with("/a", fields).await;
            assert_eq!((answer.text(), answer.is_hit()), (*content, is_hit), "{fields:?}");
        }
    }
    // Once no stored response names the field, it selects no more.
    proxy.purge(r#"{"urls":["http://site.example/a"]}"#).await;
    origin.on("/a", cacheable("all"));
    proxy.get_with("/a", &[en, tv]).await;
    assert!(proxy.get_with("/a", &[de]).await.is_hit());
}
