//! The page, the document and the command that show the fleet.

use std::time::Duration;

use shellac_purger::admin::FleetStatus;
use tokio::time::{Instant, sleep};

use crate::support::{Broker, PATIENCE, Proxy, Purger, command};

async fn shown(purger: &Purger, is_so: impl Fn(&FleetStatus) -> bool) -> FleetStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, text) = purger.get("/api/v1/fleet").await;
        assert_eq!(status, 200, "{text}");
        let fleet: FleetStatus = serde_json::from_str(&text).unwrap();
        if is_so(&fleet) {
            return fleet;
        }
        assert!(Instant::now() < deadline, "{fleet:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_fleet_is_shown_with_what_proxies_say_of_themselves() {
    let broker = Broker::start(1);
    let (proxy, silent) = (Proxy::start(), Proxy::start());
    proxy.says_live(r#"{"version":"9.9.9","config":{"hash":"abcdef0123"},"hit_ratio":{"1m":0.25},"rates":{"requests":7.5}}"#);
    let purger = Purger::start(&broker, &[&proxy, &silent], "").await;
    let fleet = shown(&purger, |fleet| {
        fleet.kafka_connected
            && fleet.proxies.iter().all(|proxy| proxy.target.state == "ok")
            && fleet.proxies.len() == 2
    })
    .await;
    let row = |url: &str| fleet.proxies.iter().find(|row| row.target.url == url).unwrap();
    let live = row(&proxy.url()).live.clone().unwrap();
    assert_eq!((&*live.version, live.hit_ratio), ("9.9.9", Some(0.25)));
    assert_eq!(live.requests_per_second, Some(7.5));
    assert_eq!(row(&silent.url()).live, None);
    assert!(row(&silent.url()).live_problem.as_ref().unwrap().contains("404"));

    let (status, page) = purger.get("/").await;
    assert_eq!(status, 200);
    assert!(page.contains("9.9.9") && page.contains("25.0 %"), "{page}");
    assert_eq!(purger.get("/assets/purger.js").await.0, 200);
    assert_eq!(purger.get("/assets/none.js").await.0, 404);

    let asked = ["--once", "--purger", &purger.url()].map(str::to_owned);
    let asked: Vec<&'static str> = asked.map(|text| &*text.leak()).to_vec();
    let (code, said) = command(&broker, &[proxy.url()], "", "top", &asked).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("25.0") && said.contains("9.9.9"), "{said}");
}

#[tokio::test]
async fn top_says_when_no_purger_answers() {
    let broker = Broker::start(1);
    let asked = ["--once", "--purger", "http://127.0.0.1:1"];
    let (code, said) = command(&broker, &[], "", "top", &asked).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("shellac-purger run"), "{said}");
}
