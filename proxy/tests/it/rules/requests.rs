//! Actions of rules on requests.

use settings::{Config, Sources};

use super::{objects, purge_url, ruled, rules};
use crate::support::origin::{Origin, cacheable, ok, status};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn the_first_rule_that_sets_a_thing_decides_it() {
    let origin = Origin::start().await;
    for path in ["/a", "/b"] {
        origin.on(path, cacheable("hello"));
    }
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = \"/a\"\ncookies.otherwise = \"bypass\"\n\
         [[rule]]\ncookies.otherwise = \"drop\"\nrequest_headers.set = { X-Seen = \"1\" }\n",
    );
    for path in ["/a", "/b"] {
        proxy.get_with(path, &[("Cookie", "theme=dark")]).await;
    }
    let [a, b] = ["/a", "/b"].map(|path| origin.last(path).head);
    assert!(a.has("cookie") && !b.has("cookie"));
    assert_eq!((a.field("x-seen"), b.field("x-seen")), (Some("1".into()), Some("1".into())));
}

#[tokio::test]
async fn after_a_last_rule_none_is_looked_at() {
    let origin = Origin::start().await;
    origin.on("/a/b", cacheable("hello"));
    let proxy =
        ruled(&origin, "[[rule]]\npath = \"/a/**\"\nlast = true\n[[rule]]\nbypass = true\n");
    proxy.get("/a/b").await;
    assert!(proxy.get("/a/b").await.is_hit());
}

