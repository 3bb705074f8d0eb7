//! Cookies: analytics do not matter, named ones enter the key, any other keeps a request from the
//! cache.

use settings::{OtherCookies, VaryCookie};

use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn analytics_cookies_neither_matter_nor_reach_the_origin() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);

    proxy.get_with("/a", &[("Cookie", "_ga=GA1.2; _gid=3"), ("Cookie", "_fbp=4")]).await;
    let other = proxy.get_with("/a", &[("Cookie", "_ga=5")]).await;

    assert!(other.is_hit());
    assert!(proxy.get("/a").await.is_hit());
    assert!(!origin.last("/a").head.has("cookie"));
}

#[tokio::test]
async fn any_other_cookie_bypasses_the_cache_and_is_forwarded() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start(&origin);
    proxy.get("/a").await;

    for _ in 0..2 {
        let answer = proxy.get_with("/a", &[("Cookie", "_ga=1; session=2")]).await;
        assert_eq!(answer.cache_status(), "fwd=bypass; fwd-status=200; detail=cookie");
        assert_eq!(origin.last("/a").head.field("cookie").unwrap(), "_ga=1; session=2");
    }
    assert!(proxy.get("/a").await.is_hit());
    assert_eq!(origin.count("/a"), 3);
}

#[tokio::test]
async fn any_other_cookie_is_dropped_where_the_operator_says_so() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start_with(&origin, |config| config.cookies.otherwise = OtherCookies::Drop);

    proxy.get_with("/a", &[("Cookie", "theme=dark")]).await;

    assert!(!origin.last("/a").head.has("cookie"));
    assert!(proxy.get_with("/a", &[("Cookie", "theme=light")]).await.is_hit());
    let answer = proxy.get_with("/a", &[("Cookie", "theme=dark; session=2")]).await;
    assert_eq!(answer.cache_status(), "fwd=bypass; fwd-status=200; detail=cookie");
}

#[tokio::test]
async fn a_response_that_sets_a_cookie_is_not_stored() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello").field("set-cookie", "session=1"));
    let proxy = Proxy::start(&origin);

    for count in 1..3 {
        let answer = proxy.get("/a").await;
        assert_eq!(answer.cache_status(), "fwd=uri-miss; fwd-status=200; detail=set_cookie");
        assert_eq!(answer.field("set-cookie").unwrap(), "session=1");
        assert_eq!(origin.count("/a"), count);
    }
}

#[tokio::test]
async fn a_cookie_that_enters_the_key_selects_a_variant_and_is_forwarded() {
    let origin = Origin::start().await;
    origin.script("/a", |request| cacheable(&request.head.field("cookie").unwrap_or_default()));
    let proxy = Proxy::start_with(&origin, |config| {
        config.cookies.vary_on = ["bucket", "lang"].map(VaryCookie::any).into();
    });

    for round in 0..2 {
        for (cookies, forwarded) in [
            ("bucket=a; _ga=1", "bucket=a"),
            ("bucket=b", "bucket=b"),
            ("lang=de; _ga=1; bucket=a", "bucket=a; lang=de"),
            ("_ga=1", ""),
        ] {
            let answer = proxy.get_with("/a", &[("Cookie", cookies)]).await;
            assert_eq!(answer.text(), forwarded);
            assert_eq!(answer.is_hit(), round == 1, "{cookies}");
        }
    }
    let session = proxy.get_with("/a", &[("Cookie", "bucket=a; session=1")]).await;
    assert_eq!(session.cache_status(), "fwd=bypass; fwd-status=200; detail=cookie");
}
