//! Health of servers: probes, ejections, circuits and orders, with real servers.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use settings::{Balance, Config, OriginSettings, Secret, ServerSettings};

use crate::support::origin::{Gate, Origin, Reply, ok, status};
use crate::support::proxy::Proxy;
use crate::support::{in_time, join_all, until};

/// Two servers that answer `/page` with their name, and a proxy before them.
async fn pair(change: impl FnOnce(&mut OriginSettings)) -> (Origin, Origin, Proxy) {
    let (first, second) = (Origin::start().await, Origin::start().await);
    for (origin, name) in [(&first, "first"), (&second, "second")] {
        origin.on("/page", ok(name).field("cache-control", "no-store"));
        origin.on("/healthz", ok("fine"));
    }
    let other = second.address;
    let proxy = Proxy::start_with(&first, |config| {
        let origin = &mut config.origins[0];
        let address = other.to_string().parse::<http::uri::Authority>().unwrap();
        origin.servers.push(ServerSettings::from(address));
        origin.slow_start = None;
        origin.balance = Balance::RoundRobin;
        origin.keepalive = 0;
        origin.health.interval = Duration::from_millis(100);
        origin.health.window = 2;
        origin.health.threshold = 2;
        origin.health.initial = 2;
        change(origin);
    });
    (first, second, proxy)
}

fn probed(origin: &mut OriginSettings) {
    origin.health.path = Some("/healthz".parse().unwrap());
}

fn states(proxy: &Proxy) -> Vec<&'static str> {
    let reports = proxy.app.origins().first().reports();
    reports.iter().map(|server| server.health.state.as_str()).collect()
}

async fn reach(proxy: &Proxy, wanted: [&str; 2]) {
    until(&format!("the states {wanted:?}"), || states(proxy) == wanted).await;
}

async fn texts(proxy: &Proxy, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(proxy.get("/page").await.text().to_owned());
    }
    all.sort();
    all.dedup();
    all
}

fn server_path(origin: &Origin) -> String {
    format!("/api/v1/origins/app/servers/{}", origin.address)
}

