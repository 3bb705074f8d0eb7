//! No rule makes two clients share what they must not: attempts to store for others what only one
//! request was answered.

use super::{purge_url, ruled};
use crate::support::origin::{Origin, cacheable};

/// A response under rules that look at more than the URL answers no request that they do not match.
#[tokio::test]
async fn what_a_rule_has_shaped_is_for_requests_that_it_matches() {
    for (rule, fields) in [
        (
            "header = { X-Debug = \"1\" }\nrequest_headers.set = { X-Mode = \"debug\" }",
            ("X-Debug", "1"),
        ),
        ("cookie = { ab = \"*\" }\ncookies.vary_on = [\"ab\"]", ("Cookie", "ab=b")),
        ("header = { X-Long = \"*\" }\nttl = \"30d\"", ("X-Long", "")),
        (
            "device = \"mobile\"\nresponse_headers.set = { X-Kind = \"m\" }",
            ("User-Agent", "iPhone Mobile"),
        ),
        ("not = { header = { X-A = \"\" } }\nrequest_headers.set = { X-B = \"1\" }", ("X-A", "1")),
        ("header = { X-Last = \"*\" }\nlast = true", ("X-Last", "1")),
    ] {
        let origin = Origin::start().await;
        origin.on("/a", cacheable("hello"));
        let proxy = ruled(&origin, &format!("[[rule]]\n{rule}\n[[rule]]\nttl = \"1m\"\n"));
        proxy.get_with("/a", &[fields]).await;
        assert!(!proxy.get("/a").await.is_hit(), "{rule}");
        assert!(proxy.get("/a").await.is_hit(), "{rule}");
        assert!(proxy.get_with("/a", &[fields]).await.is_hit(), "{rule}");
        assert_eq!(origin.count("/a"), 2);
        assert_eq!(purge_url(&proxy, "/a").await, 2, "{rule}");
        assert!(!proxy.get_with("/a", &[fields]).await.is_hit(), "{rule}");
    }
}

/// Rules whose conditions are host and path alone hold for all requests of a URL.
#[tokio::test]
async fn rules_for_a_path_do_not_divide_its_requests() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = \"/a\"\nmethod = [\"GET\"]\nttl = \"1m\"\nrequest_headers.set = { X-Mode = \"a\" }\n",
    );
    proxy.get_with("/a", &[("X-Mode", "b")]).await;
    assert!(proxy.get("/a").await.is_hit());
    assert!(proxy.ask("HEAD", "/a", &[]).await.is_hit());
    assert_eq!(origin.last("/a").head.field("x-mode").unwrap(), "a");
}

/// Two paths that one is rewritten to share what is stored only where the same rules hold.
#[tokio::test]
async fn a_rewritten_request_does_not_store_for_another_path_under_rules_of_its_own() {
    let origin = Origin::start().await;
    origin.on("/page", cacheable("hello"));
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = \"/legacy/*\"\nrewrite.path = \"/$1\"\nrequest_headers.set = { X-Legacy = \"1\" }\n",
    );
    proxy.get("/legacy/page").await;
    assert_eq!(origin.last("/page").head.field("x-legacy").unwrap(), "1");
    assert!(!proxy.get("/page").await.is_hit());
    assert!(!origin.last("/page").head.has("x-legacy"));
    assert!(proxy.get("/page").await.is_hit() && proxy.get("/legacy/page").await.is_hit());
}

/// A response that is stored for a POST answers GET, unless rules tell the two apart.
#[tokio::test]
async fn a_response_to_post_is_not_stored_where_rules_tell_methods_apart() {
    let reply = || cacheable("made").field("content-location", "/a");
    for (rule, is_stored) in [
        ("path = \"/b\"\nttl = \"1m\"", true),
        ("method = \"POST\"\nrequest_headers.set = { X-Api = \"1\" }", false),
    ] {
        let origin = Origin::start().await;
        origin.on("/a", reply());
        let proxy = ruled(&origin, &format!("[[rule]]\n{rule}\n"));
        let posted = "http://site.example/a".to_owned();
        origin.on("/a", cacheable("made").field("content-location", &posted));
        proxy.post("/a", "x").await;
        assert_eq!(proxy.get("/a").await.is_hit(), is_stored, "{rule}");
    }
}
