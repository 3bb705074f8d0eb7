//! Settings that are replaced while the proxy runs hold from the next request on, on connections
//! that are open, too.

use std::time::Duration;

use settings::OtherCookies;

use crate::support::origin::{Origin, cacheable, ok};
use crate::support::proxy::{Proxy, request};

#[tokio::test]
async fn a_cookie_rule_holds_from_the_next_request_of_a_kept_connection() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    let mut client = proxy.connect().await;
    let themed = request("GET", "/a", &[("Cookie", "theme=1")], "");

    client.send(themed.clone()).await;
    let bypassed = client.answer().await;
    assert_eq!(bypassed.cache_status(), "fwd=bypass; fwd-status=200; detail=cookie");
    let mut config = proxy.app.config.clone();
    config.cookies.otherwise = OtherCookies::Drop;
    proxy.app.reconfigure(&config);

    client.send(themed.clone()).await;
    assert!(client.answer().await.cache_status().starts_with("fwd=uri-miss"));
    assert!(!origin.last("/a").head.has("cookie"));
    client.send(themed).await;
    assert!(client.answer().await.is_hit());
}

#[tokio::test]
async fn a_freshness_setting_holds_from_the_next_response_on() {
    let origin = Origin::start().await;
    origin.on("/a", ok("hello"));
    let proxy = Proxy::start(&origin);
    let mut client = proxy.connect().await;
    let plain = request("GET", "/a", &[], "");
    for _ in 0..2 {
        client.send(plain.clone()).await;
        assert!(!client.answer().await.is_hit(), "it states no lifetime");
    }
    proxy.advance(proxy.app.config.cache.uncacheable_for.as_secs() + 1);

    let mut config = proxy.app.config.clone();
    config.cache.default_ttl = Duration::from_secs(10);
    proxy.app.reconfigure(&config);

    client.send(plain.clone()).await;
    assert!(!client.answer().await.is_hit());
    client.send(plain).await;
    assert!(client.answer().await.is_hit());
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn a_hit_that_was_just_rendered_is_rendered_anew_under_other_settings() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    let mut client = proxy.connect().await;
    let plain = request("GET", "/a", &[], "");
    for _ in 0..4 {
        client.send(plain.clone()).await;
        assert_eq!(client.answer().await.field("via").unwrap(), "1.1 shellac");
    }

    let mut config = proxy.app.config.clone();
    config.response.via = "edge".to_owned();
    config.response.cache_status = false;
    config.limits.max_url = 8;
    proxy.app.reconfigure(&config);

    client.send(plain).await;
    let hit = client.answer().await;
    assert_eq!((hit.field("via").unwrap().as_str(), hit.field("cache-status")), ("1.1 edge", None));
    client.send(request("GET", "/a/long/path", &[], "")).await;
    assert_eq!(client.answer().await.status(), 414);
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn connections_to_an_origin_whose_settings_are_the_same_are_kept() {
    let origin = Origin::start().await;
    origin.on("/a", ok("hello"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;
    assert_eq!(proxy.app.origins().connections(), (0, 1));

    let mut config = proxy.app.config.clone();
    config.cache.default_ttl = Duration::from_secs(10);
    config.origins[0].first_byte_timeout += Duration::from_secs(1);
    proxy.app.reconfigure(&config);

    assert_eq!(proxy.app.origins().connections(), (0, 1));
}