#[tokio::test]
async fn a_request_that_a_rule_bypasses_is_neither_answered_nor_stored() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = ruled(&origin, "[[rule]]\nquery = { preview = \"*\" }\nbypass = true\n");
    for query in ["?preview=1", "?%70review"] {
        origin.on(&format!("/a{query}"), cacheable("draft"));
        for _ in 0..2 {
            let answer = proxy.get(&format!("/a{query}")).await;
            assert_eq!(answer.cache_status(), "fwd=bypass; fwd-status=200; detail=rule_bypass");
        }
    }
    proxy.get("/a").await;
    assert!(proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_rewritten_path_is_the_key_and_is_forwarded() {
    let origin = Origin::start().await;
    origin.on("/en/a?q=1", cacheable("hello"));
    let proxy = ruled(&origin, "[[rule]]\npath = \"/en-{us,gb}/**\"\nrewrite.path = \"/en/$1\"\n");
    proxy.get("/en-us/a?q=1").await;
    for path in ["/en-gb/a?q=1", "/en/a?q=1"] {
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
    assert_eq!(origin.count("/en/a?q=1"), 1);
    assert_eq!(purge_url(&proxy, "/en-us/a?q=1").await, 1, "of either URL");
    assert!(!proxy.get("/en/a?q=1").await.is_hit());
}

#[tokio::test]
async fn whatever_names_the_url_of_a_rewritten_path_purges_what_is_stored() {
    let origin = Origin::start().await;
    origin.on("/en/a", cacheable("hello"));
    origin.on("/sent", ok("").field("location", "/en-us/a"));
    let proxy = ruled(&origin, "[[rule]]\npath = \"/en-{us,gb}/**\"\nrewrite.path = \"/en/$1\"\n");
    let host = "site.example";
    for selector in [
        format!(r#"{{"urls":["http://{host}/en-us/a"]}}"#),
        format!(r#"{{"paths":["http://{host}/en-us/a"]}}"#),
        format!(r#"{{"pages":["http://{host}/en-us/a"]}}"#),
        format!(r#"{{"expressions":[{{"all_of":["page:{host}/en-us/a"]}}]}}"#),
        format!(r#"{{"expressions":[{{"any_of":["path:{host}/en-us/a"]}}]}}"#),
    ] {
        proxy.get("/en-gb/a").await;
        let purged = proxy.purge(&selector).await;
        assert_eq!(purged["matched"]["objects"], 1, "{selector}: {purged}");
    }
    proxy.get("/en-gb/a").await;
    proxy.post("/sent", "").await;
    assert!(!proxy.get("/en-us/a").await.is_hit(), "a POST has named it");
}

#[tokio::test]
async fn a_purge_in_another_spelling_finds_what_a_rule_rewrites_or_filters() {
    let origin = Origin::start().await;
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = \"/caf%C3%A9/*\"\nrewrite.path = \"/coffee/$1\"\n\
         [[rule]]\npath = \"/~user/*\"\nkey.query = \"none\"\n\
         [[rule]]\npath_regex = \"^/re/([a-z]+)/x$\"\nrewrite.path = \"/x/$1\"\n",
    );
    for path in ["/coffee/x", "/~user/x", "/x/abc"] {
        origin.on(path, cacheable("hello"));
    }
    for (asked, kind, named) in [
        ("/caf%C3%A9/x", "urls", "/caf%c3%a9/x"),
        ("/caf%C3%A9/x", "pages", "/caf%c3%a9/x"),
        ("/caf%C3%A9/x", "paths", "/c%61f%C3%A9/x"),
        ("/~user/x?q=1", "urls", "/%7Euser/x?q=1"),
        ("/~user/x?q=1", "urls", "/~us%65r/x?q=2"),
        ("/re/abc/x", "urls", "/re/%61bc/x"),
    ] {
        proxy.get(asked).await;
        assert!(proxy.get(asked).await.is_hit(), "{asked}");
        proxy.purge(&format!(r#"{{"{kind}":["http://site.example{named}"]}}"#)).await;
        assert!(!proxy.get(asked).await.is_hit(), "{asked}: {kind} {named}");
    }
}

#[tokio::test]
async fn a_rule_chooses_the_origin_or_that_only_what_is_stored_answers() {
    let (origin, other) = (Origin::start().await, Origin::start().await);
    origin.on("/a", cacheable("one").field("cache-control", "max-age=60, stale-if-error=60"));
    other.on("/api/x", ok("other"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.rules = rules(
            "[[rule]]\npath = \"/api/**\"\norigin = \"other\"\n\
             [[rule]]\nheader = { X-Stored = \"*\" }\norigin = \"none\"\n",
        );
        let text = format!("[origin.other]\nservers = [\"{}\"]\n", other.address);
        let file = Some(("config.toml".to_owned(), text));
        let others = Config::load(&Sources { file, ..Sources::default() }).unwrap().origins;
        config.origins.extend(others);
    });
    assert_eq!(proxy.get("/api/x").await.text(), "other");
    let stored = [("X-Stored", "1")];
    assert_eq!(proxy.get_with("/a", &stored).await.status(), 504);
    proxy.get("/a").await;
    assert!(proxy.get_with("/a", &stored).await.is_hit(), "it shares what others have stored");
    proxy.advance(90);
    let stale = proxy.get_with("/a", &stored).await;
    assert_eq!((stale.status(), stale.text()), (200, "one"), "as if the origin had failed");
    proxy.advance(90);
    assert_eq!(proxy.get_with("/a", &stored).await.status(), 504);
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_rule_answers_by_itself() {
    let origin = Origin::start().await;
    let proxy = ruled(
        &origin,
        "[[rule]]\npath = \"/robots.txt\"\nrespond = { body = \"Disallow: /\", headers = { Cache-Control = \"max-age=60\" } }\n\
         [[rule]]\npath = \"/old/**\"\nredirect = { to = \"/$1?$(query)\", status = 308 }\n\
         [[rule]]\npath = \"/gone\"\nrespond.status = 410\n",
    );
    let robots = proxy.get("/robots.txt").await;
    assert_eq!((robots.status(), robots.text()), (200, "Disallow: /"));
    assert_eq!(robots.field("cache-control").unwrap(), "max-age=60");
    assert_eq!(robots.field("content-type").unwrap(), "text/plain; charset=utf-8");
    let head = proxy.ask("HEAD", "/robots.txt", &[]).await;
    assert_eq!((head.field("content-length").unwrap().as_str(), head.text()), ("11", ""));
    for (path, to) in [
        ("/old/a?utm_source=x", "/a?utm_source=x"),
        ("/old/a", "/a"),
        ("/old//evil.example/", "/evil.example/"),
    ] {
        let moved = proxy.get(path).await;
        assert_eq!((moved.status(), moved.field("location").unwrap().as_str()), (308, to));
    }
    assert_eq!(proxy.get("/gone").await.status(), 410);
    assert!(origin.all_received().is_empty());
}

#[tokio::test]
async fn fields_that_a_rule_removes_reach_no_origin() {
    let origin = Origin::start().await;
    origin.on("/a", ok("hello"));
    let proxy = ruled(
        &origin,
        "[[rule]]\nrequest_headers.remove = [\"x-middleware-*\", \"x-nuxt-no-ssr\"]\n",
    );
    let hostile =
        [("X-Middleware-Subrequest", "a"), ("X-Nuxt-No-SSR", "1"), ("X-Middleware", "kept")];
    proxy.get_with("/a", &hostile).await;
    let head = origin.last("/a").head;
    assert!(!head.has("x-middleware-subrequest") && !head.has("x-nuxt-no-ssr"));
    assert!(head.has("x-middleware"));
}

#[tokio::test]
async fn a_purge_is_not_for_rules() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let proxy = Proxy::start_with(&origin, |config| {
        config.rules = rules("[[rule]]\nmethod = \"PURGE\"\nrespond.status = 403\n");
        config.purge.allow = vec!["127.0.0.0/8".parse().unwrap()];
    });
    proxy.get("/a").await;
    let answer = proxy.ask("PURGE", "/a", &[]).await;
    assert_eq!((answer.status(), objects(&answer.json())), (200, 1));
    assert!(!proxy.get("/a").await.is_hit());
}

#[tokio::test]
async fn a_post_invalidates_unless_a_rule_says_otherwise() {
    let origin = Origin::start().await;
    for path in ["/a", "/rpc"] {
        origin.on(path, cacheable("hello"));
    }
    let proxy = ruled(&origin, "[[rule]]\npath = \"/rpc\"\ninvalidate = false\n");
    for (path, is_hit) in [("/a", false), ("/rpc", true)] {
        proxy.get(path).await;
        origin.on(path, status("200 OK", "done"));
        proxy.post(path, "x").await;
        assert_eq!(proxy.get(path).await.is_hit(), is_hit, "{path}");
    }
}