async fn assign(proxy: &Proxy, origin: &Origin, state: &str) -> Value {
    let content = json!({"state": state}).to_string();
    let answer = proxy.ask_admin("PATCH", &server_path(origin), &[], &content).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_server_whose_probes_fail_gets_no_requests_until_they_succeed() {
    let (first, second, proxy) = pair(probed).await;
    assert_eq!(states(&proxy), ["up", "up"], "usable before the first probe");
    assert_eq!(texts(&proxy, 8).await, ["first", "second"]);

    first.on("/healthz", status("503 Service Unavailable", ""));
    reach(&proxy, ["sick", "up"]).await;
    first.forget();
    assert_eq!(texts(&proxy, 8).await, ["second"]);
    assert_eq!(first.count("/page"), 0);
    let list = proxy.ask_admin("GET", "/api/v1/origins", &[], "").await.json();
    let server = &list["origins"][0]["servers"][0];
    assert_eq!(server["last_probe"]["error"], "status 503 is not expected", "{list}");
    assert!(server["reason"].as_str().unwrap().contains("probes were good"));

    first.on("/healthz", ok(""));
    reach(&proxy, ["up", "up"]).await;
    assert_eq!(texts(&proxy, 8).await, ["first", "second"]);
    let probe = first.last("/healthz").head;
    assert!(probe.field("user-agent").unwrap().starts_with("shellac-probe/"));
    assert_eq!(probe.field("host").unwrap(), first.address.to_string());
    assert!(second.count("/healthz") > 0);
}

#[tokio::test]
async fn a_probe_looks_at_the_content_where_it_is_told_to() {
    let (first, _second, proxy) = pair(|origin| {
        probed(origin);
        origin.health.expect_body = Some("fine".to_owned());
        origin.health.host = Some("health.example".parse().unwrap());
    })
    .await;
    first.on("/healthz", ok("not well"));
    reach(&proxy, ["sick", "up"]).await;
    assert_eq!(first.last("/healthz").head.field("host").unwrap(), "health.example");
    first.on("/healthz", ok("all is fine now"));
    reach(&proxy, ["up", "up"]).await;
}

#[tokio::test]
async fn a_server_that_fails_requests_is_left_out_for_a_while() {
    let (first, second, proxy) = pair(|origin| {
        origin.retries = 3;
        origin.outlier.base_ejection = Duration::from_millis(300);
    })
    .await;
    first.on("/page", Reply::nothing().reset());
    until("ejection", || states(&proxy) == ["up", "up"]).await;
    for _ in 0..40 {
        proxy.get("/page").await;
        if states(&proxy)[0] == "ejected" {
            break;
        }
    }
    assert_eq!(states(&proxy), ["ejected", "up"]);
    assert_eq!(texts(&proxy, 4).await, ["second"]);

    first.on("/page", ok("first").field("cache-control", "no-store"));
    reach(&proxy, ["up", "up"]).await;
    assert_eq!(texts(&proxy, 16).await, ["first", "second"]);
    assert!(second.count("/page") > 0);
}

#[tokio::test]
async fn without_a_usable_server_stale_is_served_then_an_error_that_says_why() {
    let (first, second, proxy) = pair(probed).await;
    for origin in [&first, &second] {
        origin.on("/stored", ok("old").field("cache-control", "max-age=1"));
    }
    assert_eq!(proxy.get("/stored").await.text(), "old");
    for origin in [&first, &second] {
        origin.on("/healthz", status("500 Internal Server Error", ""));
    }
    reach(&proxy, ["sick", "sick"]).await;
    proxy.advance(10);
    first.forget();

    let stale = proxy.get("/stored").await;
    assert_eq!((stale.status(), stale.text()), (200, "old"));
    let answer = proxy.get("/page").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(
        answer.field("proxy-status").unwrap(),
        "shellac; error=destination_unavailable; details=\"no server is usable: 2 sick\""
    );
    assert_eq!(answer.field("retry-after").unwrap(), "1");
    assert!(answer.text().contains("no server is usable"));
    assert_eq!((first.count("/page"), second.count("/page")), (0, 0));

    for origin in [&first, &second] {
        origin.on("/healthz", ok(""));
    }
    reach(&proxy, ["up", "up"]).await;
    assert_eq!(proxy.get("/page").await.status(), 200);
}

#[tokio::test]
async fn a_server_that_is_only_left_out_is_tried_when_no_other_is_left() {
    let (first, second, proxy) = pair(|origin| {
        probed(origin);
        origin.retries = 3;
    })
    .await;
    first.on("/page", Reply::nothing().reset());
    until("ejection", || states(&proxy) == ["up", "up"]).await;
    for _ in 0..40 {
        proxy.get("/page").await;
    }
    assert_eq!(states(&proxy), ["ejected", "up"]);
    first.on("/page", ok("first").field("cache-control", "no-store"));
    second.on("/healthz", status("500 Internal Server Error", ""));
    reach(&proxy, ["ejected", "sick"]).await;
    assert_eq!(texts(&proxy, 3).await, ["first"]);
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await.text().to_owned();
    assert!(metrics.contains("shellac_origin_last_resorts_total{origin=\"app\"} 3"), "{metrics}");
}

#[tokio::test]
async fn a_drain_under_load_loses_no_request() {
    let (first, second, proxy) = pair(|_| {}).await;
    let gate = Gate::closed();
    for origin in [&first, &second] {
        origin.on("/slow", Reply::held(&gate).send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    }
    let (proxy, first) = (Arc::new(proxy), Arc::new(first));
    let held: Vec<_> = (0..8)
        .map(|number| {
            let proxy = Arc::clone(&proxy);
            async move { proxy.post("/slow", &number.to_string()).await.status() }
        })
        .collect();
    let held = tokio::spawn(join_all(held));
    until("requests in flight", || first.count("/slow") + second.count("/slow") == 8).await;
    let over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (proxy, over) = (Arc::clone(&proxy), Arc::clone(&over));
            async move {
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(proxy.get("/page").await.status(), 200);
                    count += 1;
                }
                count
            }
        })
        .collect();
    let load = tokio::spawn(join_all(load));

    first.seen("/page", 1).await;
    let document = assign(&proxy, &first, "drain").await;
    assert_eq!((&document["state"], &document["share"]), (&json!("drain"), &json!(0)));
    let asked_before = proxy.get("/page").await;
    assert_eq!(asked_before.text(), "second");
    let count = first.count("/page");
    second.seen("/page", second.count("/page") + 50).await;
    assert!(first.count("/page") <= count + 4, "only those that were on their way");
    gate.open();
    assert_eq!(held.await.unwrap(), [200; 8], "those in flight end");

    assign(&proxy, &first, "enabled").await;
    first.seen("/page", first.count("/page") + 1).await;
    over.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap().iter().sum::<i32>() > 50);
}

