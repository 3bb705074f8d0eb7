//! Several servers of one origin: which one gets a request, and which one gets it after a failure.

use std::time::Duration;

use settings::{Balance, HedgeAfter, OriginSettings};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::support::origin::{Gate, Origin, Reply, ok, status};
use crate::support::proxy::{Proxy, request};
use crate::support::{in_time, until};

const PAGE: &str = "/page";

/// Starts servers that answer [`PAGE`] with their number, and a proxy in front of all.
async fn site(servers: usize, change: impl FnOnce(&mut OriginSettings)) -> (Vec<Origin>, Proxy) {
    let mut origins = Vec::new();
    for number in 0..servers {
        let origin = Origin::start().await;
        origin.on(PAGE, page(&number.to_string()));
        origins.push(origin);
    }
    let proxy = Proxy::start_with(&origins[0], |config| {
        let origin = &mut config.origins[0];
        origin.servers.extend(origins[1..].iter().map(|server| server.address.into()));
        origin.outlier.consecutive_failures = None;
        change(origin);
    });
    (origins, proxy)
}

fn page(text: &str) -> Reply {
    ok(text).field("cache-control", "no-store")
}

fn counts(origins: &[Origin]) -> Vec<usize> {
    origins.iter().map(|origin| origin.count(PAGE)).collect()
}

async fn metric(proxy: &Proxy, line: &str) -> u64 {
    let page = proxy.ask_admin("GET", "/metrics", &[], "").await;
    let value = page.text().lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(u64::MAX)
}

#[tokio::test]
async fn servers_take_turns_by_weight_though_a_connection_to_another_is_idle() {
    let (origins, proxy) = site(3, |origin| {
        origin.balance = Balance::RoundRobin;
        origin.servers[0].weight = 2;
    })
    .await;
    for _ in 0..12 {
        assert_eq!(proxy.get(PAGE).await.status(), 200);
    }
    assert_eq!(counts(&origins), [6, 3, 3]);
    let server = origins[0].address;
    let line = format!("shellac_server_requests_total{{origin=\"app\",server=\"{server}\"}}");
    assert_eq!(metric(&proxy, &line).await, 6);
}

#[tokio::test]
async fn a_slow_server_of_three_gets_few_requests() {
    let (origins, proxy) = site(3, |_| {}).await;
    origins[2].script(PAGE, |_| {
        let gate = Gate::closed();
        let opens = gate.clone();
        drop(tokio::spawn(async move {
            sleep(Duration::from_millis(200)).await; // the others answer at once
            opens.open();
        }));
        page("2").after(&gate)
    });
    for _ in 0..10 {
        let mut batch = Vec::new();
        for _ in 0..20 {
            batch.push(proxy.begin(PAGE, &[]).await);
        }
        for connection in &mut batch {
            assert_eq!(connection.answer().await.status(), 200);
        }
    }
    let counts = counts(&origins);
    assert!(counts[2] <= 20, "of 200 requests, the first batch at most: {counts:?}");
    assert!(counts[0] >= 50 && counts[1] >= 50, "{counts:?}");
}

#[tokio::test]
async fn a_url_has_its_server_and_keeps_it_when_another_one_goes() {
    let (origins, proxy) = site(3, |origin| origin.balance = Balance::Hash).await;
    let paths: Vec<String> = (0..20).map(|number| format!("/page/{number}")).collect();
    for (number, origin) in origins.iter().enumerate() {
        for path in &paths {
            origin.on(path, page(&number.to_string()));
        }
    }
    let mut owners = Vec::new();
    for path in &paths {
        owners.push(proxy.get(path).await.text().to_owned());
        assert_eq!(proxy.get(path).await.text(), *owners.last().unwrap());
    }
    for owner in ["0", "1", "2"] {
        assert!(owners.iter().any(|own| own == owner), "{owners:?}");
    }

    let mut config = proxy.app.config.clone();
    config.origins[0].servers.pop();
    proxy.app.reconfigure(&config);
    for (path, owner) in paths.iter().zip(&owners).filter(|(_, owner)| *owner != "2") {
        assert_eq!(proxy.get(path).await.text(), *owner);
    }
}

#[tokio::test]
async fn the_second_server_is_asked_when_the_first_is_down_or_full() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    let (origins, proxy) = site(2, |origin| {
        origin.balance = Balance::First;
        origin.max_requests = 1;
        origin.servers.insert(0, down.into());
    })
    .await;
    let gate = Gate::closed();
    origins[0].on("/held", ok("held").after(&gate));
    for _ in 0..3 {
        assert_eq!(proxy.get(PAGE).await.text(), "0");
    }
    let mut held = proxy.begin("/held", &[]).await;
    origins[0].seen("/held", 1).await;
    assert_eq!(proxy.get(PAGE).await.text(), "1");
    gate.open();
    assert_eq!(held.answer().await.text(), "held");
}

