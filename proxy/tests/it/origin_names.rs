//! Servers that are named: their names are looked up while requests come, and change, fail and
//! recover. Unix sockets have no name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use process::clock::Clock;
use settings::{Balance, Config, ServerAddress, ServerSettings};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};
use tokio::time::{Instant, sleep};

use crate::support::origin::{Gate, Origin, ok};
use crate::support::proxy::{Proxy, START};
use crate::support::{in_time, until};

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../src/origins/names/tests/dns_server.rs"]
mod dns_server;

use dns_server::{DnsServer, Manner};

const NOTHING: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn server(address: ServerAddress) -> ServerSettings {
    ServerSettings { address, weight: 1 }
}

fn authority(name: &str, port: u16) -> Authority {
    format!("{name}:{port}").parse().unwrap()
}

/// Starts a proxy whose only entry of servers is this one.
fn proxy_of(dns: &DnsServer, address: ServerAddress, change: impl FnOnce(&mut Config)) -> Proxy {
    Proxy::start_at(NOTHING, Clock::manual(START), |config| {
        config.origins[0].servers = vec![server(address)];
        config.dns.servers = vec![dns.address];
        change(config);
    })
}

/// Starts two origins on the same port of two addresses, 127.0.0.1 and 127.0.0.2.
async fn two_origins() -> (Origin, Origin) {
    let one = Origin::start().await;
    let other = SocketAddr::from(([127, 0, 0, 2], one.address.port()));
    let other = Origin::start_at(other).await;
    for (origin, name) in [(&one, "one"), (&other, "other")] {
        origin.on("/a", ok(name).field("cache-control", "no-store"));
    }
    (one, other)
}

