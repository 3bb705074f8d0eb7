//! What crosses the proxy and what does not (RFC 9110 §7.6): the bytes that the origin and the
//! client receive.

use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn the_origin_sees_the_request_and_our_trace_and_nothing_of_the_connection() {
    let origin = Origin::start().await;
    origin.on("/a?x=%2F&y", cacheable(""));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client
        .send(
            "GET /a?x=%2F&y HTTP/1.1\r\nHost: Site.Example:80\r\nX-Request-ID: r-1\r\nAccept: */*\r\n\
             Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
             Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n",
        )
        .await;
    client.answer().await;

    let head = origin.last("/a?x=%2F&y").head;
    let mut lines: Vec<_> = head.text.lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(head.line(), "GET /a?x=%2F&y HTTP/1.1");
    assert_eq!(
        lines,
        [
            "accept: */*",
            "host: site.example",
            "via: 1.1 shellac",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: site.example",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
            "x-real-ip: 127.0.0.1",
            "x-request-id: r-1",
            "x-twice: 1",
            "x-twice: 2",
        ]
    );
}

#[tokio::test]
async fn an_upgrade_to_http2_stays_here() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);

    let upgrade = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ];
    let answer = proxy.get_with("/a", &upgrade).await;

    assert_eq!(answer.status(), 200);
    let head = origin.last("/a").head;
    assert!(!["connection", "upgrade", "http2-settings"].iter().any(|name| head.has(name)));
}

#[tokio::test]
async fn the_client_sees_nothing_of_the_origins_connection() {
    let origin = Origin::start().await;
    let hops = [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
    ];
    let with = |reply| {
        hops.iter().fold(reply, |reply: crate::support::origin::Reply, (name, value)| {
            reply.field(name, value)
        })
    };
    origin.on("/stored", with(cacheable("")));
    origin.on("/private", with(ok("").field("cache-control", "private")));
    origin.on("/posted", with(ok("")));
    let proxy = Proxy::start(&origin);

    for answer in [
        proxy.get("/stored").await,
        proxy.get("/stored").await,
        proxy.get("/private").await,
        proxy.get("/private").await,
        proxy.post("/posted", "x").await,
    ] {
        for (name, _) in hops {
            assert!(!answer.head.has(name), "{name}: {}", answer.head.text);
        }
    }
}

#[tokio::test]
async fn what_an_untrusted_client_says_of_its_way_is_not_believed() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);

    let claims = [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "444"),
        ("X-Forwarded-Prefix", "/x"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Host", "evil.example"),
    ];
    proxy.get_with("/a", &claims).await;

    let head = origin.last("/a").head;
    assert_eq!(head.field("x-forwarded-for").unwrap(), "127.0.0.1");
    assert_eq!(head.field("x-forwarded-proto").unwrap(), "http");
    assert_eq!(head.field("x-forwarded-host").unwrap(), "site.example");
    assert_eq!(head.field("x-forwarded-port").unwrap(), "80");
    assert_eq!(head.field("x-real-ip").unwrap(), "127.0.0.1");
    for (name, _) in &claims[4..] {
        assert!(*name == "X-Real-IP" || !head.has(name), "{name}");
    }
}

