//! The configuration is read again while the proxy runs: all of it holds, or nothing has changed.

use std::time::Duration;

use serde_json::json;
use shellac::app::reload::ReloadError;

use crate::support::client::Connection;
use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::request;
use crate::support::reloading::Reloading;
use crate::support::{in_time, until};

#[tokio::test]
async fn a_reload_says_what_changed_and_what_needs_a_restart() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let reloading = Reloading::start(&origin, "");
    let hash = reloading.proxy.app.reloads.hash();
    reloading.proxy.get("/a").await;

    reloading.write("workers = 3\n[limits]\nmax_url = \"64B\"\n[purger]\ntopics = [\"t\"]\n");
    let answer = reloading.proxy.ask_admin("POST", "/api/v1/reload", &[], "").await;

    assert_eq!(answer.status(), 200, "{}", answer.text());
    let document = answer.json();
    assert_eq!(document["applied"], true);
    assert_eq!(
        document["changed"],
        json!([{"setting": "limits.max_url", "before": null, "after": "64B"}])
    );
    assert_eq!(
        document["needs_restart"],
        json!([{"setting": "workers", "before": "2", "after": "3"}])
    );
    assert_eq!(document["of_purger"], json!(["purger.topics"]));
    assert_eq!(document["hash"], reloading.proxy.app.reloads.hash());
    assert_ne!(document["hash"], hash);
    let long = format!("/{}", "x".repeat(64));
    assert_eq!(reloading.proxy.get(&long).await.status(), 414);
    assert!(reloading.proxy.get("/a").await.is_hit(), "the cache is kept");
    let metrics = reloading.metrics().await;
    assert!(metrics.contains("shellac_config_restart_needed 1\n"), "{metrics}");

    // What waits for a restart is named until it is taken back.
    let report = reloading.reload().await.unwrap();
    assert_eq!((report.changed.len(), report.needs_restart.len()), (0, 1));
    assert_eq!(reloading.apply("").await.needs_restart, []);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_every_problem_of_it_is_told() {
    let origin = Origin::start().await;
    let reloading = Reloading::start(&origin, "");
    let hash = reloading.proxy.app.reloads.hash();

    reloading.write("[limits]\nmax_url = \"64B\"\nmax_headers = 0\n[cache]\nkep = \"1h\"\n");
    let answer = reloading.proxy.ask_admin("POST", "/api/v1/reload", &[], "").await;

    assert_eq!(answer.status(), 422, "{}", answer.text());
    assert_eq!(answer.field("content-type").unwrap(), "application/problem+json");
    let problem = answer.json();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("bad_configuration"), &json!(422)));
    assert_eq!(problem["problems"].as_array().unwrap().len(), 2, "{problem}");
    let shown = problem["shown"].as_str().unwrap();
    assert!(shown.contains("did you mean `keep`?") && shown.contains("shellac.toml"), "{shown}");
    assert_eq!(reloading.proxy.app.reloads.hash(), hash);
    let long = format!("/{}", "x".repeat(64));
    assert_ne!(reloading.proxy.get(&long).await.status(), 414);
    let metrics = reloading.metrics().await;
    assert!(metrics.contains("shellac_config_last_reload_successful 0\n"), "{metrics}");
    assert!(metrics.contains("shellac_config_reloads_total{outcome=\"invalid\"} 1\n"), "{metrics}");

    reloading.apply("").await;
    let metrics = reloading.metrics().await;
    assert!(metrics.contains("shellac_config_last_reload_successful 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_trial_says_what_would_change_and_changes_nothing() {
    let origin = Origin::start().await;
    let reloading = Reloading::start(&origin, "");
    reloading.write("workers = 3\n[limits]\nmax_headers = 7\n");
    let answer = reloading.proxy.ask_admin("POST", "/api/v1/reload?trial", &[], "").await;
    let document = answer.json();
    assert_eq!((answer.status(), &document["applied"]), (200, &json!(false)));
    assert_eq!(document["changed"][0]["setting"], "limits.max_headers");
    assert_eq!(document["needs_restart"][0]["setting"], "workers");
    assert_eq!(reloading.proxy.app.settings.current().limits.max_headers, 100);
}

#[tokio::test]
async fn only_those_who_may_purge_may_reload() {
    let origin = Origin::start().await;
    let reloading =
        Reloading::start(&origin, "[admin]\nlisten = [\"127.0.0.1:0\"]\ntoken = \"x\"\n");
    for path in ["/api/v1/reload", "/api/v1/drain", "/api/v1/undrain"] {
        let refused = reloading.proxy.ask_admin("POST", path, &[], "").await;
        assert_eq!(refused.status(), 401, "{path}");
        let token = [("Authorization", "Bearer x")];
        let answer = reloading.proxy.ask_admin("POST", path, &token, "").await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert_eq!(reloading.proxy.ask_admin("GET", path, &token, "").await.status(), 405);
    }
}

#[tokio::test]
async fn a_proxy_that_leaves_reloads_nothing() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("done").after(&gate));
    let mut reloading = Reloading::start(&origin, "[limits]\ndrain_timeout = \"20s\"\n");
    let mut client = reloading.proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    reloading.proxy.leave();
    in_time("the drain", reloading.proxy.app.listeners.drain.begun()).await;

    let answer = reloading.proxy.ask_admin("POST", "/api/v1/reload", &[], "").await;

    assert_eq!((answer.status(), &answer.json()["code"]), (409, &json!("refused")));
    gate.open();
    assert_eq!(client.answer().await.text(), "done");
}

