//! What one client can do to what others get: keys, fields outside of the key, error pages,
//! disguised pages, floods.

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, cacheable, ok, status};
use crate::support::proxy::{Proxy, request};

/// Sends a head with this first line and Host on a connection of its own.
async fn ask(proxy: &Proxy, target: &str, host: &str) -> Answer {
    let mut client = proxy.connect().await;
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    client.answer().await
}

/// How many responses are stored.
fn objects(proxy: &Proxy) -> u64 {
    proxy.app.store.usage().objects
}

#[tokio::test]
async fn one_resource_is_one_entry_however_it_is_addressed() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);

    let targets =
        ["/a", "http://site.example/a", "HTTP://SITE.EXAMPLE:80/a", "http://site.example./a"];
    let hosts =
        ["site.example", "SITE.Example", "site.example:80", "site.example.", "Site.EXAMPLE.:80"];
    for target in targets {
        for host in hosts {
            assert_eq!(ask(&proxy, target, host).await.text(), "page", "{target} {host}");
        }
    }

    assert_eq!((origin.count("/a"), objects(&proxy)), (1, 1));
    assert_eq!(origin.last("/a").head.field("host").unwrap(), "site.example");
}

#[tokio::test]
async fn paths_that_differ_in_bytes_are_apart_and_forwarded_unchanged() {
    let paths = [
        "/a/b",
        "/a%2Fb",
        "/a%2fb",
        "/A/b",
        "/a/B",
        "/a//b",
        "//a/b",
        "/a/b/",
        "/a/./b",
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/..%2fb",
        "/a;b",
        "/a%3bb",
        "/a;/b",
        "/a%00",
        "/a%00/b",
        "/%61/b",
        "/a/b?",
        "/a/b?%61",
        "/a/b?a",
        "/a/b?a=",
        "/a/b?A",
        "/a/b?a&a",
        "/a/b?b&a",
        "/a/b?a&b",
        "/a/b%3Fa",
        "/a/b%20",
        "/a/b+",
        "/a/b%2B",
        "/a%5Cb",
        "/a/b%0d%0a",
        "/a/b%",
        "/a/b%zz",
        "/a/b%c3%a9",
        "/a/b:80",
        "/@site/b",
        "/a/b?x=http://evil.example/",
        "/",
    ];
    let origin = Origin::start().await;
    for path in paths {
        origin.on(path, cacheable(path));
    }
    let proxy = Proxy::start(&origin);

    for round in 0..2 {
        for path in paths {
            let answer = proxy.get(path).await;
            assert_eq!((answer.text(), answer.is_hit()), (path, round == 1), "{path}");
        }
    }

    let all: Vec<_> =
        origin.all_received().into_iter().map(|one| one.head.line().to_owned()).collect();
    assert_eq!(all, paths.map(|path| format!("GET {path} HTTP/1.1")));
}

#[tokio::test]
async fn two_hosts_never_share() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin
        .script("/a", move |request| cacheable(&request.head.field("host").unwrap()).after(&held));
    let proxy = Proxy::start(&origin);
    let hosts = [
        "a.example",
        "b.example",
        "a.example:81",
        "a.example:8080",
        "xa.example",
        "a.example.evil",
        "sub.a.example",
        "127.0.0.1",
        "[::1]",
    ];

    let mut clients = Vec::new();
    for host in hosts.iter().chain(&hosts) {
        clients.push(proxy.begin("/a", &[("Host", host)]).await);
    }
    origin.seen("/a", hosts.len()).await;
    gate.open();

    for (client, host) in clients.iter_mut().zip(hosts.iter().chain(&hosts)) {
        assert_eq!(client.answer().await.text(), *host);
    }
    for host in hosts {
        let answer = proxy.get_with("/a", &[("Host", host)]).await;
        assert_eq!((answer.text(), answer.is_hit()), (host, true));
    }
    assert_eq!(origin.count("/a"), hosts.len());
}

/// Fields by which some origin takes another URL, host, scheme or method for the request's.
const OVERRIDES: [&str; 26] = [
    "X-Forwarded-Host",
    "X-Forwarded-Scheme",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Ssl",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-Path",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Method",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-URL-Scheme",
    "X-Real-IP",
    "Front-End-Https",
    "Forwarded",
];