#[tokio::test]
async fn an_order_outlives_other_settings_and_the_last_drain_is_warned_of() {
    let (first, second, proxy) = pair(|_| {}).await;
    assign(&proxy, &first, "disabled").await;
    let text = format!(
        "[origin.app]\nservers = [\"{}\", \"{}\"]\nretries = 0\nkeepalive = 3\n",
        first.address, second.address
    );
    let file = Some(("config.toml".to_owned(), text));
    let config = Config::load(&settings::Sources { file, ..settings::Sources::default() }).unwrap();
    proxy.app.reconfigure(&config);
    assert_eq!(states(&proxy), ["disabled", "up"]);
    assert_eq!(texts(&proxy, 6).await, ["second"]);

    let document = assign(&proxy, &second, "drain").await;
    assert_eq!(document["warning"], "no server of `app` is in use now");
    let answer = proxy.get("/page").await;
    let details = "details=\"no server is usable: 1 drain, 1 disabled\"";
    let told = answer.field("proxy-status").unwrap();
    assert!(told.ends_with(details), "{told}");
}

#[tokio::test]
async fn orders_are_checked_and_need_the_token() {
    let (first, _second, proxy) = pair(|_| {}).await;
    let path = server_path(&first);
    for (method, path, content, expected) in [
        ("PATCH", &*path, r#"{"state":"off"}"#, 400),
        ("PATCH", &path, "drain", 400),
        ("PATCH", "/api/v1/origins/other/servers/a:1", r#"{"state":"drain"}"#, 404),
        ("PATCH", "/api/v1/origins/app/servers/a:1", r#"{"state":"drain"}"#, 404),
        ("DELETE", &path, "", 405),
        ("POST", "/api/v1/origins", "", 405),
        ("GET", "/api/v1/origins/app", "", 404),
        ("GET", &path, "", 200),
    ] {
        let answer = proxy.ask_admin(method, path, &[], content).await;
        assert_eq!(answer.status(), expected, "{method} {path} {content}: {}", answer.text());
    }
    let content = "x".repeat(5_000);
    assert_eq!(proxy.ask_admin("PATCH", &path, &[], &content).await.status(), 413);
    assert_eq!(states(&proxy), ["up", "up"]);

    let guarded = Proxy::start_with(&first, |config| config.admin.token = Some(Secret::new("t")));
    let content = r#"{"state":"drain"}"#;
    assert_eq!(guarded.ask_admin("PATCH", &path, &[], content).await.status(), 401);
    let token = [("Authorization", "Bearer t")];
    assert_eq!(guarded.ask_admin("PATCH", &path, &token, content).await.status(), 200);
}

#[tokio::test]
async fn a_server_is_probed_on_demand() {
    let (first, second, proxy) = pair(|origin| {
        probed(origin);
        origin.health.interval = Duration::from_hours(1);
    })
    .await;
    first.on("/healthz", status("418 I'm a teapot", ""));
    let check = |origin: &Origin| format!("{}/check", server_path(origin));
    let bad = proxy.ask_admin("POST", &check(&first), &[], "").await.json();
    assert_eq!(bad["check"]["error"], "status 418 is not expected", "{bad}");
    let good = proxy.ask_admin("POST", &check(&second), &[], "").await.json();
    assert_eq!((&good["check"]["is_good"], &good["check"]["status"]), (&json!(true), &json!(200)));
}

#[tokio::test]
async fn an_open_circuit_answers_at_once_and_trials_close_it() {
    let origin = Origin::start().await;
    origin.on("/stored", ok("old").field("cache-control", "max-age=1"));
    let proxy = Proxy::start_with(&origin, |config| {
        let origin = &mut config.origins[0];
        origin.retries = 0;
        origin.circuit.failure_rate = Some(50);
        origin.circuit.min_requests = 4;
        origin.circuit.open_for = Duration::from_millis(400);
        origin.circuit.trials = 1;
    });
    assert_eq!(proxy.get("/stored").await.text(), "old");
    let page = |number: usize| format!("/broken/{number}");
    for number in 0..8 {
        origin.on(&page(number), Reply::nothing().reset());
    }
    let mut answers = Vec::new();
    for number in 0..8 {
        answers.push(proxy.get(&page(number)).await.status());
    }
    assert_eq!(answers.last(), Some(&503), "{answers:?}");
    let asked: usize = (0..8).map(|number| origin.count(&page(number))).sum();
    assert!(asked < 8, "the circuit keeps requests from the origin");

    let refused = proxy.get("/broken/0").await;
    assert_eq!(
        refused.field("proxy-status").unwrap(),
        "shellac; error=destination_unavailable; details=\"its circuit is open, as most requests failed\""
    );
    assert_eq!(refused.field("retry-after").unwrap(), "1");
    proxy.advance(10);
    let stale = proxy.get("/stored").await;
    assert_eq!((stale.status(), stale.text()), (200, "old"));

    origin.on("/page", ok("back").field("cache-control", "no-store"));
    let circuit = || proxy.app.origins().first().health().circuit_state(now()).as_str();
    until("half-open", || circuit() == "half_open").await;
    assert_eq!(proxy.get("/page").await.text(), "back");
    assert_eq!(circuit(), "closed");
}

#[tokio::test]
async fn one_broken_url_opens_no_circuit() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        let origin = &mut config.origins[0];
        origin.retries = 0;
        origin.circuit.failure_rate = Some(10);
        origin.circuit.min_requests = 2;
    });
    origin.on("/broken", Reply::nothing().reset());
    origin.on("/page", ok("fine").field("cache-control", "no-store"));
    for _ in 0..12 {
        assert_eq!(proxy.get("/page").await.text(), "fine");
    }
    for _ in 0..30 {
        assert_eq!(proxy.get("/broken").await.status(), 502);
    }
    assert_eq!(proxy.get("/page").await.text(), "fine");
}

