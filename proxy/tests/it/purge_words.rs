//! Purges that could match nothing: each is taken as it was meant, or refused in words, at every
//! endpoint; zero gets a hint.

use serde_json::{Value, json};

use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::Proxy;

/// Stores pages under these paths.
async fn fill(origin: &Origin, proxy: &Proxy, paths: &[&str], fields: &[(&str, &str)]) {
    proxy.purge(r#"{"all":true}"#).await;
    for path in paths {
        let page = cacheable("page");
        origin.on(path, fields.iter().fold(page, |page, (name, value)| page.field(name, value)));
        proxy.get(path).await;
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
}

async fn hits(proxy: &Proxy, paths: &[&str]) -> usize {
    let mut hits = 0;
    for path in paths {
        hits += usize::from(proxy.get(path).await.is_hit());
    }
    hits
}

/// Lets a purger come for the first time, after which what is stored is validated; returns the next
/// offset.
async fn adopt(endpoint: usize, proxy: &Proxy) -> u64 {
    if endpoint == 0 {
        return 0;
    }
    proxy.deliver_purge(0, &json!({"tags": ["none"]})).await;
    1
}

/// Carries the same purge out at each endpoint that speaks JSON.
async fn purge_at(endpoint: usize, proxy: &Proxy, offset: &mut u64, purge: &Value) {
    if endpoint == 0 {
        proxy.purge(&purge.to_string()).await;
    } else {
        proxy.deliver_purge(*offset, purge).await;
        *offset += 1;
    }
}

#[tokio::test]
async fn a_purge_by_url_or_prefix_hits_every_spelling_that_clients_have_stored() {
    let paths = ["/%d0%bd/x?q=it's", "/%D0%BD/x?q=it's", "/%D0%bd/%78?q=it%27s"];
    for endpoint in [0, 1] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let mut offset = adopt(endpoint, &proxy).await;
        for purge in [
            json!({"urls": ["http://site.example/н/x?q=it's"]}),
            json!({"urls": ["https://site.example/%D0%BD/x?q=it%27s"]}),
            json!({"urls": ["//site.example./%d0%bd/%78?q=it's#x"]}),
            json!({"prefixes": ["/н/"]}),
            json!({"prefixes": ["http://site.example/%d0%bd/*"]}),
        ] {
            fill(&origin, &proxy, &[paths[0], paths[1], paths[2], OTHER], &[]).await;
            purge_at(endpoint, &proxy, &mut offset, &purge).await;
            assert_eq!(hits(&proxy, &paths).await, 0, "{purge}");
            assert_eq!(hits(&proxy, &[OTHER]).await, 1, "{purge}");
        }
    }
}

#[tokio::test]
async fn the_count_is_of_all_spellings_and_requests_find_their_own() {
    let paths = ["/%c3%a9", "/%C3%A9"];
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    fill(&origin, &proxy, &paths, &[]).await;
    assert_eq!(origin.count("/%c3%a9"), 1, "forwarded as it was sent");
    assert_eq!(origin.count("/%C3%A9"), 1, "and never shared");
    let answer = proxy.ask_admin("PURGE", "/%c3%A9", &[("Host", "site.example")], "").await;
    assert_eq!(answer.json()["matched"]["objects"], 2);
    assert!(answer.json()["hint"].is_null());
    fill(&origin, &proxy, &paths, &[]).await;
    origin.on("/%C3%a9", ok("done"));
    assert_eq!(proxy.post("/%C3%a9", "x").await.status(), 200);
    assert_eq!(hits(&proxy, &paths).await, 0, "an unsafe request invalidates every spelling");
}

#[tokio::test]
async fn a_fetch_in_flight_under_another_spelling_loses_too() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on_each("/%c3%a9", [cacheable("old").after(&gate), cacheable("new")]);
    let proxy = Proxy::start(&origin);

    let mut before = proxy.begin("/%c3%a9", &[]).await;
    origin.seen("/%c3%a9", 1).await;
    proxy.purge(r#"{"urls":["http://site.example/é"]}"#).await;
    gate.open();

    assert_eq!(before.answer().await.text(), "old");
    assert_eq!(proxy.get("/%c3%a9").await.text(), "new");
}

#[tokio::test]
async fn an_entity_tag_may_be_written_in_quotes_at_every_endpoint() {
    for endpoint in [0, 1] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let mut offset = adopt(endpoint, &proxy).await;
        for (field, value) in
            [("etag", "\"site-7\""), ("etag", "W/\"site-7\""), ("surrogate-key", "\"site-7\"")]
        {
            for written in ["site-7", "\"site-7\"", "W/\"site-7\""] {
                fill(&origin, &proxy, &["/a"], &[(field, value)]).await;
                purge_at(endpoint, &proxy, &mut offset, &json!({"tags": [written]})).await;
                assert_eq!(hits(&proxy, &["/a"]).await, 0, "{field}: {value}, {written}");
                fill(&origin, &proxy, &["/a"], &[(field, value)]).await;
                proxy.ask_admin("PURGE", "/", &[("Surrogate-Key", written)], "").await;
                assert_eq!(hits(&proxy, &["/a"]).await, 0, "{field}: {value}, {written}");
            }
        }
        fill(&origin, &proxy, &["/a"], &[("etag", "\"a,b\"")]).await;
        purge_at(endpoint, &proxy, &mut offset, &json!({"tags": ["\"a,b\""]})).await;
        assert_eq!(hits(&proxy, &["/a"]).await, 0, "a comma in an entity tag");
        fill(&origin, &proxy, &["/a"], &[("etag", "\"a,b\"")]).await;
        proxy.ask_admin("PURGE", "/", &[("ETag", "W/\"x\", \"a,b\"")], "").await;
        assert_eq!(hits(&proxy, &["/a"]).await, 0, "a comma in a list of entity tags");
    }
}