#[tokio::test]
async fn a_field_that_changes_url_or_method_is_not_forwarded() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);
    let mut crossed = Vec::new();

    for name in OVERRIDES {
        let twins = [
            name.to_owned(),
            name.replace('-', "_"),
            name.replacen('-', "_", 1),
            name.to_uppercase(),
        ];
        for name in twins {
            for method in ["GET", "POST"] {
                proxy.ask(method, "/a", &[(&name, "evil")]).await;
                if origin.wire().has("evil") {
                    crossed.push(format!("{method} {name}"));
                }
                origin.forget();
            }
            proxy.purge(r#"{"all":true}"#).await;
        }
    }

    assert!(crossed.is_empty(), "{crossed:?}");
}

#[tokio::test]
async fn a_get_with_content_is_neither_stored_nor_shared() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    origin.script("/a", move |request| {
        cacheable(&String::from_utf8_lossy(&request.content)).after(&held)
    });
    let proxy = Proxy::start(&origin);

    let mut clients = Vec::new();
    for content in ["one", "two", "one", ""] {
        let mut client = proxy.connect().await;
        client.send(request("GET", "/a", &[], content)).await;
        clients.push((client, content));
    }
    origin.seen("/a", 4).await;
    gate.open();

    for (client, content) in &mut clients {
        assert_eq!(client.answer().await.text(), *content);
    }
    let after = proxy.get("/a").await;
    assert_eq!((after.text(), after.is_hit()), ("", true)); // that of the request without content
    assert_eq!(objects(&proxy), 1);
}

#[tokio::test]
async fn an_empty_chunked_get_is_not_shared_either() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("page"));
    let proxy = Proxy::start(&origin);

    let mut client = proxy.connect().await;
    client.send(request("GET", "/a", &[("Transfer-Encoding", "chunked")], "") + "0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "page");

    assert_eq!(objects(&proxy), 0);
}