#[tokio::test]
async fn what_a_trusted_peer_says_is_believed_and_completed() {
    let origin = Origin::start().await;
    origin.script("/a", |request| cacheable(&request.head.field("x-forwarded-proto").unwrap()));
    let proxy = Proxy::start_with(&origin, |config| {
        config.listen[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });

    let says = [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.example"),
        ("Via", "1.0 balancer"),
    ];
    let secure = proxy.get_with("/a", &says).await;

    let head = origin.last("/a").head;
    assert_eq!(head.field("x-forwarded-for").unwrap(), "10.0.0.1, 127.0.0.1");
    assert_eq!(head.field("x-forwarded-host").unwrap(), "www.example");
    assert_eq!(head.field("via").unwrap(), "1.0 balancer, 1.1 shellac");
    assert_eq!(secure.text(), "https");
    assert_eq!(proxy.get("/a").await.text(), "http"); // another key
    assert!(proxy.get_with("/a", &says).await.is_hit());
    let purged = proxy.purge(r#"{"urls":["http://www.example/a","http://site.example/a"]}"#).await;
    assert_eq!(purged["matched"]["objects"], 2, "the host that a trusted peer names is the key's");
}

#[tokio::test]
async fn nobody_makes_the_renderer_believe_in_another_url_than_the_keys() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| {
        config.listen[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let fields = [
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Forwarded-Prefix", "/x"),
        ("X-Forwarded-Path", "/x"),
        ("Forwarded", "host=evil.example"),
        ("X-Middleware-Subrequest", "middleware"),
    ];

    proxy.get_with("/a", &fields).await;

    let head = origin.last("/a").head;
    for (name, _) in fields {
        assert_eq!(head.field(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_underscore_is_no_way_around_it() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    for trusted in [vec![], vec!["127.0.0.0/8".parse().unwrap()]] {
        let proxy = Proxy::start_with(&origin, |config| config.listen[0].trusted_proxies = trusted);

        let fields = [("X_Forwarded_Host", "evil.example"), ("PATH_INFO", "/x"), ("X_Any", "1")];
        proxy.get_with("/a", &fields).await;

        let head = origin.last("/a").head;
        for (name, _) in fields {
            assert_eq!(head.field(name), None, "{name}: a trusted peer passes it on");
        }
    }
}

#[tokio::test]
async fn a_field_that_connection_names_is_neither_forwarded_nor_part_of_the_variant() {
    let origin = Origin::start().await;
    origin.script("/a", |request| {
        let language = request.head.field("accept-language").unwrap_or_default();
        cacheable(&language).field("vary", "accept-language")
    });
    let proxy = Proxy::start(&origin);

    let german = ("Accept-Language", "de");
    let hidden = proxy.get_with("/a", &[german, ("Connection", "close, Accept-Language")]).await;
    let honest = proxy.get_with("/a", &[german]).await;

    assert_eq!((hidden.text(), honest.text()), ("", "de"));
}

#[tokio::test]
async fn connection_must_not_name_what_a_message_is_framed_or_trusted_by() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for name in ["Host", "Content-Length", "Transfer-Encoding", "X-Forwarded-For", "Cookie"] {
        let answer = proxy.get_with("/a", &[("Connection", name)]).await;
        assert_eq!(answer.status(), 400, "{name}");
    }
    assert_eq!(origin.count("/a"), 0);
}

#[tokio::test]
async fn via_names_the_version_that_the_client_spoke() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);

    let mut old = proxy.connect().await;
    old.send("GET /a HTTP/1.0\r\nHost: site.example\r\n\r\n").await;
    old.answer().await;
    assert_eq!(origin.last("/a").head.field("via").unwrap(), "1.0 shellac");
    assert_eq!(origin.last("/a").head.line(), "GET /a HTTP/1.1");

    let mut new = crate::support::client::Http2::open(proxy.address).await;
    new.get("/a").await.unwrap();
    assert_eq!(origin.last("/a").head.field("via").unwrap(), "2.0 shellac");
}

#[tokio::test]
async fn a_sound_request_id_is_kept_and_any_other_replaced() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start(&origin);
    let long = "x".repeat(129);

    for (given, is_kept) in
        [("trace-1:2/3", true), ("a b", false), ("<script>", false), (&*long, false)]
    {
        proxy.get_with("/a", &[("X-Request-ID", given)]).await;
        let id = origin.last("/a").head.field("x-request-id").unwrap();
        assert_eq!(id == given, is_kept, "{given}");
        assert!(is_kept || id.len() == 36, "{id}");
    }
}

#[tokio::test]
async fn the_operator_chooses_the_host_that_the_origin_sees() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let server = Proxy::start_with(&origin, |config| {
        config.origins[0].host_header = settings::HostHeader::Server;
    });
    let literal = Proxy::start_with(&origin, |config| {
        let name = http::HeaderValue::from_static("app.internal");
        config.origins[0].host_header = settings::HostHeader::Literal(name);
    });

    server.get("/a").await;
    assert_eq!(origin.last("/a").head.field("host").unwrap(), origin.address.to_string());
    literal.get("/a").await;
    assert_eq!(origin.last("/a").head.field("host").unwrap(), "app.internal");
    assert_eq!(origin.last("/a").head.field("x-forwarded-host").unwrap(), "site.example");
}

#[tokio::test]
async fn options_goes_as_far_as_max_forwards_says() {
    let origin = Origin::start().await;
    origin.on("/a", ok("").field("allow", "GET"));
    let proxy = Proxy::start(&origin);

    let here = proxy.ask("OPTIONS", "/a", &[("Max-Forwards", "0")]).await;
    assert_eq!((here.status(), origin.count("/a")), (204, 0));
    assert!(here.field("allow").unwrap().contains("GET"));

    proxy.ask("OPTIONS", "/a", &[("Max-Forwards", "3")]).await;
    assert_eq!(origin.last("/a").head.field("max-forwards").unwrap(), "2");
    proxy.ask("GET", "/a", &[("Max-Forwards", "3")]).await;
    assert_eq!(origin.last("/a").head.field("max-forwards").unwrap(), "3", "none of ours");
}

#[tokio::test]
async fn a_request_that_runs_in_a_circle_ends() {
    let origin = Origin::start().await;
    origin.on("/a", ok("page"));
    let proxy = Proxy::start(&origin);
    let via = |count: usize| vec!["1.1 shellac"; count].join(", ");

    assert_eq!(proxy.get_with("/a", &[("Via", &via(8))]).await.status(), 200);
    let circle = proxy.get_with("/a", &[("Via", &via(9))]).await;

    assert_eq!(circle.status(), 508);
    assert!(circle.field("proxy-status").unwrap().contains("proxy_loop_detected"));
    assert_eq!(origin.count("/a"), 1);
}
