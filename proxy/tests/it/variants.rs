//! What tells the responses of a URL apart beside `Vary`: request fields, devices, countries,
//! languages, image formats; and what `Vary` means. The origin sees what is in the key.

use serde_json::json;
use settings::{Config, Sources};

use crate::support::origin::{Origin, Received, Reply, cacheable};
use crate::support::proxy::Proxy;

const PHONE: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148");
const OTHER_PHONE: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (Linux; Android 10; K) Mobile Safari");
const DESKTOP: (&str, &str) = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");

/// Takes `[key]`, `[cookies]` and rules from this text.
fn set(config: &mut Config, text: &str) {
    let text = format!("[origin.app]\nservers = [\"a:1\"]\n{text}");
    let file = Some(("config.toml".to_owned(), text));
    let read = Config::load(&Sources { file, ..Sources::default() }).unwrap();
    (config.key, config.cookies, config.rules) = (read.key, read.cookies, read.rules);
}

fn keyed(origin: &Origin, text: &str) -> Proxy {
    Proxy::start_with(origin, |config| set(config, text))
}

/// Answers with the value of a field.
fn telling(name: &'static str) -> impl Fn(&Received) -> Reply {
    move |request| cacheable(&request.head.field(name).unwrap_or_default())
}

#[tokio::test]
async fn a_listed_value_is_a_variant_and_all_others_are_one() {
    let origin = Origin::start().await;
    origin.script("/a", telling("x-plan"));
    let proxy =
        keyed(&origin, "[key]\nheaders = [{ name = \"X-Plan\", values = [\"free\", \"pro\"] }]\n");

    let ask = async |plan: &str| proxy.get_with("/a", &[("X-Plan", plan)]).await;
    for (plan, text) in [("free", "free"), ("pro", "pro"), ("gold", "other")] {
        assert_eq!(ask(plan).await.text(), text);
    }
    for (plan, text) in [("pro", "pro"), ("<script>", "other"), ("FREE", "other"), ("", "other")] {
        let answer = ask(plan).await;
        assert!(answer.is_hit(), "{plan}: {}", answer.cache_status());
        assert_eq!(answer.text(), text);
    }
    assert_eq!(proxy.get("/a").await.text(), "");
    assert_eq!(origin.count("/a"), 4);
    let purge = proxy.purge(&json!({ "urls": ["http://site.example/a"] }).to_string()).await;
    assert_eq!(purge["matched"]["objects"], 4);
}

#[tokio::test]
async fn a_page_has_a_variant_for_each_kind_of_device() {
    let origin = Origin::start().await;
    origin.script("/a", telling("x-ua-device"));
    let proxy = keyed(&origin, "[key]\ndevice = \"mobile|desktop\"\n");

    for (fields, kind, is_hit) in [
        (&[PHONE][..], "mobile", false),
        (&[DESKTOP], "desktop", false),
        (&[OTHER_PHONE], "mobile", true),
        (&[DESKTOP, ("Sec-CH-UA-Mobile", "?1")], "mobile", true),
        (&[("X-UA-Device", "mobile")], "desktop", true),
    ] {
        let answer = proxy.get_with("/a", fields).await;
        assert_eq!((answer.text(), answer.is_hit()), (kind, is_hit), "{fields:?}");
    }
    let fields = [PHONE, ("Cookie", "PHPSESSID=1"), ("X-UA-Device", "evil")];
    assert_eq!(proxy.get_with("/a", &fields).await.text(), "mobile", "also past the cache");
}