#[tokio::test]
async fn an_error_that_one_request_provoked_is_stored_for_nobody() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let mut problems = Vec::new();
    for code in [
        "400 Bad Request",
        "413 Content Too Large",
        "414 URI Too Long",
        "428 Precondition Required",
        "429 Too Many Requests",
        "431 Request Header Fields Too Large",
        "501 Not Implemented",
        "511 Network Authentication Required",
    ] {
        let page = status(code, "no").field("cache-control", "public, max-age=60, s-maxage=60");
        origin.on_each("/a", [page.field("etag", "\"1\""), cacheable("page")]);
        let refused = proxy.get_with("/a", &[("X-Provoking", "1")]).await;
        let sound = proxy.get("/a").await;
        assert!(code.starts_with(&refused.status().to_string()), "{code}");
        if sound.text() != "page" || sound.is_hit() {
            problems.push(format!("{code}: {} {}", sound.status(), sound.cache_status()));
        }
        proxy.purge(r#"{"all":true}"#).await;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Extensions that are believed to be static, with the type that their content has.
const STATIC: [(&str, &str); 16] = [
    ("css", "text/css"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript"),
    ("js", "application/javascript; charset=utf-8"),
    ("mjs", "text/javascript"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
    ("ico", "image/x-icon"),
    ("ico", "image/vnd.microsoft.icon"),
    ("woff2", "font/woff2"),
    ("pdf", "application/pdf"),
    ("css", "TEXT/CSS"),
];

#[tokio::test]
async fn a_page_behind_the_name_of_a_static_file_is_not_stored() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let mut problems = Vec::new();
    for extension in ["css", "js", "png", "jpg", "svg", "ico", "woff2", "pdf"] {
        for kind in ["text/html", "text/html; charset=utf-8", "Text/HTML", "application/json"] {
            for path in [
                format!("/account/x.{extension}"),
                format!("/account/x.{extension}?v=1"),
                format!("/account/X.{}", extension.to_uppercase()),
            ] {
                origin.on(&path, cacheable("my account").field("content-type", kind));
                let first = proxy.get(&path).await;
                let second = proxy.get(&path).await;
                let is_refused = first.cache_status().contains("detail=content_type");
                if second.is_hit() || !is_refused {
                    problems.push(format!("{path} {kind}: {}", first.cache_status()));
                }
                proxy.purge(r#"{"all":true}"#).await;
            }
        }
    }
    assert!(problems.is_empty(), "{} rows\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test]
async fn a_static_file_is_stored_under_its_name() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let typed = STATIC.map(|(extension, kind)| (format!("/x.{extension}"), Some(kind)));
    let others = [
        ("/x.css", None),
        ("/x", Some("text/html")),
        ("/", Some("text/html")),
        ("/x.html", Some("text/html")),
        ("/x.php", Some("text/html")),
        ("/x.json", Some("application/json")),
        ("/css", Some("text/html")),
        ("/a.css/x", Some("text/html")),
        ("/x?file=a.css", Some("text/html")),
    ];
    let others = others.map(|(path, kind)| (path.to_owned(), kind));
    for (path, kind) in typed.into_iter().chain(others) {
        let file = cacheable("file");
        let file =
            kind.map_or_else(|| file.clone(), |kind| file.clone().field("content-type", kind));
        origin.on(&path, file);
        proxy.get(&path).await;
        assert!(proxy.get(&path).await.is_hit(), "{path} {kind:?}");
        proxy.purge(r#"{"all":true}"#).await;
    }
}

#[tokio::test]
async fn a_flood_of_variants_fills_one_url_up_to_its_limit() {
    let origin = Origin::start().await;
    origin.script("/a", |request| {
        let variant = request.head.field("x-variant").unwrap_or_default();
        cacheable(&variant).field("vary", "x-variant")
    });
    origin.on("/other", cacheable("other"));
    let proxy = Proxy::start(&origin);
    proxy.get("/other").await;

    for number in 0..200 {
        let variant = format!("{number}");
        assert_eq!(proxy.get_with("/a", &[("X-Variant", &variant)]).await.text(), variant);
    }

    assert_eq!(objects(&proxy), 64 + 1); // cache.vary_max_variants, and the other one
    assert!(proxy.get("/other").await.is_hit());
    assert!(proxy.get_with("/a", &[("X-Variant", "199")]).await.is_hit());
}

/// Ranges that ask for more than there is, or for the same thing again and again.
fn greedy_ranges() -> Vec<String> {
    let many = |spec: &str| format!("bytes={}", vec![spec; 1000].join(","));
    let ascending: Vec<_> = (0..1000).map(|at| format!("{at}-{at}")).collect();
    vec![
        many("0-"),
        many("0-0"),
        many("-1"),
        many("0-9999"),
        format!("bytes={}", ascending.join(",")),
        "bytes=0-,0-,0-".to_owned(),
        "bytes=0-0,1-1".to_owned(),
        "bytes=0-18446744073709551615".to_owned(),
        "bytes=0-18446744073709551616".to_owned(),
        "bytes=18446744073709551615-18446744073709551616".to_owned(),
        "bytes=99999999999999999999999-".to_owned(),
        "bytes=-18446744073709551616".to_owned(),
        "bytes=0-9223372036854775808".to_owned(),
        "bytes=-0".to_owned(),
        "bytes=9999-0".to_owned(),
        "bytes=0-\r\nRange: bytes=0-".to_owned(),
    ]
}

#[tokio::test]
async fn a_greedy_range_is_answered_with_no_more_than_the_whole() {
    let origin = Origin::start().await;
    let content = "0123456789".repeat(1000);
    let proxy = Proxy::start(&origin);
    let private = || ok(&content).field("cache-control", "private");
    origin.on("/stored", cacheable(&content));
    origin.on("/private", private());
    proxy.get("/stored").await;
    let mut problems = Vec::new();

    for (number, range) in greedy_ranges().iter().enumerate() {
        let cold = format!("/cold/{number}");
        origin.on(&cold, cacheable(&content));
        origin.forget();
        for (path, cookie) in
            [("/stored", ""), (&*cold, ""), ("/private", ""), ("/stored", "session=1")]
        {
            let cookie = [("Range", &**range), ("Cookie", cookie)];
            let fields = if cookie[1].1.is_empty() { &cookie[..1] } else { &cookie[..] };
            let answer = proxy.get_with(path, fields).await;
            let start = range.get(..30).unwrap_or(range);
            assert!(matches!(answer.status(), 200 | 206 | 416), "{path} {start}");
            assert!(answer.content.len() <= content.len(), "{path} {start}");
            let kind = answer.field("content-type").unwrap_or_default();
            assert!(!kind.starts_with("multipart"), "{path} {start}");
        }
        for received in origin.all_received() {
            let ranges: Vec<_> = received.head.fields("range").collect();
            if ranges.len() > 1 || ranges.iter().any(|range| range.contains(',')) {
                let cookie = received.head.field("cookie").unwrap_or_default();
                let range = range.get(..30).unwrap_or(range);
                problems.push(format!("{} {cookie:?} {range:?}", received.head.line()));
            }
        }
    }
    assert!(problems.is_empty(), "several ranges crossed\n{}", problems.join("\n"));
}
