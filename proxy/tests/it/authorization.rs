//! Requests with credentials (RFC 9111 §3.5): their responses are shared only when the origin says
//! so.

use crate::support::origin::{Gate, Origin, cacheable, ok};
use crate::support::proxy::Proxy;

const CREDENTIALS: [(&str, &str); 1] = [("Authorization", "Basic YTpi")];

#[tokio::test]
async fn a_response_to_a_request_with_credentials_is_not_stored() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("mine"));
    let proxy = Proxy::start(&origin);

    let private = proxy.get_with("/a", &CREDENTIALS).await;
    let public = proxy.get("/a").await;

    assert_eq!(private.cache_status(), "fwd=uri-miss; fwd-status=200; detail=authorization");
    assert_eq!(origin.received("/a")[0].head.field("authorization").unwrap(), "Basic YTpi");
    assert!(!public.is_hit());
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_stored_response_is_not_given_to_a_request_with_credentials() {
    let origin = Origin::start().await;
    origin.on_each("/a", [cacheable("ours"), cacheable("mine")]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    let private = proxy.get_with("/a", &CREDENTIALS).await;

    assert_eq!(private.text(), "mine");
    assert_eq!(proxy.get("/a").await.text(), "ours");
}

#[tokio::test]
async fn three_directives_allow_sharing() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for (path, control) in
        [("/a", "public, max-age=60"), ("/b", "s-maxage=60"), ("/c", "must-revalidate, max-age=60")]
    {
        origin.on(path, ok("ours").field("cache-control", control));
        proxy.get_with(path, &CREDENTIALS).await;
        assert!(proxy.get(path).await.is_hit(), "{control}");
        assert!(proxy.get_with(path, &CREDENTIALS).await.is_hit(), "{control}");
    }
}

#[tokio::test]
async fn requests_with_credentials_never_wait_for_each_other() {
    let origin = Origin::start().await;
    let gate = Gate::closed();
    origin.script("/a", {
        let gate = gate.clone();
        move |request| cacheable(&request.head.field("authorization").unwrap()).after(&gate)
    });
    let proxy = Proxy::start(&origin);

    let mut clients = Vec::new();
    for user in ["Basic YTpi", "Basic YzpK", "Basic ZTpm"] {
        clients.push((user, proxy.begin("/a", &[("Authorization", user)]).await));
    }
    origin.seen("/a", 3).await;
    gate.open();

    for (user, client) in &mut clients {
        assert_eq!(client.answer().await.text(), *user);
    }
}

#[tokio::test]
async fn credentials_do_not_push_a_stored_response_out() {
    let origin = Origin::start().await;
    let private = ok("mine").field("cache-control", "private");
    origin.on_each("/a", [cacheable("ours"), private]);
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    proxy.get_with("/a", &CREDENTIALS).await;

    assert!(proxy.get("/a").await.is_hit());
}