#[tokio::test]
async fn only_a_trusted_peer_says_which_country_a_client_is_in() {
    let origin = Origin::start().await;
    origin.script("/a", telling("x-country"));
    let key = "[key]\ncountry = { header = \"X-Country\", values = [\"DE\", \"FR\"] }\n";
    let trusting = Proxy::start_with(&origin, |config| {
        set(config, key);
        config.listen[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    for (country, text, is_hit) in
        [("DE", "DE", false), ("US", "other", false), ("de", "DE", true), ("IT", "other", true)]
    {
        let answer = trusting.get_with("/a", &[("X-Country", country)]).await;
        assert_eq!((answer.text(), answer.is_hit()), (text, is_hit), "{country}");
    }
    let distrusting = keyed(&origin, key);
    for country in ["DE", "FR"] {
        let fields = [("X-Country", country), ("Cookie", "PHPSESSID=1")];
        assert_eq!(distrusting.get_with("/a", &fields).await.text(), "");
        assert_eq!(distrusting.get_with("/a", &fields[..1]).await.text(), "");
    }
}

#[tokio::test]
async fn a_site_has_a_variant_for_each_of_its_languages() {
    let origin = Origin::start().await;
    origin.script("/a", telling("accept-language"));
    let proxy = keyed(&origin, "[key]\nlanguages = [\"en\", \"de\"]\n");

    for (wanted, language, is_hit) in [
        ("de-CH,de;q=0.9,en;q=0.8", "de", false),
        ("it, de-AT;q=0.3", "de", true),
        ("fr", "en", false),
        ("en-GB", "en", true),
        ("not a language", "en", true),
    ] {
        let answer = proxy.get_with("/a", &[("Accept-Language", wanted)]).await;
        assert_eq!((answer.text(), answer.is_hit()), (language, is_hit), "{wanted}");
    }
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn an_image_has_a_variant_for_what_browsers_can_show() {
    let origin = Origin::start().await;
    let varying = |request: &Received| telling("accept")(request).field("vary", "Accept");
    origin.script("/a.jpg", varying);
    origin.script("/page", varying);
    origin.script("/_next/image?w=1", varying);
    let text = "[key]\nimages = \"by-extension\"\n\
                [[rule]]\npath = \"/_next/image\"\nkey.images = \"all\"\n";
    let proxy = keyed(&origin, text);

    let chrome = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
    let firefox = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
    for path in ["/a.jpg", "/_next/image?w=1"] {
        for (accept, text, is_hit) in [
            (chrome, "image/avif,image/webp,*/*", false),
            (firefox, "image/avif,image/webp,*/*", true),
            ("image/webp,*/*", "image/webp,*/*", false),
            ("*/*", "*/*", false),
            ("image/png", "*/*", true),
        ] {
            let answer = proxy.get_with(path, &[("Accept", accept)]).await;
            assert_eq!((answer.text(), answer.is_hit()), (text, is_hit), "{path} {accept}");
        }
    }
    assert_eq!(proxy.get_with("/page", &[("Accept", chrome)]).await.text(), chrome);
}

#[tokio::test]
async fn the_preset_of_next_js_tells_image_formats_apart_and_no_more() {
    let origin = Origin::start().await;
    let path = "/_next/image?url=%2Fa.png&w=640&q=75";
    origin.script(path, |request| telling("accept")(request).field("vary", "Accept"));
    let proxy = keyed(&origin, "[[rule]]\nname = \"site\"\npreset = \"nextjs\"\n");

    for (accept, is_hit) in [("image/webp,*/*", false), ("image/webp, image/png;q=0.9", true)] {
        let answer = proxy.get_with(path, &[("Accept", accept)]).await;
        assert_eq!((answer.text(), answer.is_hit()), ("image/webp,*/*", is_hit), "{accept}");
    }
}

#[tokio::test]
async fn a_user_agent_that_is_normalized_is_one_of_three_in_the_key_and_at_the_origin() {
    let origin = Origin::start().await;
    origin.script("/a", |request| telling("user-agent")(request).field("vary", "User-Agent"));
    let proxy = keyed(&origin, "[key.vary]\nUser-Agent = \"normalize\"\n");

    let first = proxy.get_with("/a", &[PHONE, ("Sec-CH-UA-Model", "x")]).await;
    assert!(first.text().contains("Mobile Safari") && !first.text().contains("iPhone"));
    assert!(!origin.last("/a").head.has("sec-ch-ua-model"));
    let second = proxy.get_with("/a", &[OTHER_PHONE]).await;
    assert_eq!((second.text(), second.is_hit()), (first.text(), true));
    assert!(!proxy.get_with("/a", &[DESKTOP]).await.is_hit());
    let past = proxy.get_with("/a", &[PHONE, ("Cookie", "PHPSESSID=1")]).await;
    assert_eq!(past.text(), PHONE.1, "past the cache the origin sees the client's own");
}

#[tokio::test]
async fn a_field_is_ignored_for_public_responses_or_keeps_them_out() {
    let origin = Origin::start().await;
    let varying = |control: &'static str| {
        move |request: &Received| {
            let reply = telling("x-a")(request).field("vary", "X-A");
            reply.field("cache-control", control)
        }
    };
    origin.script("/public", varying("public, max-age=60"));
    origin.script("/own", varying("max-age=60"));
    origin.script("/not", |request| telling("x-b")(request).field("vary", "X-B"));
    let proxy = keyed(&origin, "[key.vary]\nX-A = \"ignore-if-public\"\nX-B = \"bypass\"\n");

    let ask = async |path: &str, value: &str| {
        proxy.get_with(path, &[("X-A", value), ("X-B", value)]).await
    };
    for (path, second) in [("/public", true), ("/own", false)] {
        assert!(!ask(path, "1").await.is_hit());
        assert_eq!(ask(path, "2").await.is_hit(), second, "{path}");
    }
    for _ in 0..2 {
        let answer = ask("/not", "1").await;
        assert_eq!(answer.cache_status(), "fwd=uri-miss; fwd-status=200; detail=vary_bypass");
    }
}

#[tokio::test]
async fn variants_from_before_a_change_of_mode_do_not_stand_in_the_way() {
    let origin = Origin::start().await;
    origin.script("/a", |request| {
        telling("x-a")(request).field("vary", "X-A").field("cache-control", "public, max-age=60")
    });
    let proxy = Proxy::start(&origin);
    for value in ["1", "2"] {
        proxy.get_with("/a", &[("X-A", value)]).await;
    }
    let mut config = proxy.app.config.clone();
    set(&mut config, "[key.vary]\nX-A = \"ignore-if-public\"\n");
    proxy.app.reconfigure(&config);

    assert_eq!(proxy.get_with("/a", &[("X-A", "1")]).await.text(), "1");
    proxy.advance(1);
    assert!(!proxy.get_with("/a", &[("X-A", "3")]).await.is_hit());
    for value in ["4", "5", "1"] {
        let answer = proxy.get_with("/a", &[("X-A", value)]).await;
        assert!(answer.is_hit(), "{value}: {}", answer.cache_status());
    }
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn a_url_with_too_many_variants_is_named_in_stats() {
    let origin = Origin::start().await;
    origin.script("/a?token=secret", |request| telling("x-a")(request).field("vary", "X-A"));
    let proxy = Proxy::start_with(&origin, |config| config.cache.vary_max_variants = 2);
    for value in ["1", "2", "3", "4"] {
        proxy.advance(1);
        proxy.get_with("/a?token=secret", &[("X-A", value)]).await;
    }
    let stats = proxy.ask_admin("GET", "/api/v1/stats", &[], "").await.json();
    assert_eq!(
        stats["store"]["crowded_urls"],
        json!([{ "url": "http://site.example/a?...", "displaced_variants": 2 }])
    );
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(metrics.text().contains("reason=\"variants\"} 2"), "{}", metrics.text());
}

#[tokio::test]
async fn the_origin_declares_what_its_response_varies_on_for_this_cache_alone() {
    let origin = Origin::start().await;
    origin.script("/a", |request| {
        let of = |name: &str| request.head.field(name).unwrap_or_default();
        let text = format!("{} {} {}", of("x-plan"), of("cookie"), of("accept-language"));
        cacheable(&text).field("shellac-vary", "header=X-Plan, cookie=ab, device, language=en|de")
    });
    let proxy = keyed(&origin, "[cookies]\nvary_on = [\"ab\", \"lang\"]\n");

    let first = [PHONE, ("X-Plan", "pro"), ("Cookie", "ab=1; lang=x"), ("Accept-Language", "de")];
    let answer = proxy.get_with("/a", &first).await;
    assert_eq!(answer.text(), "pro ab=1; lang=x de");
    assert!(answer.field("shellac-vary").is_none(), "it is for this cache alone");
    let with = |place: usize, field: (&'static str, &'static str)| {
        let mut fields = first;
        fields[place] = field;
        fields
    };
    for (fields, is_hit) in [
        (first, true),
        (with(0, OTHER_PHONE), true),
        (with(2, ("Cookie", "lang=y; ab=1")), true),
        (with(3, ("Accept-Language", "de-AT, en;q=0.1")), true),
        (with(0, DESKTOP), false),
        (with(1, ("X-Plan", "free")), false),
        (with(2, ("Cookie", "ab=2; lang=x")), false),
        (with(3, ("Accept-Language", "en")), false),
    ] {
        let answer = proxy.get_with("/a", &fields).await;
        assert_eq!(answer.is_hit(), is_hit, "{fields:?}");
    }
    let purge = proxy.purge(&json!({ "urls": ["http://site.example/a"] }).to_string()).await;
    assert_eq!(purge["matched"]["objects"], 5);
}

#[tokio::test]
async fn a_declaration_that_cannot_be_compared_keeps_the_response_out() {
    let origin = Origin::start().await;
    for (path, declared) in
        [("/a", "header=X-A, session"), ("/b", "country"), ("/c", "header=X-Forwarded-For")]
    {
        origin.on(path, cacheable("page").field("shellac-vary", declared));
        let proxy = Proxy::start(&origin);
        for _ in 0..2 {
            let answer = proxy.get(path).await;
            assert!(answer.cache_status().contains("detail=vary_star"), "{declared}");
        }
    }
}

#[tokio::test]
async fn a_response_without_the_declaration_of_others_answers_only_its_own_kind() {
    let origin = Origin::start().await;
    origin.script("/a", |request| {
        let is_phone = request.head.field("user-agent").unwrap_or_default().contains("Mobi");
        let reply = cacheable(if is_phone { "small" } else { "large" });
        if is_phone { reply.field("shellac-vary", "device") } else { reply }
    });
    let proxy = Proxy::start(&origin);

    assert_eq!(proxy.get_with("/a", &[PHONE]).await.text(), "small");
    proxy.advance(1);
    assert_eq!(proxy.get_with("/a", &[DESKTOP]).await.text(), "large");
    for (field, text) in [(PHONE, "small"), (OTHER_PHONE, "small"), (DESKTOP, "large")] {
        let answer = proxy.get_with("/a", &[field]).await;
        assert_eq!((answer.text(), answer.is_hit()), (text, true), "{field:?}");
    }
}

#[tokio::test]
async fn a_declaration_may_change_from_one_response_to_the_next() {
    let origin = Origin::start().await;
    let page = |declared: &str| cacheable(declared).field("shellac-vary", declared);
    let declared = ["header=X-A", "header=X-B", "header=X-B"];
    origin.on_each("/a", declared.map(page));
    let proxy = Proxy::start(&origin);

    assert_eq!(proxy.get_with("/a", &[("X-A", "1"), ("X-B", "1")]).await.text(), "header=X-A");
    proxy.advance(1);
    assert_eq!(proxy.get_with("/a", &[("X-A", "2"), ("X-B", "1")]).await.text(), "header=X-B");
    let other = proxy.get_with("/a", &[("X-A", "2"), ("X-B", "2")]).await;
    assert!(!other.is_hit(), "{}", other.cache_status());
    let same = proxy.get_with("/a", &[("X-A", "2"), ("X-B", "1")]).await;
    assert_eq!((same.text(), same.is_hit()), ("header=X-B", true));
    let purge = proxy.purge(&json!({ "urls": ["http://site.example/a"] }).to_string()).await;
    assert_eq!(purge["matched"]["objects"], 3);
}