#[tokio::test]
async fn a_host_may_be_written_as_people_write_it() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on("/", cacheable("page"));
    for purge in [
        json!({"hosts": ["https://Bücher.example/"]}),
        json!({"hosts": ["bücher.example.:80"]}),
        json!({"hosts": ["https://xn--bcher-kva.example:443"]}),
        json!({"urls": ["http://BÜCHER.example"]}),
        json!({"prefixes": ["//bücher.example"]}),
    ] {
        proxy.get_with("/", &[("Host", "xn--bcher-kva.example")]).await;
        let report = proxy.purge(&purge.to_string()).await;
        assert_eq!(report["matched"]["objects"], 1, "{purge}");
    }
}

#[tokio::test]
async fn selectors_that_match_nothing_are_refused_with_the_remedy() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (purge, remedy) in [
        (json!({"urls": ["nope"]}), "write https://host/nope"),
        (json!({"urls": ["/p/42"]}), "write https://host/p/42"),
        (json!({"prefixes": ["s/amber/"]}), "write /s/amber/ for every host"),
        (json!({"urls": ["https://h/s/*"]}), "purge the prefix https://h/s/"),
        (json!({"prefixes": ["https://h/*/x"]}), "purge the prefix https://h/"),
        (json!({"hosts": ["*.example"]}), "name each host"),
        (json!({"hosts": ["h/x"]}), "write the host alone"),
        (json!({"tags": ["a,b"]}), "write each tag by itself"),
    ] {
        let answer = proxy.ask_admin("POST", "/api/v1/purge", &[], &purge.to_string()).await;
        assert_eq!(answer.status(), 400, "{purge}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(remedy), "{purge}: {detail}");

        let mut logged = purge.clone();
        logged["offset"] = 0.into();
        let batch = json!({
            "log": {"cluster": "c", "topic": "t", "partition": 0}, "partitions": 1, "from": 0,
            "to": 1, "purger": "p", "start": "adopt", "purges": [logged],
        });
        let answer = proxy.deliver(&batch).await;
        assert_eq!(answer.status(), 400, "{purge}");
        assert!(answer.text().contains(remedy), "{purge}: {}", answer.text());
    }
    let answer = proxy.ask_admin("PURGE", "/s/*/x", &[("Host", "h")], "").await;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("purge the prefix https://h/s/"), "{}", answer.text());
}