#[tokio::test]
async fn a_name_that_changes_under_load_costs_no_request() {
    for address in [ServerAddress::Host, ServerAddress::Dns] {
        let (one, other) = two_origins().await;
        let dns = DnsServer::start().await;
        dns.set("app.test", 1, &["127.0.0.1"]);
        let address = address(authority("app.test", one.address.port()));
        let proxy = proxy_of(&dns, address, |_| {});

        let mut changed = None;
        let start = Instant::now();
        loop {
            let answers = [proxy.get("/a"), proxy.get("/a"), proxy.get("/a")];
            for answer in answers {
                let answer = answer.await;
                assert_eq!(answer.status(), 200, "{}", answer.text());
                assert!(changed.is_some() || answer.text() == "one");
            }
            if changed.is_none() && one.count("/a") > 50 {
                dns.set("app.test", 1, &["127.0.0.2"]);
                changed = Some(Instant::now());
            }
            let late = changed.is_some_and(|at: Instant| at.elapsed() > Duration::from_secs(5));
            assert!(!late && start.elapsed() < Duration::from_secs(20), "it is never used");
            if other.count("/a") > 50 {
                break;
            }
        }
        in_time("the end of old connections", async {
            let mut last = 1;
            while last > 0 {
                one.forget();
                for _ in 0..20 {
                    assert_eq!(proxy.get("/a").await.status(), 200);
                }
                last = one.count("/a");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_is_missing_in_one_answer_keeps_the_order_it_was_given() {
    let (one, _other) = two_origins().await;
    let dns = DnsServer::start().await;
    dns.set("app.test", 1, &["127.0.0.1", "127.0.0.2"]);
    let port = one.address.port();
    let proxy = proxy_of(&dns, ServerAddress::Dns(authority("app.test", port)), |_| {});
    proxy.get("/a").await;
    let origins = proxy.app.origins();
    let origin = origins.first();
    let name = format!("127.0.0.2:{port}");
    let path = format!("/api/v1/origins/app/servers/{name}");
    let disabled = proxy.ask_admin("PATCH", &path, &[], r#"{"state": "disabled"}"#).await;
    assert_eq!(disabled.status(), 200, "{}", disabled.text());

    dns.set("app.test", 1, &["127.0.0.1"]);
    until("it has left", || origin.reports().len() == 1).await;
    dns.set("app.test", 1, &["127.0.0.1", "127.0.0.2"]);
    until("it is back", || origin.reports().len() == 2).await;
    let reports = origin.reports();
    let back = reports.iter().find(|server| server.name == name).unwrap();
    assert_eq!(format!("{:?}", back.health.assigned), "Disabled");
}

#[tokio::test]
async fn a_request_in_flight_outlives_its_server_in_the_name() {
    let (one, other) = two_origins().await;
    let gate = Gate::closed();
    one.on("/slow", ok("slow").after(&gate));
    let dns = DnsServer::start().await;
    dns.set("app.test", 1, &["127.0.0.1"]);
    let address = ServerAddress::Dns(authority("app.test", one.address.port()));
    let proxy = proxy_of(&dns, address, |_| {});

    let mut client = proxy.begin("/slow", &[]).await;
    one.seen("/slow", 1).await;
    dns.set("app.test", 1, &["127.0.0.2"]);
    in_time("the change", async {
        while proxy.get("/a").await.text() != "other" {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    gate.open();
    assert_eq!(client.answer().await.status(), 200);
    assert!(other.count("/a") > 0);
}

#[tokio::test]
async fn each_address_of_a_name_takes_its_part() {
    let (one, other) = two_origins().await;
    let dns = DnsServer::start().await;
    dns.set("app.test", 60, &["127.0.0.1", "127.0.0.2"]);
    let address = ServerAddress::Dns(authority("app.test", one.address.port()));
    let proxy = proxy_of(&dns, address, |config| {
        config.origins[0].keepalive = 0;
        config.origins[0].balance = Balance::RoundRobin;
    });

    for _ in 0..20 {
        assert_eq!(proxy.get("/a").await.status(), 200);
    }
    assert!(one.count("/a") >= 5 && other.count("/a") >= 5);
}

#[tokio::test]
async fn the_last_good_answer_is_used_while_dns_fails() {
    let (one, other) = two_origins().await;
    let dns = DnsServer::start().await;
    dns.set("app.test", 1, &["127.0.0.1"]);
    let address = ServerAddress::Dns(authority("app.test", one.address.port()));
    let proxy = proxy_of(&dns, address, |config| config.origins[0].keepalive = 0);
    assert_eq!(proxy.get("/a").await.text(), "one");

    dns.set("app.test", 1, &["127.0.0.2"]);
    for manner in [Manner::Fails, Manner::Swallows] {
        dns.behave(manner);
        let asked = dns.questions().len();
        until("a look-up that fails", || dns.questions().len() > asked + 1).await;
        assert_eq!(proxy.get("/a").await.text(), "one");
    }
    dns.behave(Manner::Answers);
    in_time("the new answer", async {
        while proxy.get("/a").await.text() != "other" {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(other.count("/a") > 0);
}

#[tokio::test]
async fn no_request_waits_for_a_look_up_once_there_was_an_answer() {
    let (one, _other) = two_origins().await;
    let dns = DnsServer::start().await;
    dns.set("app.test", 1, &["127.0.0.1"]);
    let address = ServerAddress::Host(authority("app.test", one.address.port()));
    let proxy = proxy_of(&dns, address, |config| config.origins[0].keepalive = 0);
    assert_eq!(proxy.get("/a").await.text(), "one");

    dns.behave(Manner::AnswersAfter(Duration::from_secs(4)));
    let asked = dns.questions().len();
    until("another look-up", || dns.questions().len() > asked).await;
    let start = Instant::now();
    assert_eq!(proxy.get("/a").await.text(), "one");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_and_found_when_it_does() {
    let (one, _other) = two_origins().await;
    let addresses: [fn(Authority) -> ServerAddress; 2] = [ServerAddress::Host, ServerAddress::Dns];
    for address in addresses {
        let dns = DnsServer::start().await;
        let address = address(authority("app.test", one.address.port()));
        let proxy = proxy_of(&dns, address, |_| {});

        let answer = proxy.get("/a").await;
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.field("proxy-status").unwrap(), "shellac; error=dns_error");
        dns.set("app.test", 1, &["127.0.0.1"]);
        in_time("the name", async {
            while proxy.get("/a").await.status() != 200 {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
        let lookups = "shellac_dns_lookups_total{name=\"app.test\",result=\"no_records\"} ";
        assert!(metrics.text().contains(lookups), "{}", metrics.text());
    }
}

#[tokio::test]
async fn srv_records_of_the_lowest_priority_are_used_and_then_the_next() {
    let (one, other) = (Origin::start().await, Origin::start().await);
    for (origin, name) in [(&one, "one"), (&other, "other")] {
        origin.on("/a", ok(name).field("cache-control", "no-store"));
    }
    let dns = DnsServer::start().await;
    dns.set("a.test", 60, &["127.0.0.1"]);
    let (first, second) = (one.address.port(), other.address.port());
    let both = [(1, 10, first, "a.test."), (2, 10, second, "a.test.")];
    dns.set_services("_http._tcp.app.test", 1, &both);
    let address = ServerAddress::Srv("_http._tcp.app.test".to_owned());
    let proxy = proxy_of(&dns, address, |config| config.origins[0].keepalive = 0);

    for _ in 0..10 {
        assert_eq!(proxy.get("/a").await.text(), "one");
    }
    dns.set_services("_http._tcp.app.test", 1, &both[1..]);
    in_time("the other one", async {
        while proxy.get("/a").await.text() != "other" {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn servers_of_a_name_stay_when_other_settings_are_replaced() {
    let (one, _other) = two_origins().await;
    let dns = DnsServer::start().await;
    dns.set("app.test", 1, &["127.0.0.1"]);
    let address = ServerAddress::Dns(authority("app.test", one.address.port()));
    let proxy = proxy_of(&dns, address, |_| {});
    assert_eq!(proxy.get("/a").await.text(), "one");
    dns.behave(Manner::Swallows);

    let mut config = proxy.app.config.clone();
    config.origins[0].first_byte_timeout = Duration::from_secs(7);
    config.dns.timeout = Duration::from_secs(1);
    proxy.app.reconfigure(&config);
    assert_eq!(proxy.get("/a").await.text(), "one");
    assert_eq!(one.last("/a").connection, 0, "its connection, too");
}

#[tokio::test]
async fn a_server_may_be_a_unix_socket() {
    let origin = Origin::start().await;
    origin.on("/a", ok("a").field("cache-control", "no-store"));
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = origin.address;
    drop(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut origin = TcpStream::connect(address).await.unwrap();
            drop(tokio::spawn(async move { copy_bidirectional(&mut stream, &mut origin).await }));
        }
    }));
    let proxy = Proxy::start_at(NOTHING, Clock::manual(START), |config| {
        config.origins[0].servers = vec![server(ServerAddress::Unix(path))];
        config.origins[0].host_header = settings::HostHeader::Server;
    });

    for _ in 0..3 {
        assert_eq!(proxy.get("/a").await.text(), "a");
    }
    assert_eq!(origin.last("/a").connection, 0, "it is kept");
    assert_eq!(origin.last("/a").head.field("host").unwrap(), "localhost");
}

#[tokio::test]
async fn a_unix_socket_that_nobody_listens_on_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let proxy = Proxy::start_at(NOTHING, Clock::manual(START), |config| {
        config.origins[0].servers = vec![server(ServerAddress::Unix(path))];
    });

    let answer = proxy.get("/a").await;
    assert_eq!(answer.field("proxy-status").unwrap(), "shellac; error=connection_refused");
}
