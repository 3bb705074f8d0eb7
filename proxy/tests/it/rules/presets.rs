//! Presets: what the rules for each framework make of its requests.

use settings::VaryCookie;

use super::{objects, ruled, rules};
use crate::support::origin::{Origin, cacheable, status};
use crate::support::proxy::Proxy;

fn preset(origin: &Origin, name: &str) -> Proxy {
    ruled(origin, &format!("[[rule]]\nname = \"site\"\npreset = \"{name}\"\n"))
}

/// Purges a page, and returns how many responses were of it.
async fn purge_page(proxy: &Proxy, path: &str) -> u64 {
    let purge = format!(r#"{{"pages":["http://site.example{path}"]}}"#);
    objects(&proxy.purge(&purge).await)
}

#[tokio::test]
async fn a_page_is_purged_with_its_data_under_every_framework_that_has_some() {
    for (name, page, data) in [
        ("nextjs", "/p/1", "/_next/data/build-1/p/1.json"),
        ("nextjs", "/", "/_next/data/build-1/index.json"),
        ("nextjs", "/p/1", "/p/1.rsc"),
        ("nextjs", "/p/1", "/p/1.segments/a/b.segment.rsc"),
        ("nextjs", "/p/1/", "/_next/data/build-1/p/1.json"),
        ("nextjs", "/docs/p", "/docs/_next/data/build-1/p.json"),
        ("nextjs", "/docs", "/docs/_next/data/build-1/index.json"),
        ("nextjs", "/", "/index.rsc"),
        ("nextjs", "/", "/index.segments/a.segment.rsc"),
        ("nuxt", "/p/1", "/p/1/_payload.json?build-1"),
        ("nuxt", "/p/1/", "/p/1/_payload.json"),
        ("nuxt", "/", "/_payload.json"),
        ("sveltekit", "/p/1", "/p/1/__data.json?x-sveltekit-invalidated=01"),
        ("sveltekit", "/p/1/", "/p/1/__data.json"),
        ("sveltekit", "/p.html", "/p.html__data.json?x-sveltekit-invalidated=01"),
        ("react-router", "/p/1", "/p/1.data?_routes=a"),
        ("react-router", "/p/1/", "/p/1.data"),
        ("react-router", "/", "/_root.data"),
    ] {
        let origin = Origin::start().await;
        let proxy = preset(&origin, name);
        for path in [page, data, "/other"] {
            origin.on(path, cacheable("page"));
            proxy.get(path).await;
            assert!(proxy.get(path).await.is_hit(), "{name} {path}");
        }
        assert_eq!(purge_page(&proxy, page).await, 2, "{name} {data}");
        for (path, is_hit) in [(page, false), (data, false), ("/other", true)] {
            assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{name} {path}");
        }
    }
}

#[tokio::test]
async fn a_purge_of_a_url_means_its_page_where_rules_name_pages() {
    let origin = Origin::start().await;
    for (name, other) in [("sveltekit", false), ("wordpress", true)] {
        let proxy = preset(&origin, name);
        for path in ["/p/1", "/p/1/__data.json"] {
            origin.on(path, cacheable("page"));
            proxy.get(path).await;
        }
        let purged = proxy.ask_admin("PURGE", "/p/1", &[("Host", "site.example")], "").await;
        assert_eq!(purged.status(), 200);
        assert!(!proxy.get("/p/1").await.is_hit());
        assert_eq!(proxy.get("/p/1/__data.json").await.is_hit(), other, "{name}");
    }
}

#[tokio::test]
async fn the_data_of_a_next_page_is_one_response_and_never_its_html() {
    let origin = Origin::start().await;
    origin.script("/p", |_| cacheable("html").field("vary", VARY));
    for path in ["/p?_rsc", PREFETCH, "/p?_rsc=own"] {
        origin.script(path, |_| cacheable("data").field("vary", VARY));
    }
    let proxy = preset(&origin, "nextjs");

    assert_eq!(proxy.get("/p").await.text(), "html");
    let data = proxy.get_with("/p?_rsc=own", &[("rsc", "1"), (TREE, "%5B1%5D")]).await;
    assert_eq!(data.text(), "data");
    assert!(!origin.last("/p?_rsc").head.has(TREE));
    for tree in ["%5B2%5D", "%5B3%5D"] {
        let fields = [("rsc", "1"), (TREE, tree)];
        let answer = proxy.get_with(&format!("/p?_rsc=x{}", tree.len()), &fields).await;
        assert!(answer.is_hit() && answer.text() == "data");
    }
    assert!(proxy.get("/p").await.is_hit());
    let fields = [("rsc", "1"), ("next-router-prefetch", "1")];
    assert!(!proxy.get_with("/p?_rsc=own", &fields).await.is_hit());
    assert_eq!(origin.count(PREFETCH), 1);
    assert_eq!(proxy.get("/p?_rsc=own").await.text(), "data", "what the origin says without rsc");
    assert_eq!(origin.count("/p?_rsc=own"), 1);
}

/// `/p` as it is prefetched.
const PREFETCH: &str = "/p?_rsc=HEAvJdHAQJrUAe2K";
const TREE: &str = "next-router-state-tree";
const VARY: &str =
    "rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch";

#[tokio::test]
async fn the_page_that_a_visitor_comes_from_reaches_next_and_divides_what_varies_by_it() {
    let origin = Origin::start().await;
    for path in ["/p?_rsc=3rG3Os5CGMmImhkF", "/p?_rsc"] {
        origin.on(path, cacheable("data"));
    }
    let proxy = preset(&origin, "nextjs");
    proxy.get_with("/p", &[("rsc", "1"), ("next-url", "/a")]).await;
    assert!(proxy.get_with("/p", &[("rsc", "1"), ("next-url", "/b")]).await.is_hit());
    let seen = origin.all_received();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].head.field("next-url").unwrap(), "/a");
}

