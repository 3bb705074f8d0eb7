//! Compressed forms when their page is validated, changes, or is purged.

use std::sync::Arc;

use shellac::testing::store::Removal;

use super::{BR, GZIP, PLAIN, coding, decoded, html, on, page, stored};
use crate::support::origin::{Gate, Origin, Reply, cacheable, not_modified, ok};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn one_validation_by_the_origins_own_tag_renews_all_forms() {
    let origin = Origin::start().await;
    origin.on_each("/a", [html("a"), not_modified().field("cache-control", "max-age=60")]);
    let proxy = Proxy::start_with(&origin, on);
    proxy.get_with("/a", BR).await;
    stored(&proxy, "/a", BR).await;
    stored(&proxy, "/a", GZIP).await;
    for round in 2..4 {
        proxy.advance(61);
        let validated = proxy.get_with("/a", BR).await;
        assert_eq!((coding(&validated), decoded(&validated)), ("br".into(), page("a")));
        assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"a\"");
        for (fields, name) in [(GZIP, "gzip"), (PLAIN, ""), (BR, "br")] {
            let answer = stored(&proxy, "/a", fields).await;
            assert_eq!((&*coding(&answer), decoded(&answer)), (name, page("a")));
        }
        assert_eq!(origin.count("/a"), round);
    }
    let metrics = proxy.ask_admin("GET", "/metrics", &[], "").await;
    for name in ["br", "gzip"] {
        let responses = format!("shellac_compression_responses_total{{coding=\"{name}\"}} 1\n");
        assert!(metrics.text().contains(&responses), "{name} is not made again");
    }
}

/// Some origins keep their strong tag, which is that of the site, when a page changes.
#[tokio::test]
async fn a_page_that_changed_under_the_same_tag_is_compressed_again() {
    let origin = Origin::start().await;
    let page_of = |word: &str| {
        let page = cacheable(&page(word)).field("content-type", "text/html");
        page.field("etag", "\"site-1\"")
    };
    origin.on_each("/a", [page_of("old"), page_of("new")]);
    let proxy = Proxy::start_with(&origin, on);
    for fields in [BR, GZIP] {
        proxy.get_with("/a", fields).await;
        stored(&proxy, "/a", fields).await;
    }
    proxy.advance(61);
    for fields in [BR, GZIP, PLAIN, BR, GZIP] {
        assert_eq!(decoded(&proxy.get_with("/a", fields).await), page("new"));
    }
    for fields in [BR, GZIP] {
        assert_eq!(decoded(&stored(&proxy, "/a", fields).await), page("new"));
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_compressed_form_without_its_plain_one_is_validated_by_the_origins_tag() {
    let origin = Origin::start().await;
    origin.on_each("/a", [html("a"), not_modified().field("cache-control", "max-age=60")]);
    let proxy = Proxy::start_with(&origin, on);
    proxy.get_with("/a", BR).await;
    stored(&proxy, "/a", BR).await;
    let mut plain = Vec::new();
    proxy.app.store.visit(&mut |stored| {
        if stored.response().is_some_and(|own| own.body.length() == page("a").len() as u64) {
            plain.push(Arc::clone(stored));
        }
    });
    assert!(proxy.app.store.remove(&plain[0], Removal::Size));
    proxy.advance(61);
    let validated = proxy.get_with("/a", BR).await;
    assert_eq!(validated.cache_status(), "fwd=stale; fwd-status=304; stored");
    assert_eq!((coding(&validated), decoded(&validated)), ("br".into(), page("a")));
    assert_eq!(validated.field("etag").unwrap(), r#"W/"a~br""#);
    assert_eq!(origin.last("/a").head.field("if-none-match").unwrap(), "\"a\"");
    let hit = proxy.get_with("/a", BR).await;
    assert!(hit.is_hit());
    assert_eq!(hit.field("vary").unwrap(), "Accept-Encoding");
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_changed_page_replaces_all_forms() {
    let origin = Origin::start().await;
    origin.on_each("/a", [html("old"), html("new")]);
    let proxy = Proxy::start_with(&origin, on);
    for fields in [BR, GZIP, PLAIN] {
        proxy.get_with("/a", fields).await;
        stored(&proxy, "/a", fields).await;
    }
    proxy.advance(61);
    for fields in [GZIP, BR, PLAIN, GZIP, BR] {
        assert_eq!(decoded(&proxy.get_with("/a", fields).await), page("new"));
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn a_stale_form_is_served_while_one_fetch_renews_all() {
    let origin = Origin::start().await;
    let page_of = |word: &str| {
        let control = "max-age=60, stale-while-revalidate=60";
        ok(&page(word)).field("content-type", "text/html").field("cache-control", control)
    };
    let gate = Gate::closed();
    origin.on_each("/a", [page_of("old"), page_of("new").after(&gate)]);
    let proxy = Proxy::start_with(&origin, on);
    for fields in [BR, GZIP] {
        proxy.get_with("/a", fields).await;
        stored(&proxy, "/a", fields).await;
    }
    proxy.advance(70);
    for fields in [BR, GZIP, BR] {
        let stale = proxy.get_with("/a", fields).await;
        assert!(stale.is_hit());
        assert!(stale.field("content-length").is_some(), "nothing is compressed again");
        assert_eq!(decoded(&stale), page("old"));
    }
    origin.seen("/a", 2).await;
    gate.open();
    for fields in [BR, GZIP, PLAIN] {
        while decoded(&proxy.get_with("/a", fields).await) != page("new") {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn every_purge_hits_all_forms() {
    for purge in [
        r#"{"urls":["http://site.example/a"]}"#,
        r#"{"tags":["t"]}"#,
        r#"{"tags":["a"]}"#,
        r#"{"prefixes":["http://site.example/"]}"#,
        r#"{"tags":["t"],"mode":"soft"}"#,
    ] {
        let origin = Origin::start().await;
        origin.on_each("/a", [html("a").field("surrogate-key", "t"), html("b")]);
        let proxy = Proxy::start_with(&origin, on);
        for fields in [BR, GZIP, PLAIN] {
            proxy.get_with("/a", fields).await;
            stored(&proxy, "/a", fields).await;
        }
        assert_eq!(origin.count("/a"), 1);
        proxy.purge(purge).await;
        for fields in [GZIP, BR, PLAIN] {
            let answer = proxy.get_with("/a", fields).await;
            assert_eq!(decoded(&answer), page("b"), "{purge} {fields:?}");
        }
        assert_eq!(origin.count("/a"), 2, "{purge}");
    }
}

#[tokio::test]
async fn a_purge_while_a_page_is_compressed_keeps_it_from_being_stored() {
    for mode in ["hard", "soft"] {
        let origin = Origin::start().await;
        let gate = Gate::closed();
        let text = page("old");
        let (first, rest) = text.split_at(2000);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: max-age=60\r\nsurrogate-key: t\r\n\
             content-length: {}\r\n\r\n{first}",
            text.len()
        );
        let slow = Reply::bytes(head).hold(&gate).send(rest);
        origin.on_each("/a", [slow, html("new")]);
        let proxy = Proxy::start_with(&origin, on);
        let mut early = proxy.begin("/a", BR).await;
        let head = early.head().await;
        proxy.purge(&format!(r#"{{"tags":["t"],"mode":"{mode}"}}"#)).await;
        gate.open();
        let answer = early.rest(head).await.unwrap();
        assert_eq!(decoded(&answer), text, "it asked before the purge");
        for fields in [BR, GZIP, PLAIN] {
            let late = proxy.get_with("/a", fields).await;
            assert_eq!(decoded(&late), page("new"), "{mode} {fields:?}");
        }
    }
}
