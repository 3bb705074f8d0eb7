//! Files with a hash in their names: they outlive deploys, and are asked for at two servers.

use serde_json::json;
use settings::{Balance, Config, Sources};

use crate::support::origin::{Origin, Reply, cacheable, ok, status};
use crate::support::proxy::Proxy;

const FILE: &str = "/_next/static/chunks/a.js";

fn with_preset(config: &mut Config) {
    let text = "[origin.app]\nservers = [\"a:1\"]\n[[rule]]\npreset = \"nextjs\"\n".to_owned();
    let sources = Sources { file: Some(("config.toml".to_owned(), text)), ..Sources::default() };
    config.rules = Config::load(&sources).unwrap().rules;
}

fn file() -> Reply {
    let file = cacheable("code").field("content-type", "text/javascript");
    file.field("x-deployment-id", "v1")
}

fn gone() -> Reply {
    status("404 Not Found", "").field("cache-control", "max-age=60")
}

/// Starts servers of one origin, which have the file or not, and a proxy in front of all.
async fn servers(replies: Vec<Reply>) -> (Vec<Origin>, Proxy) {
    let mut origins = Vec::new();
    for reply in replies {
        let origin = Origin::start().await;
        origin.on(FILE, reply.clone());
        origin.on("/page", reply);
        origins.push(origin);
    }
    let proxy = Proxy::start_with(&origins[0], |config| {
        with_preset(config);
        let origin = &mut config.origins[0];
        origin.servers.extend(origins[1..].iter().map(|server| server.address.into()));
        origin.balance = Balance::RoundRobin;
    });
    (origins, proxy)
}

#[tokio::test]
async fn a_hashed_file_outlives_its_deletion_at_the_origin_for_the_grace() {
    const DAY: u64 = 86_400;
    for path in [FILE, "/page"] {
        let origin = Origin::start().await;
        origin.on_each(path, [file(), gone()]);
        let proxy = Proxy::start_with(&origin, with_preset);
        proxy.get(path).await;
        for (seconds, expected) in [(DAY, 200), (5 * DAY, 200), (2 * DAY, 404)] {
            proxy.advance(seconds);
            let expected = if path == FILE { expected } else { 404 };
            assert_eq!(proxy.get(path).await.status(), expected, "{path} after {seconds}");
        }
    }
}

/// S3 answers 403 for a missing file where the bucket may not be listed.
#[tokio::test]
async fn every_way_to_say_that_a_hashed_file_is_missing_is_covered_by_a_stored_one() {
    for (missing, expected) in [
        ("404 Not Found", 200),
        ("410 Gone", 200),
        ("403 Forbidden", 200),
        ("503 Service Unavailable", 200),
        ("401 Unauthorized", 401),
        ("400 Bad Request", 400),
    ] {
        let origin = Origin::start().await;
        let other = "/_next/static/chunks/never-stored.js";
        for path in [FILE, other] {
            let before = (path == FILE).then(file);
            let missing = || status(missing, "").field("cache-control", "max-age=60");
            origin.on_each(path, before.into_iter().chain([missing(), missing()]));
        }
        let proxy = Proxy::start_with(&origin, with_preset);
        proxy.get(FILE).await;
        proxy.advance(86_400);

        assert_eq!(proxy.get(FILE).await.status(), expected, "{missing}");

        let status = missing.split(' ').next().unwrap().parse::<u16>().unwrap();
        assert_eq!(proxy.get(other).await.status(), status);
        assert_eq!(proxy.get(other).await.status(), status);
        assert!(origin.count(other) >= 2, "{missing} is not stored");
    }
}

#[tokio::test]
async fn a_soft_purge_leaves_a_hashed_file_and_a_hard_one_takes_it() {
    for (mode, expected) in [("soft", 200), ("hard", 404)] {
        let origin = Origin::start().await;
        origin.on_each(FILE, [file(), gone()]);
        let proxy = Proxy::start_with(&origin, with_preset);
        proxy.get(FILE).await;
        let purge = json!({ "hosts": ["site.example"], "mode": mode });
        assert_eq!(proxy.purge(&purge.to_string()).await["matched"]["objects"], 1);
        assert_eq!(proxy.get(FILE).await.status(), expected, "{mode}");
        assert_eq!(origin.count(FILE), 2, "{mode}");
    }
}

#[tokio::test]
async fn a_deploy_takes_no_hashed_file_away() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        with_preset(config);
        config.key.deployment = Some("x-deployment-id".parse().unwrap());
    });
    for path in [FILE, "/page"] {
        origin.on_each(path, [file(), gone()]);
        proxy.get(path).await;
    }
    let deploy = json!({ "deploys": [{ "id": "v2", "grace_seconds": 0 }] });
    assert_eq!(proxy.purge(&deploy.to_string()).await["matched"]["objects"], 1);
    assert!(proxy.get(FILE).await.is_hit());
    assert_eq!(proxy.get("/page").await.status(), 404);
}

#[tokio::test]
async fn a_missing_file_is_asked_for_once_more_at_another_server() {
    for (replies, expected, asked) in [
        (vec![gone(), file(), gone()], 200, 2),
        (vec![status("500 Internal Server Error", ""), file(), gone()], 200, 2),
        (vec![gone(), gone(), file()], 404, 2),
        (vec![file(), gone(), gone()], 200, 1),
    ] {
        let (origins, proxy) = servers(replies).await;
        let answer = proxy.get(FILE).await;
        let count = |path| origins.iter().map(|origin| origin.count(path)).sum::<usize>();
        assert_eq!((answer.status(), count(FILE)), (expected, asked));
    }
    let (origins, proxy) = servers(vec![gone(), file()]).await;
    assert_eq!(proxy.get("/page").await.status(), 404, "a page that is missing is missing");
    assert_eq!(origins[1].count("/page"), 0);
}

#[tokio::test]
async fn an_answer_that_a_file_is_missing_stands_if_the_other_server_gives_none() {
    let (origins, proxy) = servers(vec![gone(), Reply::default().close()]).await;
    assert_eq!(proxy.get(FILE).await.status(), 404);
    assert_ne!(origins[1].count(FILE), 0);
}

/// One client provokes another answer for a file than others get.
#[tokio::test]
async fn an_odd_answer_does_not_end_the_grace_of_a_hashed_file() {
    let refused = |line: &str| status(line, "no");
    let page = ok("<html>").field("content-type", "text/html");
    for odd in [refused("400 Bad Request"), refused("401 Unauthorized"), page] {
        let origin = Origin::start().await;
        origin.on_each(FILE, [file(), odd, gone()]);
        let proxy = Proxy::start_with(&origin, with_preset);
        proxy.get(FILE).await;
        proxy.advance(86_400);

        proxy.get(FILE).await;
        assert_eq!(proxy.get(FILE).await.status(), 200);
    }
}