#[tokio::test]
async fn what_only_the_framework_says_itself_is_not_taken_from_clients() {
    for (name, field) in [
        ("nextjs", "x-middleware-subrequest"),
        ("nextjs", "x-middleware-rewrite"),
        ("nextjs", "next-resume"),
        ("nextjs", "x-next-resume-state-length"),
        ("nextjs", "x-now-route-matches"),
        ("nextjs", "x-matched-path"),
        ("nextjs", "x-invoke-status"),
        ("nextjs", "x-prerender-revalidate"),
        ("nextjs", "x-nextjs-data"),
        ("nuxt", "x-nuxt-no-ssr"),
        ("react-router", "x-react-router-spa-mode"),
        ("react-router", "x-react-router-prerender-data"),
        ("astro", "x-astro-path"),
    ] {
        let origin = Origin::start().await;
        origin.on("/p", cacheable("page"));
        let proxy = preset(&origin, name);
        proxy.get_with("/p", &[(field, "1"), ("x-own", "1")]).await;
        let head = origin.last("/p").head;
        assert!(!head.has(field) && head.has("x-own"), "{name}: {field}");
        assert_eq!(proxy.post("/p", "content").await.status(), 200);
        assert!(proxy.ask("OPTIONS", "/p", &[(field, "1")]).await.status() > 0);
        assert!(!origin.last("/p").head.has(field), "{name}: {field}");
    }
}

#[tokio::test]
async fn a_query_that_makes_a_page_into_data_stores_nothing() {
    for (name, path) in [("nextjs", "/p?__nextDataReq=1"), ("nuxt", "/p?/_payload.json")] {
        let origin = Origin::start().await;
        origin.on(path, cacheable("data"));
        origin.on("/p", cacheable("page"));
        let proxy = preset(&origin, name);
        for _ in 0..2 {
            assert!(!proxy.get(path).await.is_hit(), "{name}");
        }
        assert_eq!(proxy.get("/p").await.text(), "page");
    }
}