#[tokio::test]
async fn a_proxy_without_a_file_says_that_there_is_nothing_to_read() {
    let origin = Origin::start().await;
    let proxy = crate::support::proxy::Proxy::start(&origin);
    let refused = proxy.app.reloads.reload("test", false).await;
    assert!(matches!(refused, Err(ReloadError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_drained_proxy_is_not_ready_and_serves_until_it_is_undrained() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let reloading = Reloading::start(&origin, "");
    let proxy = &reloading.proxy;

    let answer = proxy.ask_admin("POST", "/api/v1/drain", &[], "").await;
    assert_eq!((answer.status(), &answer.json()["drained"]), (200, &json!(true)));
    assert_eq!(proxy.ask_admin("GET", "/readyz", &[], "").await.status(), 503);
    assert!(reloading.metrics().await.contains("shellac_ready 0\n"));
    assert_eq!(proxy.get("/a").await.text(), "hello");
    reloading.apply("[limits]\nmax_headers = 7\n").await;
    assert_eq!(proxy.ask_admin("GET", "/readyz", &[], "").await.status(), 503, "it stays so");

    proxy.ask_admin("POST", "/api/v1/undrain", &[], "").await;
    assert_eq!(proxy.ask_admin("GET", "/readyz", &[], "").await.status(), 200);
}

#[tokio::test]
async fn more_connections_are_let_in_at_once_when_the_limit_rises() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let settings = "workers = 1\n[limits]\nmax_connections = 1\n";
    let reloading = Reloading::start_in_real_time(&origin, settings);
    let mut first = reloading.proxy.begin("/a", &[]).await;
    first.answer().await;
    let mut second = reloading.proxy.begin("/a", &[]).await;
    let early = tokio::time::timeout(Duration::from_millis(200), second.head()).await;
    assert!(early.is_err(), "there is one connection already");

    reloading.apply("workers = 1\n[limits]\nmax_connections = 2\n").await;

    assert_eq!(in_time("the answer", second.answer()).await.text(), "hello");
}

#[tokio::test]
async fn more_requests_go_to_the_origin_when_the_limit_rises() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("done").after(&gate));
    origin.on("/b", ok("other"));
    let reloading = Reloading::start(&origin, "[limits]\nmax_inflight_misses = 1\n");
    let mut waiting = reloading.proxy.begin("/a", &[]).await;
    origin.seen("/a", 1).await;
    assert_eq!(reloading.proxy.get("/b").await.status(), 503);

    reloading.apply("[limits]\nmax_inflight_misses = 2\n").await;

    assert_eq!(reloading.proxy.get("/b").await.text(), "other");
    gate.open();
    assert_eq!(waiting.answer().await.text(), "done");
}

