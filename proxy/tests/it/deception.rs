//! Cache deception: one user's page under the name of a static file is not stored for others.

use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn a_page_under_the_name_of_a_static_file_is_not_given_to_others() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    for path in ["/account/x.css", "/account;x.js", "/account/x%2Epng?y=z"] {
        origin.on(path, cacheable("yours").field("content-type", "text/html; charset=utf-8"));
        proxy.get(path).await;
        let other = proxy.get(path).await;
        assert!(other.cache_status().ends_with("detail=content_type"), "{}", other.cache_status());
        assert_eq!(origin.count(path), 2, "{path}");
    }
    for (path, media_type) in [("/x.css", "text/css"), ("/page", "text/html")] {
        origin.on(path, cacheable("all").field("content-type", media_type));
        proxy.get(path).await;
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
}

#[tokio::test]
async fn the_operator_may_store_pages_under_any_name() {
    let origin = Origin::start().await;
    origin.on("/wiki/File:x.png", cacheable("all").field("content-type", "text/html"));
    let proxy = Proxy::start_with(&origin, |config| config.cache.deception_armor = false);

    proxy.get("/wiki/File:x.png").await;

    assert!(proxy.get("/wiki/File:x.png").await.is_hit());
}