#[tokio::test]
async fn a_503_of_one_server_is_asked_of_another_and_never_the_same_one() {
    let (origins, proxy) = site(2, |origin| origin.balance = Balance::First).await;
    origins[0].on(PAGE, status("503 Service Unavailable", "busy"));
    assert_eq!(proxy.get(PAGE).await.text(), "1");
    assert_eq!(proxy.post(PAGE, "x").await.status(), 503, "only what is safe");
    origins[1].on(PAGE, status("503 Service Unavailable", "busy, too"));
    assert_eq!(proxy.get(PAGE).await.text(), "busy, too");
    assert_eq!(counts(&origins), [3, 2]);
    assert_eq!(metric(&proxy, "shellac_origin_retries_total{origin=\"app\"}").await, 2);

    let (origins, proxy) = site(1, |_| {}).await;
    origins[0].on(PAGE, status("503 Service Unavailable", "busy"));
    assert_eq!(proxy.get(PAGE).await.status(), 503);
    assert_eq!(counts(&origins), [1]);
}

#[tokio::test]
async fn retries_end_where_the_budget_ends() {
    let (origins, proxy) = site(2, |origin| origin.balance = Balance::First).await;
    origins[0].on(PAGE, status("503 Service Unavailable", "busy"));
    let mut answered = 0;
    for _ in 0..50 {
        answered += usize::from(proxy.get(PAGE).await.status() == 200);
    }
    // A fifth of them, and ten.
    assert!((10..=20).contains(&answered), "{answered}");
    assert_eq!(counts(&origins), [50, answered]);
    let refused =
        metric(&proxy, "shellac_origin_budget_refusals_total{origin=\"app\",kind=\"retry\"}").await;
    assert_eq!(refused, 50 - answered as u64);
}

#[tokio::test]
async fn a_connection_that_breaks_is_retried_on_the_other_server() {
    let (origins, proxy) = site(2, |origin| {
        origin.balance = Balance::First;
        origin.keepalive = 0;
    })
    .await;
    origins[0].on(PAGE, Reply::default().reset());
    assert_eq!(proxy.get(PAGE).await.text(), "1");
    assert_eq!(counts(&origins), [1, 1]);
}

#[tokio::test]
async fn a_request_without_an_answer_goes_to_a_second_server_after_a_while() {
    let (origins, proxy) = site(2, |origin| {
        origin.balance = Balance::First;
        origin.hedge_after = HedgeAfter::Time(Duration::from_millis(20));
    })
    .await;
    let gate = Gate::closed();
    origins[0].on(PAGE, page("0").after(&gate));
    assert_eq!(proxy.get(PAGE).await.text(), "1");
    assert_eq!(counts(&origins), [1, 1]);
    let won = "shellac_origin_hedges_total{origin=\"app\",outcome=\"won\"}";
    assert_eq!(metric(&proxy, won).await, 1);
    until("the other exchange to end", || proxy.app.origins().connections().0 == 0).await;

    let mut posted = proxy.connect().await;
    posted.send(request("POST", PAGE, &[], "x")).await;
    origins[0].seen(PAGE, 2).await;
    gate.open();
    assert_eq!(in_time("an answer", posted.answer()).await.text(), "0");
    assert_eq!(counts(&origins), [2, 1], "a POST goes to one server");
}

#[tokio::test]
async fn what_a_server_has_in_flight_is_known_after_a_reload() {
    let (origins, proxy) = site(1, |origin| {
        origin.max_requests = 1;
        origin.max_queue = 0;
    })
    .await;
    let gate = Gate::closed();
    origins[0].on("/held", ok("held").after(&gate));
    let mut held = proxy.begin("/held", &[]).await;
    origins[0].seen("/held", 1).await;
    let mut config = proxy.app.config.clone();
    config.origins[0].connect_timeout += Duration::from_secs(1);
    proxy.app.reconfigure(&config);

    assert_eq!(proxy.app.origins().connections().0, 1);
    let refused = proxy.get(PAGE).await;
    assert_eq!((refused.status(), refused.field("retry-after").as_deref()), (503, Some("1")));
    gate.open();
    assert_eq!(held.answer().await.text(), "held");
    assert_eq!(proxy.get(PAGE).await.status(), 200);
}
