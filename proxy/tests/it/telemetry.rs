//! What is told of each request beside the logs: times of the steps at the origin, metrics of
//! single sites, `Server-Timing`.

use crate::support::origin::{Gate, Origin, Reply, cacheable, ok, status};
use crate::support::proxy::Proxy;
use crate::support::reloading::Reloading;
use crate::support::secure::Authority;
use crate::support::until;

async fn metrics(proxy: &Proxy) -> String {
    proxy.ask_admin("GET", "/metrics", &[], "").await.text().to_owned()
}

/// Returns the number of times that were recorded for a phase; `None`: the origin has none such.
fn phase(page: &str, phase: &str) -> Option<u64> {
    let line = format!("shellac_origin_phase_seconds_count{{origin=\"app\",phase=\"{phase}\"}} ");
    let count = page.lines().find_map(|given| given.strip_prefix(&line))?;
    Some(count.parse().unwrap())
}

#[tokio::test]
async fn the_steps_of_an_exchange_are_timed_apart() {
    let (origin, authority) = (Origin::start().await, Authority::new());
    for path in ["/a", "/b"] {
        origin.on(path, cacheable("hello"));
    }
    let proxy = Proxy::start(&origin);
    for path in ["/a", "/b", "/a"] {
        proxy.get(path).await;
    }
    until("the content's end", || proxy.app.origins().first().connections().0 == 0).await;
    let page = metrics(&proxy).await;
    for (name, count) in [("queue", 2), ("connect", 1), ("first_byte", 2), ("transfer", 2)] {
        assert_eq!(phase(&page, name), Some(count), "{name}");
    }
    assert_eq!(phase(&page, "tls"), None, "the origin has no TLS");

    let secure = authority.before(origin.address, &authority.issue("o", &["127.0.0.1"])).await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].servers = vec![secure.into()];
        authority.secure_origin(config);
    });
    proxy.get("/a").await;
    let page = metrics(&proxy).await;
    assert_eq!((phase(&page, "connect"), phase(&page, "tls")), (Some(1), Some(1)));
}

#[tokio::test]
async fn a_phase_takes_as_long_as_the_origin_does() {
    let (origin, gate) = (Origin::start().await, Gate::closed());
    origin.on("/slow", Reply::held(&gate));
    let proxy = Proxy::start(&origin);
    let asked = proxy.begin("/slow", &[]).await;
    until("the request", || origin.count("/slow") == 1).await;
    let page = metrics(&proxy).await;
    assert_eq!((phase(&page, "queue"), phase(&page, "first_byte")), (Some(1), Some(0)));
    drop((asked, gate));
}

#[tokio::test]
async fn a_site_that_is_named_is_counted_apart_and_no_other_is() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let reloading = Reloading::start(&origin, "[metrics]\nsites = [\"Shop.example\"]\n");
    let ask = async |host: &str| {
        drop(reloading.proxy.get_with("/a", &[("host", host)]).await);
    };
    for host in ["shop.example", "shop.example:8080", "shop.example", "other.example"] {
        ask(host).await;
    }
    let page = reloading.metrics().await;
    let count = |page: &str, cache: &str, count: usize| {
        let labels = format!("{{site=\"shop.example\",cache=\"{cache}\",code=\"200\"}}");
        let line = format!("shellac_site_requests_total{labels} {count}");
        assert!(page.lines().any(|given| given == line), "{line} in\n{page}");
    };
    count(&page, "miss", 2);
    count(&page, "hit", 1);
    assert!(page.contains("shellac_site_ttfb_seconds_count{site=\"shop.example\"} 2\n"), "{page}");
    assert!(!page.contains("site=\"other.example\""), "{page}");

    reloading.apply("[metrics]\nsites = [\"other.example\", \"shop.example\"]\n").await;
    ask("other.example").await;
    ask("shop.example").await;
    let page = reloading.metrics().await;
    count(&page, "hit", 2);
    assert!(page.contains("{site=\"other.example\",cache=\"hit\",code=\"200\"} 1\n"), "{page}");

    reloading.apply("").await;
    assert!(!reloading.metrics().await.contains("shellac_site_"));
}

#[tokio::test]
async fn server_timing_says_outcome_and_wait_where_it_is_asked_for() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("server-timing", "db;dur=5"));
    let reloading = Reloading::start(&origin, "");
    let timing = async |path: &str| {
        let answer = reloading.proxy.get(path).await;
        let lines =
            answer.head.text.lines().filter_map(|line| line.strip_prefix("server-timing: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(timing("/a").await, ["db;dur=5"], "it is off by default");
    assert_eq!(timing("/a").await, ["db;dur=5"]);

    reloading.apply("[response]\nserver_timing = true\n").await;
    assert_eq!(timing("/a").await, ["db;dur=5", "cache;desc=hit"]);
    origin.on("/b", cacheable("hello"));
    let miss = timing("/b").await;
    let millis = miss[0].strip_prefix("cache;desc=miss, origin;dur=").unwrap();
    assert!(millis.parse::<f64>().unwrap() > 0.0 && miss.len() == 1, "{miss:?}");
    origin.on("/c", ok("hello").field("cache-control", "no-store"));
    assert!(timing("/c").await[0].starts_with("cache;desc=uncacheable, origin;dur="));
    reloading.proxy.advance(61);
    origin.on("/a", status("502 Bad Gateway", ""));
    let stale = timing("/a").await;
    assert_eq!(stale[..2], ["db;dur=5", "cache;desc=stale"], "{stale:?}");
    assert!(stale[2].starts_with("origin;dur="), "{stale:?}");
}
