//! Who the client is: PROXY protocol headers and forwarded fields of trusted peers, and the limits
//! of one peer.

use settings::{ClientFields, Config, ProxyProtocol};

use crate::support::client::Connection;
use crate::support::in_time;
use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::{Proxy, request};

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n";

fn trust(config: &mut Config) {
    config.listen[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

fn with_proxy_protocol(origin: &Origin, wanted: ProxyProtocol) -> Proxy {
    Proxy::start_with(origin, |config| {
        config.listen[0].proxy_protocol = wanted;
        trust(config);
    })
}

/// Returns a header of version 2 with these addresses and attributes.
fn binary(command: u8, attributes: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, 0x11, 0, u8::try_from(12 + attributes.len()).unwrap()]);
    header.extend([192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb]);
    header.extend(attributes);
    header
}

async fn metric(proxy: &Proxy, line: &str) -> bool {
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    metrics.text().lines().any(|given| given == line)
}

#[tokio::test]
async fn a_proxy_protocol_header_names_the_client() {
    let origin = Origin::start().await;
    origin.on("/a", ok("").field("cache-control", "no-store"));
    for wanted in [ProxyProtocol::Optional, ProxyProtocol::Required] {
        let proxy = with_proxy_protocol(&origin, wanted);
        for header in [LINE.as_bytes().to_vec(), binary(0x21, &[])] {
            let mut client = proxy.connect().await;
            client.send([&header[..], request("GET", "/a", &[], "").as_bytes()].concat()).await;
            assert_eq!(client.answer().await.status(), 200);
            client.send(request("GET", "/a", &[("X-Forwarded-For", "10.9.9.9")], "")).await;
            assert_eq!(client.answer().await.status(), 200, "the connection is kept");
            let head = origin.last("/a").head;
            assert_eq!(head.field("x-forwarded-for").unwrap(), "192.0.2.1", "it is not trusted");
            assert_eq!(head.field("x-real-ip").unwrap(), "192.0.2.1");
        }
        let names = "shellac_proxy_protocol_headers_total{names=\"client\"} 2";
        assert!(metric(&proxy, names).await);
    }
}

#[tokio::test]
async fn a_header_before_http2_is_taken_as_well() {
    let origin = Origin::start().await;
    let proxy = with_proxy_protocol(&origin, ProxyProtocol::Required);
    let mut client = proxy.connect().await;
    client
        .send([LINE.as_bytes(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"].concat())
        .await;
    let settings = client.bytes(4).await;
    assert_eq!(settings[3], 4, "a SETTINGS frame");
}

#[tokio::test]
async fn a_local_header_leaves_the_peer_as_it_is() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = with_proxy_protocol(&origin, ProxyProtocol::Required);
    let mut client = proxy.connect().await;
    let asked = request("GET", "/a", &[("X-Forwarded-For", "192.0.2.7")], "");
    client.send([&binary(0x20, &[])[..], asked.as_bytes()].concat()).await;
    assert_eq!(client.answer().await.status(), 200);
    let head = origin.last("/a").head;
    assert_eq!(head.field("x-forwarded-for").unwrap(), "192.0.2.7, 127.0.0.1");
    assert_eq!(head.field("x-real-ip").unwrap(), "192.0.2.7");
}

#[tokio::test]
async fn a_client_without_an_address_has_nothing_of_its_load_balancers_rights() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.listen[0].proxy_protocol = ProxyProtocol::Required;
        trust(config);
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap(), "unix:".parse().unwrap()];
    });
    let unknown_family = {
        let mut header = binary(0x21, &[]);
        header[13] = 0x41;
        header
    };
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), unknown_family] {
        let mut client = proxy.connect().await;
        let claims = [
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "victim.example"),
        ];
        let asked = request("GET", "/a", &claims, "");
        client.send([&header[..], asked.as_bytes()].concat()).await;
        assert_eq!(client.answer().await.status(), 200);
        let head = origin.last("/a").head;
        assert!(!head.has("x-forwarded-for") && !head.has("x-real-ip"));
        assert_eq!(head.field("x-forwarded-proto").unwrap(), "http");
        assert_ne!(head.field("x-forwarded-host").unwrap(), "victim.example");
        client.send(request("PURGE", "/a", &[], "")).await;
        assert_eq!(client.answer().await.status(), 403);
    }
    assert!(metric(&proxy, "shellac_proxy_protocol_headers_total{names=\"unknown\"} 2").await);
    let mut itself = proxy.connect().await;
    let purge = request("PURGE", "/a", &[], "");
    itself.send([&binary(0x20, &[])[..], purge.as_bytes()].concat()).await;
    assert_eq!(itself.answer().await.status(), 200);
}

