//! Purge requests as plugins of Symfony, Magento, Shopware, Drupal, TYPO3 and `WordPress` send
//! them to other caches, unchanged.

use crate::support::origin::{Origin, cacheable};
use crate::support::proxy::Proxy;

/// The pages of every case: path, and what the origin names its tags in.
const PAGES: [(&str, (&str, &str)); 4] = [
    ("/", ("x-magento-tags", "cat_p,cat_p_1")),
    ("/a/1", ("cache-tags", "node:1 node_list")),
    ("/a/2", ("xkey", "product-2")),
    ("/b.html", ("x-cache-tags", "tag-1,product-2")),
];

/// A request of a client: method, path, fields.
type Request<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Returns which pages are gone after a request.
async fn gone(request: Request<'_>, on_admin: bool) -> Vec<&'static str> {
    let (method, path, fields) = request;
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap()];
    });
    for (path, (name, value)) in PAGES {
        origin.on(path, cacheable("page").field(name, value));
        proxy.get(path).await;
        assert!(proxy.get(path).await.is_hit());
    }
    let answer = if on_admin {
        let fields = [fields, &[("Host", "site.example")][..]].concat();
        proxy.ask_admin(method, path, &fields, "").await
    } else {
        proxy.ask(method, path, fields).await
    };
    assert_eq!(answer.status(), 200, "{request:?}: {}", answer.text());
    let mut gone = Vec::new();
    for (path, _) in PAGES {
        if !proxy.get(path).await.is_hit() {
            gone.push(path);
        }
    }
    gone
}

async fn check(cases: &[(Request<'_>, &[&'static str])]) {
    for (request, expected) in cases {
        for on_admin in [false, true] {
            assert_eq!(gone(*request, on_admin).await, *expected, "{request:?}");
        }
    }
}

const ALL: [&str; 4] = [PAGES[0].0, PAGES[1].0, PAGES[2].0, PAGES[3].0];

#[tokio::test]
async fn symfony_and_foshttpcache_ban_and_purge_by_tags() {
    let any = [("X-Host", ".*"), ("X-Content-Type", ".*")];
    let [host, kind] = any;
    check(&[
        (("BAN", "/", &[host, ("X-Url", "^/a/.*"), kind]), &["/a/1", "/a/2"]),
        (
            ("BAN", "/", &[("X-Host", "^(site.example|b.example)$"), ("X-Url", "^/a/1$"), kind]),
            &["/a/1"],
        ),
        (("BAN", "/", &[("X-Host", "^(b.example)$"), ("X-Url", ".*"), kind]), &[]),
        (
            ("BAN", "/", &[host, ("X-Url", ".*"), kind, ("X-Cache-Tags", "(^|,)(tag\\-1)(,|$)")]),
            &["/b.html"],
        ),
        (
            (
                "BAN",
                "/",
                &[
                    ("X-Host", "^site\\.example$"),
                    ("X-Url", "^/a/"),
                    ("X-Cache-Tags", "(^|,)(product-2)(,|$)"),
                ],
            ),
            &["/a/2"],
        ),
        (("BAN", "/", &[host, ("X-Url", ".*"), kind]), &ALL),
        (("PURGEKEYS", "/", &[("xkey-softpurge", "product-2 other")]), &["/a/2", "/b.html"]),
        (("PURGETAGS", "/", &[("X-Cache-Tags", "tag-1,node:1")]), &["/a/1", "/b.html"]),
        (("PURGE", "/", &[("Clear-Cache", "true")]), &ALL),
    ])
    .await;
}

#[tokio::test]
async fn magento_purges_by_patterns_of_tags() {
    let pattern = "((^|,)cat_p_1(,|$))|((^|,)cat_c_2(,|$))";
    check(&[
        (("PURGE", "/", &[("X-Magento-Tags-Pattern", pattern)]), &["/"]),
        (("PURGE", "/", &[("X-Magento-Tags-Pattern", "((^|,)cat(,|$))")]), &[]),
        (("PURGE", "/", &[("X-Magento-Tags-Pattern", ".*")]), &ALL),
    ])
    .await;
}

#[tokio::test]
async fn shopware_drupal_and_typo3_purge_by_keys_and_ban_all() {
    check(&[
        (("PURGE", "/", &[("xkey", "product-2")]), &["/a/2", "/b.html"]),
        (("BAN", "/", &[]), &ALL),
        (("BAN", "/a/", &[]), &["/a/1", "/a/2"]),
        (("BAN", "/", &[("Cache-Tags", "node:1|node:7")]), &["/a/1"]),
        (("PURGE", "/", &[("Purge-Cache-Tags", "node_list")]), &["/a/1"]),
        (("BAN", "/", &[("Varnish-Ban-All", "1")]), &ALL),
        (("BAN", "/", &[("xkey-purge", "product-2")]), &["/a/2", "/b.html"]),
    ])
    .await;
}

#[tokio::test]
async fn wordpress_purges_urls_and_what_begins_alike() {
    check(&[
        (("PURGE", "/a/1", &[("X-Purge-Method", "default")]), &["/a/1"]),
        (("PURGE", "/a/.*", &[("X-Purge-Method", "regex")]), &["/a/1", "/a/2"]),
        (("PURGE", "/.*", &[("X-Purge-Method", "regex")]), &ALL),
        (("PURGE", "/.*", &[]), &ALL),
        (("PURGE", "/a/(.*)", &[]), &["/a/1", "/a/2"]),
        (("PURGE", "/*", &[]), &ALL),
    ])
    .await;
}