#[tokio::test]
async fn no_request_fails_in_a_hundred_reloads_under_load() {
    let origin = Origin::start().await;
    for path in ["/a", "/b", "/c"] {
        origin.on(path, cacheable("hello"));
        origin.on(&format!("{path}?uncached"), ok("world"));
    }
    let reloading = Reloading::start_in_real_time(&origin, "");
    let address = reloading.proxy.address;
    let (is_over, over) = tokio::sync::watch::channel(false);
    let mut clients = Vec::new();
    for number in 0..40 {
        let over = over.clone();
        clients.push(tokio::spawn(async move {
            let path = ["/a", "/b?uncached", "/c", "/a?uncached"][number % 4];
            let (keeps, mut count) = (number < 20, 0_u64);
            let mut kept = Connection::open(address).await;
            while !*over.borrow() {
                let fields = if keeps { vec![] } else { vec![("Connection", "close")] };
                if !keeps {
                    kept = Connection::open(address).await;
                }
                kept.send(request("GET", path, &fields, "")).await;
                assert_eq!(kept.answer().await.status(), 200);
                count += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            count
        }));
    }
    for number in 0..100 {
        // Origins, limits, rules, the log and another listener change each time.
        let other = if number % 2 == 0 {
            "[[listen]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\n"
        } else {
            ""
        };
        let settings = format!(
            "[[listen]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\nbacklog = {}\n{other}\
             [limits]\nmax_connections = {}\n[cache]\nkeep = \"{}s\"\n\
             [origin.other]\nhosts = [\"other.example\"]\nservers = [\"127.0.0.1:{}\"]\n",
            1024 + number,
            1000 + number,
            3600 + number,
            1000 + number
        );
        reloading.apply(&settings).await;
    }
    is_over.send(true).unwrap();
    let mut served = 0;
    for client in clients {
        served += client.await.unwrap();
    }
    assert!(served >= 400, "{served} requests");
    until("the connections to end", || reloading.proxy.app.listeners.connections() == 0).await;
    assert_eq!(reloading.proxy.app.listeners.metrics.broken.value(), 0);
}

const COUNTED: [&str; 3] = [
    "[[rule]]\nname = \"first\"\npath = \"/a\"\ntags = [\"a\"]\n",
    "[[rule]]\nname = \"second\"\npath = \"/*\"\ntags = [\"b\"]\n",
    "[[rule]]\nname = \"renamed\"\npath = \"/*\"\ntags = [\"b\"]\n",
];

#[tokio::test]
async fn the_counts_of_a_rule_follow_its_name_through_reloads() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("12345"));
    let [first, second, renamed] = COUNTED;
    let reloading = Reloading::start(&origin, &format!("{first}{second}"));
    for _ in 0..3 {
        reloading.proxy.get("/a").await;
    }
    let counts = async || {
        let answer = reloading.proxy.ask_admin("GET", "/api/v1/rules", &[], "").await.json();
        let of = |rule: &serde_json::Value| {
            let count = |name: &str| rule[name].as_u64().unwrap();
            let name = rule["name"].as_str().unwrap().to_owned();
            (name, count("hits"), count("misses"), count("sent_bytes"))
        };
        answer["rules"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let of = |name: &str, hits, bytes| (name.to_owned(), hits, u64::from(bytes > 0), bytes);
    assert_eq!(counts().await, [of("first", 2, 15), of("second", 2, 15)]);

    reloading.apply(&format!("{second}{first}")).await; // moved, both
    assert_eq!(counts().await, [of("second", 2, 15), of("first", 2, 15)]);
    reloading.proxy.get("/a").await;
    assert_eq!(counts().await, [of("second", 3, 20), of("first", 3, 20)]);

    reloading.apply(&format!("{first}{renamed}")).await; // one is another rule now
    assert_eq!(counts().await, [of("first", 3, 20), of("renamed", 0, 0)]);
    let metrics = reloading.metrics().await;
    assert!(metrics.contains("shellac_rule_sent_bytes_total{rule=\"first\"} 20\n"), "{metrics}");
    assert!(!metrics.contains("rule=\"second\""), "{metrics}");

    reloading.apply(&format!("{first}{second}")).await; // what has gone begins anew
    assert_eq!(counts().await, [of("first", 3, 20), of("second", 0, 0)]);
}