#[tokio::test]
async fn the_attribute_of_tls_makes_the_scheme_https() {
    let origin = Origin::start().await;
    origin.script("/a", |request| cacheable(&request.head.field("x-forwarded-proto").unwrap()));
    let proxy = with_proxy_protocol(&origin, ProxyProtocol::Required);
    for (client, scheme) in [(1, "https"), (0, "http")] {
        let header = binary(0x21, &[0x20, 0, 5, client, 0, 0, 0, 0]);
        let mut client = proxy.connect().await;
        client.send([&header[..], request("GET", "/a", &[], "").as_bytes()].concat()).await;
        assert_eq!(client.answer().await.text(), scheme);
    }
}

#[tokio::test]
async fn connections_without_the_header_that_is_due_are_closed_and_counted() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let plain = request("GET", "/a", &[], "");
    let with_line = [LINE, &plain].concat();
    let torn = ["PROXY TCP4 nonsense\r\n", &plain].concat();
    for (wanted, is_trusted, bytes, reason) in [
        (ProxyProtocol::Required, true, &plain, Some("missing")),
        (ProxyProtocol::Required, false, &with_line, Some("untrusted")),
        (ProxyProtocol::Optional, false, &with_line, Some("untrusted")),
        (ProxyProtocol::Optional, true, &torn, Some("malformed")),
        (ProxyProtocol::Optional, true, &plain, None),
        (ProxyProtocol::Optional, false, &plain, None),
    ] {
        let proxy = Proxy::start_with(&origin, |config| {
            config.listen[0].proxy_protocol = wanted;
            let network = if is_trusted { "127.0.0.0/8" } else { "10.0.0.0/8" };
            config.listen[0].trusted_proxies = vec![network.parse().unwrap()];
        });
        let mut client = proxy.connect().await;
        client.try_send(bytes).await;
        let Some(reason) = reason else {
            assert_eq!(client.answer().await.status(), 200);
            continue;
        };
        assert_eq!(client.until_closed().await, b"", "{wanted:?} {is_trusted}");
        let line = format!("shellac_proxy_protocol_refused_total{{reason=\"{reason}\"}} 1");
        assert!(metric(&proxy, &line).await, "{line}");
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn purges_are_allowed_by_the_address_that_a_trusted_peer_gives() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.listen[0].proxy_protocol = ProxyProtocol::Optional;
        trust(config);
        config.purge.allow = vec!["192.0.2.0/24".parse().unwrap()];
    });
    for (source, status) in [("192.0.2.1", 200), ("198.51.100.9", 403)] {
        let mut client = proxy.connect().await;
        let line = format!("PROXY TCP4 {source} 198.51.100.2 4711 443\r\n");
        client.send([line, request("PURGE", "/a", &[], "")].concat()).await;
        assert_eq!(client.answer().await.status(), status, "{source}");
    }
    assert_eq!(proxy.ask("PURGE", "/a", &[]).await.status(), 403, "the peer itself");
}

#[tokio::test]
async fn the_client_is_the_last_one_that_is_not_trusted() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| {
        trust(config);
        config.listen[0].trusted_proxies.push("10.0.0.0/8".parse().unwrap());
    });
    let list = [("X-Forwarded-For", "203.0.113.9, 192.0.2.1, 10.0.0.2"), ("X-Real-IP", "10.6.6.6")];
    proxy.get_with("/a", &list).await;
    let head = origin.last("/a").head;
    assert_eq!(head.field("x-real-ip").unwrap(), "192.0.2.1");
    assert_eq!(
        head.field("x-forwarded-for").unwrap(),
        "203.0.113.9, 192.0.2.1, 10.0.0.2, 127.0.0.1"
    );
    assert_eq!(head.field("x-forwarded-port").unwrap(), "80");
}

