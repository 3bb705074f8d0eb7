//! Purges: what was purged is never served again, whatever is in flight; counts are exact; all
//! endpoints do the same.

use serde_json::json;
use settings::Secret;

use crate::support::client::{Answer, Http2, text};
use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok};
use crate::support::proxy::Proxy;
use crate::support::{in_time, until};

/// Stores a page with these fields.
async fn store(origin: &Origin, proxy: &Proxy, path: &str, fields: &[(&str, &str)]) {
    let reply =
        fields.iter().fold(cacheable("page"), |reply, (name, value)| reply.field(name, value));
    origin.on(path, reply);
    proxy.get(path).await;
    assert!(proxy.get(path).await.is_hit());
}

fn objects(answer: &Answer) -> u64 {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let objects = answer.json()["matched"]["objects"].as_u64().unwrap();
    assert_eq!(answer.field("x-purged-count").unwrap(), objects.to_string());
    objects
}

#[tokio::test]
async fn a_tag_purges_all_who_carry_it_and_nobody_else() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    store(&origin, &proxy, "/a", &[("surrogate-key", "product-1 list")]).await;
    store(&origin, &proxy, "/b", &[("cache-tag", "product-2,list")]).await;
    store(&origin, &proxy, "/c", &[("xkey", "product-10")]).await;

    let report = proxy.purge(r#"{"tags":["list"],"id":"purge-1","reason":"a test"}"#).await;

    assert_eq!(report["id"], "purge-1");
    assert_eq!(report["mode"], "hard");
    assert_eq!(report["matched"], json!({"objects": 2}));
    assert_eq!(report["selectors"], json!([{"tag": "list", "objects": 2}]));
    assert!(!proxy.get("/a").await.is_hit());
    assert!(!proxy.get("/b").await.is_hit());
    assert!(proxy.get("/c").await.is_hit());
    assert_eq!(proxy.purge(r#"{"tags":["product-1"]}"#).await["matched"]["objects"], 1);
}

#[tokio::test]
async fn a_second_purge_finds_nothing() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for selectors in [
        json!({"tags": ["t"]}),
        json!({"urls": ["http://site.example/a"]}),
        json!({"hosts": ["site.example"]}),
        json!({"prefixes": ["http://site.example/"]}),
        json!({"pages": ["http://site.example/a"]}),
        json!({"paths": ["http://site.example/a"]}),
        json!({"all_of": ["tag:t", "host:site.example"]}),
        json!({"any_of": ["prefix:site.example/a"]}),
        json!({"all": true}),
    ] {
        store(&origin, &proxy, "/a", &[("surrogate-key", "t")]).await;
        let text = selectors.to_string();
        let first = proxy.purge(&text).await;
        let second = proxy.purge(&text).await;
        assert_eq!(first["matched"]["objects"], 1, "{text}");
        assert_eq!(second["matched"]["objects"], 0, "{text}");
        assert!(first["sequence"].as_u64() < second["sequence"].as_u64());
        assert!(!proxy.get("/a").await.is_hit(), "{text}");
    }
}

#[tokio::test]
async fn each_selector_counts_and_says_what_an_earlier_one_has_counted() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    store(&origin, &proxy, "/a", &[("surrogate-key", "one two")]).await;
    store(&origin, &proxy, "/b", &[("surrogate-key", "two")]).await;
    store(&origin, &proxy, "/c/d", &[]).await;

    let report = proxy
        .purge(
            r#"{"tags":["one","two","none"],"urls":["https://site.example/a"],"prefixes":["/c/"],
                "hosts":["site.example"],"all":true}"#,
        )
        .await;

    assert_eq!(report["matched"]["objects"], 3);
    let expected = json!([
        {"tag": "one", "objects": 1},
        {"tag": "two", "objects": 2, "already_counted": 1},
        {"tag": "none", "objects": 0},
        {"url": "https://site.example/a", "objects": 1, "already_counted": 1},
        {"host": "site.example", "objects": 3, "already_counted": 2},
        {"prefix": "/c/", "objects": 1, "already_counted": 1},
        {"all": true, "objects": 3, "already_counted": 3},
    ]);
    assert_eq!(report["selectors"], expected);
}

