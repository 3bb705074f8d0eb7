//! Several origins: the first that claims a request by host and path serves it.

use std::net::SocketAddr;

use settings::{Config, OriginSettings, Sources};

use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::Proxy;

/// Reads `[origin.NAME]` tables with these claims. Each has one server.
fn origins(tables: &[(&str, &str, SocketAddr)]) -> Vec<OriginSettings> {
    let table = |(name, claims, server): &(&str, &str, SocketAddr)| {
        format!("[origin.{name}]\nservers = [\"{server}\"]\n{claims}\n")
    };
    let text = tables.iter().map(table).collect();
    let file = Some(("config.toml".to_owned(), text));
    let config = Config::load(&Sources { file, ..Sources::default() });
    config.map(|config| config.origins).unwrap_or_default()
}

fn host(name: &str) -> [(&str, &str); 1] {
    [("Host", name)]
}

#[tokio::test]
async fn requests_go_to_the_origin_of_their_host_and_path() {
    let (app, api) = (Origin::start().await, Origin::start().await);
    for origin in [&app, &api] {
        origin.on("/api/x", cacheable("x"));
        origin.on("/x", cacheable("x"));
    }
    let proxy = Proxy::start_with(&app, |config| {
        config.origins = origins(&[
            ("api", "hosts = [\"a.example\"]\npaths = [\"/api/**\"]", api.address),
            ("app", "hosts = [\"*.example\"]", app.address),
        ]);
    });

    for (name, path, counts) in [
        ("a.example", "/api/x", (1, 0)),
        ("A.example:8080", "/api/x", (2, 0)),
        ("b.example", "/api/x", (2, 1)),
        ("a.example", "/x", (2, 1)),
    ] {
        assert_eq!(proxy.get_with(path, &host(name)).await.status(), 200, "{name} {path}");
        assert_eq!((api.count("/api/x"), app.count("/api/x")), counts, "{name} {path}");
    }
    assert_eq!((api.count("/x"), app.count("/x")), (0, 1));
}

#[tokio::test]
async fn a_request_that_no_origin_claims_gets_a_404_that_says_so() {
    let app = Origin::start().await;
    app.on("/a", cacheable("a"));
    let proxy = Proxy::start_with(&app, |config| {
        config.origins = origins(&[("app", "hosts = [\"a.example\"]", app.address)]);
    });

    assert_eq!(proxy.get_with("/a", &host("a.example")).await.status(), 200);
    let answer = proxy.get_with("/a", &host("b.example")).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.cache_status(), "detail=unclaimed");
    assert_eq!(answer.field("proxy-status").unwrap(), "shellac; error=destination_not_found");
    assert_eq!(answer.field("cache-control").unwrap(), "no-store");
    assert_eq!(app.all_received().len(), 1);
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    assert!(metrics.text().contains("\nshellac_requests_unclaimed_total 1\n"));
}

#[tokio::test]
async fn claims_change_with_a_reload_and_what_is_stored_stays() {
    let (app, other) = (Origin::start().await, Origin::start().await);
    for origin in [&app, &other] {
        origin.on("/stored", cacheable("a"));
        origin.on("/new", cacheable("b"));
    }
    let proxy = Proxy::start(&app);
    proxy.get("/stored").await;

    let mut config = proxy.app.config.clone();
    config.origins = origins(&[
        ("app", "paths = [\"/app/**\"]", app.address),
        ("other", "paths = [\"/new\"]", other.address),
    ]);
    proxy.app.reconfigure(&config);

    assert!(proxy.get("/stored").await.is_hit());
    assert_eq!(proxy.get("/new").await.text(), "b");
    assert_eq!((app.count("/new"), other.count("/new")), (0, 1));
    assert_eq!(proxy.get("/x").await.status(), 404);
}