#[tokio::test]
async fn forwarded_is_believed_where_the_listener_says_so() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| {
        trust(config);
        config.listen[0].client_fields = ClientFields::Forwarded;
    });
    let says = [
        ("Forwarded", "for=192.0.2.1;proto=https;host=www.example"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Host", "evil.example"),
    ];
    proxy.get_with("/a", &says).await;
    let head = origin.last("/a").head;
    assert_eq!(head.field("x-forwarded-for").unwrap(), "192.0.2.1, 127.0.0.1");
    assert_eq!(head.field("x-forwarded-host").unwrap(), "www.example");
    assert_eq!(head.field("x-forwarded-proto").unwrap(), "https");
    assert_eq!(head.field("x-forwarded-port").unwrap(), "443");
    assert!(!head.has("forwarded"));
}

#[tokio::test]
async fn a_scheme_that_is_not_believed_is_counted() {
    let origin = Origin::start().await;
    origin.on("/a", ok("a").field("cache-control", "no-store"));
    for (is_trusted, count) in [(false, 2), (true, 0)] {
        let proxy = Proxy::start_with(&origin, |config| {
            if is_trusted {
                trust(config);
            }
        });
        for fields in [&[("X-Forwarded-Proto", "https")][..], &[("x-forwarded-proto", "http")], &[]]
        {
            proxy.get_with("/a", fields).await;
        }
        let line = format!("shellac_http_untrusted_schemes_total {count}");
        assert!(metric(&proxy, &line).await, "{line}");
    }
}

#[tokio::test]
async fn one_peer_has_no_more_connections_than_it_may_have() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("a"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.limits.max_connections_per_peer = Some(2);
    });
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = proxy.connect().await;
        client.send(request("GET", "/a", &[], "")).await;
        assert_eq!(client.answer().await.status(), 200);
        kept.push(client);
    }
    let mut third = proxy.connect().await;
    assert_eq!(third.until_closed().await, b"");
    assert!(metric(&proxy, "shellac_http_peer_limit_reached_total 1").await);
    kept.clear();
    in_time("room for another one", async {
        loop {
            let mut client = Connection::open(proxy.address).await;
            client.try_send(request("GET", "/a", &[("Connection", "close")], "")).await;
            if !client.until_closed().await.is_empty() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn trusted_peers_have_no_limit_and_their_clients_do() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("a"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.limits.max_connections_per_peer = Some(1);
        config.listen[0].proxy_protocol = ProxyProtocol::Optional;
        trust(config);
    });
    let mut kept = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        client.send(request("GET", "/a", &[], "")).await;
        assert_eq!(client.answer().await.status(), 200);
        kept.push(client);
    }
    for is_first in [true, false] {
        let mut client = proxy.connect().await;
        client.try_send([LINE, &request("GET", "/a", &[], "")].concat()).await;
        if is_first {
            assert_eq!(client.answer().await.status(), 200);
            kept.push(client);
        } else {
            assert_eq!(client.until_closed().await, b"");
        }
    }
}

#[tokio::test]
async fn of_two_lines_of_a_trusted_peer_none_is_believed() {
    let origin = Origin::start().await;
    origin.on("/a", ok("a").field("cache-control", "no-store"));
    let proxy = Proxy::start_with(&origin, trust);

    let hosts = [("X-Forwarded-Host", "client.example"), ("X-Forwarded-Host", "site.example")];
    assert_eq!(proxy.get_with("/a", &hosts).await.status(), 400);
    let schemes = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")];
    proxy.get_with("/a", &schemes).await;
    assert_eq!(origin.last("/a").head.field("x-forwarded-proto").as_deref(), Some("http"));
}