#[tokio::test]
async fn a_purge_that_matches_nothing_says_what_to_look_at() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    fill(&origin, &proxy, &["/a"], &[("surrogate-key", "t")]).await;
    for (purge, hint) in [
        (json!({"tags": ["site-*"]}), "`*` is a plain character in tags"),
        (json!({"tags": ["/s/*"]}), "looks like a URL"),
        (json!({"tags": ["T"]}), "compared byte for byte"),
        (json!({"urls": ["http://site.example/b"]}), "host, port, path and query"),
        (json!({"urls": ["http://site.example:8080/a"]}), "the host \"site.example\" are stored"),
        (json!({"hosts": ["site.example:81"]}), "the host \"site.example\" are stored"),
        (json!({"prefixes": ["http://site.example/b"]}), "begins with"),
        (json!({"tags": ["t", "none"]}), "1 of 2 matched nothing: nothing "),
    ] {
        let report = proxy.purge(&purge.to_string()).await;
        let found = report["hint"].as_str().unwrap_or_else(|| panic!("{purge}: no hint"));
        assert!(found.contains(hint), "{purge}: {found}");
        fill(&origin, &proxy, &["/a"], &[("surrogate-key", "t")]).await;
    }
    let report = proxy.purge(r#"{"tags":["t"]}"#).await;
    assert_eq!((&report["matched"]["objects"], &report["hint"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn a_purge_of_another_caches_kind_is_refused_and_reaches_no_renderer() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap()];
    });
    fill(&origin, &proxy, &["/p"], &[("surrogate-key", "t")]).await;
    origin.forget();
    for (method, path, field, remedy) in [
        ("PURGE", "/p", ("X-Magento-Tags-Pattern", "cat_[0-9]+"), "name each tag"),
        ("PURGE", "/p", ("X-Purge-Method", "wildcard"), "write exact, default or regex"),
        ("PURGE", "/p", ("X-Pool", "cdn"), "name tags in Surrogate-Key"),
        ("PURGE", "/purge/p", ("Accept", "*/*"), "send PURGE /p"),
        ("BAN", "/", ("X-Url", "\\.css$"), "name a URL as in"),
        ("BAN", "/", ("Varnish-Ban-TYPO3-Pid", "12"), "name tags in Surrogate-Key"),
        ("PURGEKEYS", "/p", ("Accept", "*/*"), "a PURGEKEYS names tags"),
        ("REFRESH", "/p", ("Accept", "*/*"), "the method REFRESH is not carried out"),
        ("PURGE", "/p", ("Surrogate-Key", ""), "names no tag"),
    ] {
        for answer in [
            proxy.ask(method, path, &[field]).await,
            proxy.ask_admin(method, path, &[field], "").await,
        ] {
            let status = if method == "REFRESH" { 405 } else { 400 };
            assert_eq!(answer.status(), status, "{method} {path} {field:?}");
            assert_eq!(answer.field("content-type").unwrap(), "application/problem+json");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(remedy), "{method} {path} {field:?}: {detail}");
        }
    }
    let answer = proxy.ask_admin("PURGE", "/p", &[], r#"{"tags":["t"]}"#).await;
    assert_eq!(answer.status(), 400, "content");
    assert!(proxy.get("/p").await.is_hit());
    assert!(origin.all_received().is_empty(), "{:?}", origin.all_received());
}

#[tokio::test]
async fn with_purging_off_other_methods_reach_the_renderer() {
    let origin = Origin::start().await;
    origin.on("/p", ok("banned"));
    let proxy = Proxy::start(&origin);
    assert_eq!(proxy.ask("BAN", "/p", &[]).await.text(), "banned");
}

/// A page that no purge of the others is meant for.
const OTHER: &str = "/%D0%BE/x?q=it's";