async fn shellac(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
    command.arg("origins").args(arguments).args(["--admin", &proxy.admin.to_string()]);
    command.stdin(Stdio::null());
    let run = move || command.output().unwrap();
    let output = in_time("a command", tokio::task::spawn_blocking(run)).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn operators_see_and_order_servers_from_the_command_line() {
    let (first, second, proxy) = pair(probed).await;
    let [a, b] = [&first, &second].map(|origin| origin.address.to_string());

    let (code, page, _) = shellac(&proxy, &["drain", "app", &a]).await;
    assert_eq!(code, Some(0));
    assert!(page.starts_with(&a) && page.contains(" drain "), "{page}");
    let (code, page, _) = shellac(&proxy, &[]).await;
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 3), "{page}");
    assert!(lines[1].contains(" drain ") && lines[2].contains(" up "), "{page}");
    let (_, _, warning) = shellac(&proxy, &["disable", "app", &b]).await;
    assert!(warning.contains("no server of `app` is in use now"), "{warning}");
    let (code, page, _) = shellac(&proxy, &["list", "--json"]).await;
    let document: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(
        (code, &document["origins"][0]["servers"][1]["state"]),
        (Some(0), &json!("disabled"))
    );
    assert_eq!(shellac(&proxy, &["enable", "app", &a]).await.0, Some(0));

    assert_eq!(shellac(&proxy, &["check", "app", &a]).await.0, Some(0));
    first.on("/healthz", status("500 Internal Server Error", ""));
    let (code, page, _) = shellac(&proxy, &["check", "app", &a]).await;
    assert_eq!((code, page), (Some(1), format!("{a} status 500 is not expected\n")));
    let (code, _, error) = shellac(&proxy, &["drain", "app", "other:1"]).await;
    assert_eq!(code, Some(2));
    assert!(error.contains("has no server `other:1`"), "{error}");
}

#[tokio::test]
async fn readiness_counts_the_servers_and_does_not_depend_on_them() {
    let (first, second, proxy) = pair(|_| {}).await;
    assign(&proxy, &first, "drain").await;
    assign(&proxy, &second, "disabled").await;
    let answer = proxy.ask_admin("GET", "/readyz?verbose", &[], "").await;
    let document = answer.json();
    assert_eq!((answer.status(), &document["is_ready"]), (200, &json!(true)));
    let origin = &document["origins"][0];
    assert_eq!((&origin["name"], &origin["is_usable"]), (&json!("app"), &json!(false)));
    assert_eq!(origin["servers"], json!({"drain": 1, "disabled": 1}));
    assert_eq!(proxy.ask_admin("GET", "/readyz", &[], "").await.text(), "ready\n");
}

fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
