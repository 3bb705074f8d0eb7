//! Listeners that come, go and change by a reload, and the connections that they have.

use std::net::{SocketAddr, TcpListener};

use crate::support::client::Connection;
use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::request;
use crate::support::reloading::Reloading;
use crate::support::{free_address, in_time};

fn listen(name: &str, address: SocketAddr) -> String {
    format!("[[listen]]\nname = \"{name}\"\naddress = \"{address}\"\n")
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut client = Connection::open(address).await;
    client.send(request("GET", path, &[], "")).await;
    client.answer().await.text().to_owned()
}

async fn refused(address: SocketAddr) {
    in_time("the listener to close", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_is_added_serves_and_one_that_is_removed_does_not() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let (stays, goes, comes) = (free_address(), free_address(), free_address());
    let stay = listen("stays", stays);
    let reloading = Reloading::start(&origin, &(stay.clone() + &listen("goes", goes)));
    assert_eq!(get(goes, "/a").await, "hello");
    let mut kept = Connection::open(stays).await;
    kept.send(request("GET", "/a", &[], "")).await;
    kept.answer().await;

    let report = reloading.apply(&(stay + &listen("comes", comes))).await;

    assert_eq!(report.opened, [format!("comes http://{comes}")]);
    assert_eq!(report.closed, [format!("goes http://{goes}")]);
    assert_eq!(get(comes, "/a").await, "hello");
    refused(goes).await;
    kept.send(request("GET", "/a", &[], "")).await;
    assert!(kept.answer().await.is_hit(), "a connection of another listener goes on");
    let metrics = reloading.metrics().await;
    for (name, code) in [("stays", 2), ("goes", 1), ("comes", 1)] {
        let cache = if name == "goes" { "miss" } else { "hit" };
        let line = format!(
            "shellac_http_requests_total{{listener=\"{name}\",cache=\"{cache}\",code=\"200\"}} {code}\n"
        );
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn connections_of_a_removed_listener_finish_under_what_they_began_with() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.on("/a", ok("done").after(&gate));
    origin.on("/b", ok("after"));
    let (stays, goes) = (free_address(), free_address());
    let stay = listen("stays", stays);
    let reloading = Reloading::start(&origin, &(stay.clone() + &listen("goes", goes)));
    let mut client = Connection::open(goes).await;
    client.send(request("GET", "/a", &[], "")).await;
    origin.seen("/a", 1).await;

    reloading.apply(&stay).await;
    refused(goes).await;
    gate.open();

    assert_eq!(client.answer().await.text(), "done");
    client.send(request("GET", "/b", &[], "")).await;
    assert_eq!(client.answer().await.text(), "after");
    let metrics = reloading.metrics().await;
    assert!(metrics.contains("{listener=\"goes\""), "{metrics}");
}

#[tokio::test]
async fn those_who_are_queued_at_a_removed_listener_are_served() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let (stays, goes) = (free_address(), free_address());
    let tail = "[limits]\nmax_connections = 1\n";
    let settings = listen("stays", stays) + &listen("goes", goes) + tail;
    let reloading = Reloading::start_in_real_time(&origin, &settings);
    let mut first = Connection::open(goes).await;
    first.send(request("GET", "/a", &[], "")).await;
    first.answer().await;
    let mut queued = Vec::new();
    for _ in 0..8 {
        let mut client = Connection::open(goes).await;
        client.send(request("GET", "/a", &[("Connection", "close")], "")).await;
        queued.push(client);
    }

    reloading.apply(&(listen("stays", stays) + tail)).await;
    drop(first);

    for client in &mut queued {
        assert_eq!(client.answer().await.text(), "hello");
    }
    refused(goes).await;
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_changes_nothing() {
    let origin = Origin::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (stays, comes) = (free_address(), free_address());
    let reloading = Reloading::start(&origin, &listen("stays", stays));
    let hash = reloading.proxy.app.reloads.hash();

    reloading.write(
        &(listen("comes", comes)
            + &listen("taken", taken.local_addr().unwrap())
            + "[limits]\nmax_headers = 7\n"),
    );
    let answer = reloading.proxy.ask_admin("POST", "/api/v1/reload", &[], "").await;

    assert_eq!((answer.status(), &answer.json()["code"]), (409, &"cannot_bind".into()));
    assert!(answer.text().contains("cannot listen on"), "{}", answer.text());
    refused(comes).await;
    assert!(tokio::net::TcpStream::connect(stays).await.is_ok());
    assert_eq!(reloading.proxy.app.reloads.hash(), hash);
    assert_eq!(reloading.proxy.app.settings.current().limits.max_headers, 100);
}

#[tokio::test]
async fn a_listener_at_another_address_keeps_its_counters_by_its_name() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let (one, other) = (free_address(), free_address());
    let reloading = Reloading::start(&origin, &listen("web", one));
    get(one, "/a").await;
    get(one, "/a").await;
    reloading.apply(&listen("web", other)).await;
    refused(one).await;
    get(other, "/a").await;
    let line = "shellac_http_requests_total{listener=\"web\",cache=\"hit\",code=\"200\"} 2\n";
    let metrics = reloading.metrics().await;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn trust_changes_for_the_next_connection_and_not_for_those_that_are_open() {
    let origin = Origin::start().await;
    for path in ["/a", "/b", "/c"] {
        origin.on(path, ok(""));
    }
    let address = free_address();
    let reloading = Reloading::start(&origin, &listen("web", address));
    let forwarded = |path| request("GET", path, &[("X-Forwarded-For", "203.0.113.9")], "");
    let mut kept = Connection::open(address).await;
    kept.send(forwarded("/a")).await;
    kept.answer().await;

    let trusting = listen("web", address) + "trusted_proxies = [\"127.0.0.0/8\"]\n";
    let report = reloading.apply(&trusting).await;
    assert!(report.opened.is_empty() && report.closed.is_empty(), "the socket stays");

    kept.send(forwarded("/b")).await;
    kept.answer().await;
    let mut fresh = Connection::open(address).await;
    fresh.send(forwarded("/c")).await;
    fresh.answer().await;
    let seen = |path| origin.last(path).head.field("x-forwarded-for").unwrap_or_default();
    assert!(!seen("/b").contains("203.0.113.9"), "{}", seen("/b"));
    assert!(seen("/c").contains("203.0.113.9"), "{}", seen("/c"));
}

#[tokio::test]
async fn admin_addresses_come_and_go_as_well() {
    let origin = Origin::start().await;
    let (one, other) = (free_address(), free_address());
    let admin = |address: SocketAddr| format!("[admin]\nlisten = [\"{address}\"]\n");
    let reloading = Reloading::start(&origin, &admin(one));
    let mut kept = Connection::open(one).await;

    let report = reloading.apply(&admin(other)).await;

    assert_eq!(report.opened, [format!("admin http://{other}")]);
    assert_eq!(get(other, "/healthz").await, "ok\n");
    refused(one).await;
    kept.send(request("GET", "/healthz", &[], "")).await;
    assert_eq!(kept.answer().await.text(), "ok\n");
    // The interface can be switched off and on again.
    reloading.apply("[admin]\nlisten = []\n").await;
    refused(other).await;
    reloading.apply(&admin(other)).await;
    assert_eq!(get(other, "/healthz").await, "ok\n");
}