#[tokio::test]
async fn an_asset_that_is_missing_is_asked_for_again_and_one_that_is_there_is_kept() {
    for (name, path) in [
        ("nextjs", "/_next/static/chunks/a.js"),
        ("nuxt", "/_nuxt/a.js"),
        ("sveltekit", "/_app/immutable/chunks/a.js"),
        ("react-router", "/assets/a.js"),
        ("astro", "/_astro/a.js"),
        ("rails", "/assets/a.js"),
        ("drupal", "/sites/default/files/a.js"),
        ("magento", "/static/version1/a.js"),
        ("wordpress", "/wp-content/a.js"),
    ] {
        let origin = Origin::start().await;
        let missing = status("404 Not Found", "").field("cache-control", "max-age=60");
        let there = cacheable("code").field("content-type", "text/javascript");
        origin.on_each(path, [missing, there]);
        let proxy = preset(&origin, name);
        assert_eq!(proxy.get(path).await.status(), 404);
        assert_eq!(proxy.get(path).await.status(), 200, "{name}");
        let visitor = [("Cookie", "PHPSESSID=1; session=2; theme=dark")];
        assert!(proxy.get_with(path, &visitor).await.is_hit(), "{name}");
    }
}

#[tokio::test]
async fn an_asset_is_shared_whatever_cookies_divide_the_pages_of_its_site() {
    for (name, path) in [
        ("nextjs", "/_next/static/chunks/a.js"),
        ("nextjs", "/docs/_next/static/chunks/a.js"),
        ("nextjs", "/_next/image"),
        ("nuxt", "/_nuxt/a.js"),
        ("sveltekit", "/_app/immutable/chunks/a.js"),
        ("react-router", "/assets/a.js"),
        ("astro", "/_astro/a.js"),
        ("astro", "/_image"),
        ("rails", "/assets/a.js"),
        ("django", "/static/a.js"),
        ("drupal", "/core/a.js"),
        ("magento", "/pub/static/a.js"),
        ("wordpress", "/wp-content/a.js"),
    ] {
        let origin = Origin::start().await;
        origin.on(path, cacheable("code").field("content-type", "text/javascript"));
        let proxy = Proxy::start_with(&origin, |config| {
            config.rules = rules(&format!("[[rule]]\npreset = \"{name}\"\n"));
            config.cookies.vary_on = vec![VaryCookie::any("lang")];
        });
        for (cookies, is_hit) in [("lang=en", false), ("lang=de; django_language=de", true)] {
            let answer = proxy.get_with(path, &[("Cookie", cookies)]).await;
            assert_eq!(answer.is_hit(), is_hit, "{name}: {cookies}");
        }
    }
}

#[tokio::test]
async fn private_parts_of_shops_and_sites_bypass_the_cache() {
    for (name, path) in [
        ("django", "/admin/"),
        ("drupal", "/core/authorize.php"),
        ("drupal", "/update.php/selection"),
        ("drupal", "/user/login"),
        ("magento", "/checkout/cart"),
        ("magento", "/customer/section/load"),
        ("magento", "/checkout"),
        ("magento", "/de/customer"),
        ("magento", "/sales/order/history/"),
        ("magento", "/wishlist/"),
        ("magento", "/catalog/product_compare/index/"),
        ("magento", "/admin_1a2b/dashboard/"),
        ("magento", "/admin"),
        ("magento", "/p?___store=de"),
        ("wordpress", "/wp-admin/post.php"),
        ("wordpress", "/p?preview=true"),
        ("wordpress", "/p?add-to-cart=7"),
    ] {
        let origin = Origin::start().await;
        origin.on(path, cacheable("private"));
        let proxy = preset(&origin, name);
        let cookies = "theme=dark; SESSab=1";
        for fields in [&[][..], &[], &[("Cookie", cookies)]] {
            assert!(!proxy.get_with(path, fields).await.is_hit(), "{name} {path}");
        }
        assert_eq!(origin.last(path).head.field("cookie").unwrap(), cookies, "{name} {path}");
    }
}

