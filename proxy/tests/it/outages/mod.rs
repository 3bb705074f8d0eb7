//! Origins that hang, fail and recover: no request waits longer than one time-out, and the trouble
//! of one URL is not that of others.

mod exchange;
mod simulation;

use std::time::Duration;

use crate::support::origin::{Gate, Origin, Reply, cacheable, ok, status};
use crate::support::proxy::Proxy;
use crate::support::until;

const REVALIDATE: &str = "max-age=60, stale-while-revalidate=600";

#[tokio::test]
async fn after_a_time_out_stale_is_served_while_one_request_probes() {
    let origin = Origin::start().await;
    let (never, again) = (Gate::closed(), Gate::closed());
    origin.on_each(
        "/a",
        [
            cacheable("old"),
            Reply::held(&never),
            Reply::held(&never),
            cacheable("new").after(&again),
        ],
    );
    let proxy = Proxy::start_with(&origin, |config| {
        config.origins[0].first_byte_timeout = Duration::from_secs(1);
        config.cache.collapse_patience = Duration::from_mins(1);
    });
    while !proxy.get("/a").await.is_hit() {} // on a loaded machine the time-out may come first
    let hung = || Reply::held(&never);
    origin.on_each("/a", [hung(), hung(), cacheable("new").after(&again)]);
    origin.forget();
    proxy.advance(61);
    let fetcher = proxy.app.front.cache.fetcher();
    let idle = || fetcher.in_flight().0 == 0;

    let stale = "hit; ttl=-1; detail=stale_if_error";
    assert_eq!(proxy.get("/a").await.cache_status(), stale, "it waited for the time-out");
    until("the time-out", idle).await;
    for _ in 0..20 {
        assert_eq!(proxy.get("/a").await.cache_status(), stale);
    }
    assert_eq!(origin.count("/a"), 1, "a URL that has just failed is left alone for a second");

    proxy.advance(1);
    for _ in 0..20 {
        assert_eq!(proxy.get("/a").await.text(), "old");
    }
    origin.seen("/a", 2).await;
    assert_eq!(origin.count("/a"), 2, "one request probes");
    until("the probe's time-out", idle).await;

    proxy.advance(1);
    assert_eq!(proxy.get("/a").await.text(), "old");
    origin.seen("/a", 3).await;
    again.open();
    until("the probe's end", idle).await;
    assert_eq!(proxy.get("/a").await.text(), "new", "recovery is noticed by the probe");
    assert_eq!(origin.count("/a"), 3);
    assert_eq!(proxy.app.origins().first().failures.count(proxy.clock.now()), 0);
}

#[tokio::test]
async fn a_url_that_fails_stops_no_other_urls_background_refresh() {
    let origin = Origin::start().await;
    let page = |content: &str| ok(content).field("cache-control", REVALIDATE);
    let broken = status("503 Service Unavailable", "broken");
    origin.on_each("/broken", [page("old"), broken]);
    origin.on_each("/fine", [page("old"), page("new")]);
    let proxy = Proxy::start(&origin);
    proxy.get("/broken").await;
    proxy.get("/fine").await;
    proxy.advance(61);
    let fetcher = proxy.app.front.cache.fetcher();

    for _ in 0..10 {
        assert_eq!(proxy.get("/broken").await.text(), "old");
        until("its refresh", || fetcher.in_flight().0 == 0).await;
    }
    assert_eq!(origin.count("/broken"), 2, "it is left alone for a second");

    assert_eq!(proxy.get("/fine").await.text(), "old");
    origin.seen("/fine", 2).await;
    until("its refresh", || fetcher.in_flight().0 == 0).await;
    assert_eq!(proxy.get("/fine").await.text(), "new");
    assert_eq!(proxy.app.origins().first().failures.count(proxy.clock.now()), 1);
}