#[tokio::test]
async fn a_url_purges_all_its_variants_and_no_other_url() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for path in ["/a", "/a?x=1", "/ab"] {
        origin.on(path, cacheable("").field("vary", "accept-language"));
        for language in ["de", "en", "fr"] {
            proxy.get_with(path, &[("Accept-Language", language)]).await;
        }
    }

    let report = proxy.purge(r#"{"urls":["HTTPS://Site.Example:443/a#top"]}"#).await;

    assert_eq!(report["matched"]["objects"], 3);
    for (path, is_hit) in [("/a", false), ("/a?x=1", true), ("/ab", true)] {
        assert_eq!(proxy.get_with(path, &[("Accept-Language", "en")]).await.is_hit(), is_hit);
    }
}

#[tokio::test]
async fn hosts_and_prefixes_purge_what_is_below_them() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let paths = ["/blog/1", "/blog/2?x", "/shop/1"];
    let hosts = ["one.example", "two.example", "two.example:8080"];
    let fill = async || {
        for path in paths {
            origin.on(path, cacheable(""));
            for host in hosts {
                proxy.get_with(path, &[("Host", host)]).await;
            }
        }
    };
    for (purge, count) in [
        (r#"{"hosts":["TWO.example"]}"#, 3),
        (r#"{"hosts":["two.example:8080"]}"#, 3),
        (r#"{"prefixes":["http://one.example/blog/"]}"#, 2),
        (r#"{"prefixes":["/blog/"]}"#, 6),
        (r#"{"prefixes":["/blog/2"]}"#, 3),
        (r#"{"prefixes":["https://one.example"]}"#, 3),
        (r#"{"all":true}"#, 9),
    ] {
        fill().await;
        assert_eq!(proxy.app.store.usage().objects, 9);
        assert_eq!(proxy.purge(purge).await["matched"]["objects"], count, "{purge}");
        assert_eq!(proxy.app.store.usage().objects, 9 - count, "{purge}");
    }
}

#[tokio::test]
async fn an_entity_tag_is_a_tag_in_all_its_forms() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for etag in ["\"site-1\"", "W/\"site-1\"", "site-1"] {
        store(&origin, &proxy, "/a", &[("etag", etag)]).await;
        assert_eq!(proxy.purge(r#"{"tags":["site-1"]}"#).await["matched"]["objects"], 1, "{etag}");
        for written in ["\"site-1\"", "W/\"site-1\"", "site-1", "\"other\", W/\"site-1\""] {
            store(&origin, &proxy, "/a", &[("etag", etag)]).await;
            let answer = proxy.ask_admin("PURGE", "/", &[("ETag", written)], "").await;
            assert_eq!(objects(&answer), 1, "{etag} {written}");
        }
    }
}

#[tokio::test]
async fn purge_requests_name_tags_in_the_fields_of_all_brands() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for field in ["Surrogate-Key", "Cache-Tag", "xkey", "xkey-purge", "X-Cache-Tags"] {
        store(&origin, &proxy, "/a", &[("surrogate-key", "t1 u")]).await;
        store(&origin, &proxy, "/b", &[("surrogate-key", "t2")]).await;
        store(&origin, &proxy, "/c", &[("surrogate-key", "t3")]).await;

        let answer = proxy.ask_admin("PURGE", "/c", &[(field, "t1 t2"), (field, "none")], "").await;

        assert_eq!(objects(&answer), 2, "{field}");
        assert_eq!(answer.json()["selectors"].as_array().unwrap().len(), 3);
        assert!(proxy.get("/c").await.is_hit());
    }
}

#[tokio::test]
async fn a_purge_request_without_tags_is_for_its_url() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    store(&origin, &proxy, "/a?x=1", &[("vary", "accept-language")]).await;
    proxy.get_with("/a?x=1", &[("Accept-Language", "de")]).await;

    let other_host = proxy.ask_admin("PURGE", "/a?x=1", &[("Host", "other.example")], "").await;
    let both = proxy.ask_admin("PURGE", "/a?x=1", &[("Host", "SITE.example:80")], "").await;
    store(&origin, &proxy, "/a?x=1", &[]).await;
    let absolute = proxy.ask_admin("PURGE", "http://site.example/a?x=1", &[], "").await;

    assert_eq!((objects(&other_host), objects(&both), objects(&absolute)), (0, 2, 1));
    assert!(!proxy.get("/a?x=1").await.is_hit());
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_is_refreshed_once() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (path, field, value) in [
        ("/a", "xkey-softpurge", "t"),
        ("/b", "Fastly-Soft-Purge", "1"),
        ("/c", "Shellac-Purge", "soft"),
    ] {
        let control = "max-age=60, stale-while-revalidate=60";
        let page = |text| ok(text).field("cache-control", control).field("surrogate-key", "t");
        let gate = Gate::closed();
        origin.on_each(path, [page("old"), page("new").after(&gate)]);
        proxy.get(path).await;
        proxy.advance(10);
        let inserts = proxy.app.store.usage().inserts;

        let purge = [(field, value), ("Surrogate-Key", "t")];
        let answer = proxy.ask_admin("PURGE", "/", &purge, "").await;
        assert_eq!(answer.json()["mode"], "soft");
        assert_eq!(answer.json()["matched"]["objects"], 1, "{field}");
        for _ in 0..3 {
            let stale = proxy.get(path).await;
            assert_eq!(stale.text(), "old");
            assert_eq!(stale.cache_status(), "hit; ttl=0; detail=stale_while_revalidate");
        }
        origin.seen(path, 2).await;
        gate.open();
        until("the refresh", || proxy.app.store.usage().inserts > inserts).await;

        let fresh = proxy.get(path).await;
        assert_eq!((fresh.text(), &*fresh.cache_status()), ("new", "hit; ttl=60"));
        assert_eq!(origin.count(path), 2);
        proxy.purge(r#"{"all":true}"#).await;
    }
}

#[tokio::test]
async fn a_soft_purge_never_prolongs_and_the_operator_may_make_it_the_default() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.default_mode = purge_protocol::PurgeMode::Soft;
    });
    let control = "max-age=60, stale-while-revalidate=10, stale-if-error=0";
    origin.on("/a", ok("old").field("cache-control", control).field("surrogate-key", "t"));
    proxy.get("/a").await;

    assert_eq!(proxy.purge(r#"{"tags":["t"]}"#).await["mode"], "soft");
    proxy.advance(5);
    proxy.purge(r#"{"tags":["t"]}"#).await;
    proxy.advance(5);

    assert_eq!(proxy.get("/a").await.cache_status(), "fwd=stale; fwd-status=200; stored");
    assert_eq!(proxy.purge(r#"{"tags":["t"],"mode":"hard"}"#).await["mode"], "hard");
    assert_eq!(proxy.get("/a").await.cache_status(), "fwd=uri-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn a_purge_that_cannot_be_read_says_what_is_wrong() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.max_selectors = 3;
        config.purge.max_body = 1024;
    });
    let long = format!(r#"{{"tags":["{}"]}}"#, "t".repeat(1100));
    for (request, status, text) in [
        ("", 400, "EOF"),
        ("{}", 400, "selects nothing"),
        (r#"{"all":false}"#, 400, "selects nothing"),
        ("[1]", 400, "This is no purge request"),
        (r#"{"tag":["a"]}"#, 400, "unknown field `tag`, expected one of `tags`"),
        (r#"{"tags":["a"],"mode":"warm"}"#, 400, "unknown variant `warm`"),
        (r#"{"tags":[""]}"#, 400, "a tag is empty"),
        (r#"{"tags":["a b"]}"#, 400, "neither white space nor commas"),
        (r#"{"urls":["/only/a/path"]}"#, 400, "/only/a/path"),
        (r#"{"urls":["ftp://a/"]}"#, 400, "ftp://a/"),
        (r#"{"hosts":["a b"]}"#, 400, "a b"),
        (r#"{"tags":["1","2","3","4"]}"#, 413, "4 selectors exceed the limit of 3"),
        (&*long, 413, "1024 bytes"),
    ] {
        let answer = proxy.ask_admin("POST", "/api/v1/purge", &[], request).await;
        assert_eq!(answer.status(), status, "{request}");
        assert_eq!(answer.field("content-type").unwrap(), "application/problem+json");
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(text), "{request}: {detail}");
        assert_eq!(problem["status"], status);
    }
}

#[tokio::test]
async fn purge_on_a_traffic_listener_is_off_until_somebody_is_allowed() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    store(&origin, &proxy, "/a", &[]).await;

    let answer = proxy.ask("PURGE", "/a", &[]).await;

    assert_eq!(answer.status(), 405);
    assert!(answer.text().contains("purge.allow"));
    assert!(!answer.field("allow").unwrap().contains("PURGE"));
    assert!(proxy.get("/a").await.is_hit());
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn purge_on_a_traffic_listener_is_decided_on_the_sockets_address() {
    let origin = Origin::start().await;
    let elsewhere = Proxy::start_with(&origin, |config| {
        config.purge.allow = vec!["10.0.0.0/8".parse().unwrap()];
    });
    let here = Proxy::start_with(&origin, |config| {
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap()];
    });
    store(&origin, &elsewhere, "/a", &[]).await;
    store(&origin, &here, "/a", &[("surrogate-key", "t")]).await;

    for fields in [&[][..], &[("X-Forwarded-For", "10.1.2.3")]] {
        assert_eq!(elsewhere.ask("PURGE", "/a", fields).await.status(), 403);
    }
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
        let answer = here.ask("PURGE", "/a", &[(name, "127.0.0.1")]).await;
        assert_eq!(answer.status(), 403, "{name}");
    }
    assert!(elsewhere.get("/a").await.is_hit() && here.get("/a").await.is_hit());
    assert_eq!(objects(&here.ask("PURGE", "/a", &[]).await), 1);
    store(&origin, &here, "/a", &[("surrogate-key", "t")]).await;
    assert_eq!(objects(&here.ask("PURGE", "/", &[("xkey-purge", "t")]).await), 1);
}

#[tokio::test]
async fn with_a_token_nobody_purges_without_it() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap()];
        config.purge.token = Some(Secret::new("s3cret"));
        config.admin.token = Some(Secret::new("adm1n"));
    });
    store(&origin, &proxy, "/a", &[]).await;

    for given in [None, Some("Bearer wrong"), Some("Basic s3cret"), Some("Bearer s3cret2")] {
        let fields: Vec<_> = given.map(|value| ("Authorization", value)).into_iter().collect();
        let answer = proxy.ask("PURGE", "/a", &fields).await;
        assert_eq!(answer.status(), 401, "{given:?}");
        assert_eq!(answer.field("www-authenticate").unwrap(), "Bearer");
        for (method, path) in [("PURGE", "/a"), ("POST", "/api/v1/purge"), ("GET", "/api/v1/stats")]
        {
            assert_eq!(proxy.ask_admin(method, path, &fields, "").await.status(), 401, "{given:?}");
        }
    }
    assert!(proxy.get("/a").await.is_hit());
    let traffic = [("Authorization", "Bearer s3cret")];
    assert_eq!(objects(&proxy.ask("PURGE", "/a", &traffic).await), 1);
    let admin = [("Authorization", "Bearer adm1n")];
    assert_eq!(proxy.ask_admin("PURGE", "/a", &admin, "").await.status(), 200);
    assert_eq!(proxy.ask_admin("GET", "/healthz", &[], "").await.status(), 200);
}

/// Everything that the page `/a` is purged by.
const WAYS: [&str; 6] = [
    r#"{"tags":["t"]}"#,
    r#"{"tags":["site-1"]}"#,
    r#"{"urls":["http://site.example/a"]}"#,
    r#"{"hosts":["site.example"]}"#,
    r#"{"prefixes":["http://site.example/"]}"#,
    r#"{"all":true}"#,
];

/// The page that all of [`WAYS`] match.
fn page(text: &str) -> Reply {
    cacheable(text).field("surrogate-key", "t").field("etag", "\"site-1\"")
}

#[tokio::test]
async fn a_fetch_in_flight_loses_against_a_purge() {
    for way in WAYS {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        origin.on_each("/a", [page("old").after(&gate), page("new")]);
        let proxy = Proxy::start(&origin);

        let mut before = proxy.begin("/a", &[]).await;
        origin.seen("/a", 1).await;
        assert_eq!(proxy.purge(way).await["matched"]["objects"], 0, "{way}");
        gate.open();

        assert_eq!(before.answer().await.text(), "old", "{way}"); // it had asked before
        let after = proxy.get("/a").await;
        assert_eq!((after.text(), after.is_hit()), ("new", false), "{way}");
        assert!(proxy.get("/a").await.is_hit(), "{way}");
    }
}

#[tokio::test]
async fn content_that_is_arriving_loses_against_a_purge() {
    for way in WAYS {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nsurrogate-key: t\r\netag: \"site-1\"\r\n\
                    content-length: 10\r\n\r\n";
        origin.on_each(
            "/a",
            [Reply::bytes(head).send("old  ").hold(&gate).send("old  "), page("new")],
        );
        let proxy = Proxy::start(&origin);

        let mut before = proxy.begin("/a", &[]).await;
        let head = before.head().await;
        proxy.purge(way).await;
        let mut after = Vec::new();
        for _ in 0..5 {
            after.push(proxy.get("/a").await); // does not wait for the old one
        }
        gate.open();

        assert_eq!(before.rest(head).await.unwrap().text(), "old  old  ", "{way}");
        assert!(after.iter().all(|answer| answer.text() == "new"), "{way}");
        assert_eq!(proxy.get("/a").await.text(), "new", "{way}");
        assert_eq!(origin.count("/a"), 2, "{way}");
    }
}

#[tokio::test]
async fn a_request_after_a_purge_gets_a_new_fetch_while_the_old_one_goes_on() {
    for way in WAYS {
        let origin = Origin::start().await;
        let (old, new) = (Gate::closed(), Gate::closed());
        origin.on_each("/a", [page("old").after(&old), page("new").after(&new)]);
        origin.on("/hit", cacheable(""));
        let proxy = Proxy::start(&origin);

        // Requests of one connection are taken up in their order: when a hit is answered, those
        // before it wait.
        let mut client = Http2::open(proxy.address).await;
        let before = client.get("/a");
        origin.seen("/a", 1).await;
        proxy.purge(way).await;
        proxy.get("/hit").await;
        let after: Vec<_> = (0..10).map(|_| client.get("/a")).collect();
        in_time("a hit", client.get("/hit")).await.unwrap();
        if !way.contains("tags") {
            origin.seen("/a", 2).await; // what the old one's tags are is not known yet; its URL is
        }
        old.open();
        let before = in_time("the old page", before).await.unwrap();
        assert_eq!(text(before).await.unwrap(), "old", "{way}");
        origin.seen("/a", 2).await;
        new.open();

        for response in after {
            let response = in_time("the new page", response).await.unwrap();
            assert_eq!(text(response).await.unwrap(), "new", "{way}");
        }
        assert_eq!(proxy.get("/a").await.text(), "new", "{way}");
        assert_eq!(origin.count("/a"), 2, "{way}");
    }
}

#[tokio::test]
async fn a_background_refresh_loses_against_a_purge() {
    for way in WAYS {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let swr = |text| page(text).field("cache-control", "stale-while-revalidate=60");
        origin.on_each("/a", [swr("old"), swr("older").after(&gate), swr("new")]);
        let proxy = Proxy::start(&origin);
        proxy.get("/a").await;
        proxy.advance(61);

        assert_eq!(proxy.get("/a").await.text(), "old");
        origin.seen("/a", 2).await;
        assert_eq!(proxy.purge(way).await["matched"]["objects"], 1, "{way}");
        gate.open();
        until("the refresh", || proxy.app.front.cache.fetcher().in_flight().0 == 0).await;

        assert_eq!(proxy.get("/a").await.text(), "new", "{way}");
        assert_eq!(origin.count("/a"), 3, "{way}");
    }
}

#[tokio::test]
async fn a_304_to_a_validation_from_before_a_purge_refreshes_nothing() {
    for way in WAYS {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let confirmed = not_modified().field("etag", "\"site-1\"").after(&gate);
        origin.on_each("/a", [page("old"), confirmed, page("new")]);
        let proxy = Proxy::start(&origin);
        proxy.get("/a").await;
        proxy.advance(61);

        let mut before = proxy.begin("/a", &[]).await;
        let asked = origin.seen("/a", 2).await;
        assert!(asked.head.has("if-none-match"));
        proxy.purge(way).await;
        gate.open();

        assert_eq!(before.answer().await.text(), "new", "{way}: nothing confirms it");
        let after = proxy.get("/a").await;
        assert_eq!((after.text(), after.is_hit()), ("new", false), "{way}");
        assert!(!origin.last("/a").head.has("if-none-match"), "{way}");
    }
}

#[tokio::test]
async fn an_uncacheable_marker_is_purged_with_its_url_and_its_tags() {
    for way in WAYS {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let private = ok("")
            .field("cache-control", "private")
            .field("surrogate-key", "t")
            .field("etag", "\"site-1\"");
        origin.on_each("/a", [private, page("ours").after(&gate)]);
        let proxy = Proxy::start(&origin);
        proxy.get("/a").await;

        proxy.purge(way).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(proxy.begin("/a", &[]).await);
        }
        origin.seen("/a", 2).await;
        gate.open();

        for client in &mut clients {
            assert_eq!(client.answer().await.text(), "ours");
        }
        assert_eq!(origin.count("/a"), 2, "{way}"); // they waited for one fetch again
    }
}

#[tokio::test]
async fn purges_that_race_with_fetches_never_leave_an_old_page() {
    let origin = Origin::start().await;
    let version = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let current = std::sync::Arc::clone(&version);
    origin.script("/a", move |_| {
        page(&current.load(std::sync::atomic::Ordering::SeqCst).to_string())
    });
    let proxy = Proxy::start(&origin);
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(proxy.connect().await);
    }
    let mut after = proxy.connect().await;
    let request = "GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n";

    for round in 1..=60_usize {
        for client in &mut clients {
            client.send(request).await; // in flight, stored, or on its way: wherever the purge meets them
        }
        version.store(round as u64, std::sync::atomic::Ordering::SeqCst);
        proxy.purge(WAYS[round % WAYS.len()]).await;
        after.send(request).await;

        assert_eq!(after.answer().await.text(), round.to_string());
        for client in &mut clients {
            client.answer().await;
        }
    }
}

#[tokio::test]
async fn a_url_is_purged_however_its_default_port_and_empty_path_are_written() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    origin.on("/?x=1", cacheable("root"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.listen[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let secure = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example:443")];
    proxy.get_with("/a", &secure).await;
    let purged = proxy.purge(r#"{"urls":["https://shop.example/a"]}"#).await;
    assert_eq!(purged["matched"]["objects"], 1);

    let root = proxy.ask("GET", "http://site.example?x=1", &[]).await;
    assert_eq!((root.status(), root.text()), (200, "root"));
    let purged = proxy.purge(r#"{"urls":["http://site.example/?x=1"]}"#).await;
    assert_eq!(purged["matched"]["objects"], 1);
}