#[tokio::test]
async fn a_magento_page_is_shared_by_guests_and_everybody_else_reaches_magento_with_all_cookies() {
    let origin = Origin::start().await;
    origin.script("/p", |_| cacheable("page").field("set-cookie", "PHPSESSID=new"));
    let proxy = preset(&origin, "magento");
    let visit = async |cookies: &str| proxy.get_with("/p", &[("Cookie", cookies)]).await;
    let first = visit("PHPSESSID=1; form_key=a").await;
    assert!(first.field("set-cookie").is_none());
    assert!(!origin.last("/p").head.has("cookie"));
    assert!(visit("PHPSESSID=2; mage-cache-sessid=true").await.is_hit());
    for cookies in [
        "PHPSESSID=3; X-Magento-Vary=vip",
        "PHPSESSID=4; private_content_version=1",
        "PHPSESSID=5; store=de",
        "admin=6",
    ] {
        let own = visit(cookies).await;
        assert!(!own.is_hit() && own.field("set-cookie").is_some(), "{cookies}");
        assert_eq!(origin.last("/p").head.field("cookie").unwrap(), cookies);
    }
    assert!(visit("").await.is_hit());
}

#[tokio::test]
async fn a_magento_page_of_a_segment_is_not_stored_for_all() {
    let origin = Origin::start().await;
    origin.script("/p", |_| {
        let page = cacheable("page of a segment").field("set-cookie", "PHPSESSID=new");
        page.field("set-cookie", "X-Magento-Vary=vip; path=/")
    });
    let proxy = preset(&origin, "magento");
    for _ in 0..2 {
        let page = proxy.get("/p").await;
        assert!(!page.is_hit() && page.field("set-cookie").is_some());
    }
}

#[tokio::test]
async fn a_frame_of_a_rails_page_is_a_response_of_its_own() {
    let origin = Origin::start().await;
    origin.script("/p", |request| {
        let frame = request.head.field("turbo-frame");
        cacheable(frame.as_deref().unwrap_or("page"))
    });
    let proxy = preset(&origin, "rails");
    for frame in ["modal", "list"] {
        for is_hit in [false, true] {
            let answer = proxy.get_with("/p", &[("Turbo-Frame", frame)]).await;
            assert_eq!((answer.text(), answer.is_hit()), (frame, is_hit));
        }
    }
    assert_eq!(proxy.get("/p").await.text(), "page");
    assert_eq!(purge_page(&proxy, "/p").await, 3, "those that rules keep apart are of the page");
    for frame in ["modal", "list"] {
        assert!(!proxy.get_with("/p", &[("Turbo-Frame", frame)]).await.is_hit());
    }
}

#[tokio::test]
async fn a_redirect_in_the_place_of_an_asset_is_not_kept_for_the_time_of_the_asset() {
    let origin = Origin::start().await;
    let path = "/_app/immutable/a.js";
    let to_log_in = status("302 Found", "").field("location", "/login");
    let there = status("200 OK", "code").field("content-type", "text/javascript");
    origin.on_each(path, [to_log_in, there]);
    let proxy = preset(&origin, "sveltekit");
    for (status, is_hit) in [(302, false), (200, false), (200, true)] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status(), answer.is_hit()), (status, is_hit));
    }
}

#[tokio::test]
async fn the_data_of_a_next_site_below_a_path_is_asked_for_as_data() {
    for path in ["/_next/data/b/p.json", "/docs/_next/data/b/p.json"] {
        let origin = Origin::start().await;
        origin.on(path, cacheable("data"));
        preset(&origin, "nextjs").get_with(path, &[("x-nextjs-data", "1")]).await;
        assert!(origin.last(path).head.has("x-nextjs-data"), "{path}");
    }
}

#[tokio::test]
async fn a_call_of_a_function_does_not_invalidate_its_page() {
    let origin = Origin::start().await;
    origin.on("/p", cacheable("page"));
    let proxy = preset(&origin, "nextjs");
    proxy.get("/p").await;
    proxy.ask("POST", "/p", &[("next-action", "40ab"), ("content-length", "0")]).await;
    assert!(proxy.get("/p").await.is_hit());
    proxy.post("/p", "form").await;
    assert!(!proxy.get("/p").await.is_hit());
}
