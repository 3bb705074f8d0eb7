//! `shellac warm` as a user runs it: the pages of a sitemap or a list are in the cache afterwards.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::support::in_time;
use crate::support::origin::{Origin, cacheable, ok, status};
use crate::support::proxy::Proxy;

async fn warm(target: &str, arguments: &[&str], input: &'static str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shellac"));
    command
        .args(["warm", "--target", target, "--rps", "10000"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().unwrap();
        // Who fails before it reads does not read.
        let _unread: std::io::Result<()> = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    in_time("warming", tokio::task::spawn_blocking(run)).await.unwrap()
}

/// The numbers of the tally: hits, stored, not stored, errors, pages.
fn tally(output: &Output) -> Vec<u64> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn the_pages_of_an_index_of_sitemaps_are_in_the_cache_afterwards() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let index = "<sitemapindex><sitemap><loc>http://site.example/one.xml</loc></sitemap>\
                 <sitemap><loc>http://site.example/two.xml</loc></sitemap>\
                 <sitemap><loc>http://site.example/index.xml</loc></sitemap></sitemapindex>";
    let page = |path: &str| format!("<url><loc>https://site.example{path}</loc></url>");
    origin.on("/index.xml", ok(index));
    origin.on("/one.xml", ok(&format!("<urlset>{}{}</urlset>", page("/a"), page("/b?x&amp;y"))));
    origin.on("/two.xml", ok(&format!("<urlset>{}{}</urlset>", page("/a"), page("/c"))));
    for path in ["/a", "/b?x&y", "/c"] {
        origin.on(path, cacheable("page"));
    }
    proxy.get("/c").await;

    let target = format!("http://{}", proxy.address);
    let output = warm(&target, &["--sitemap", "http://site.example/index.xml"], "").await;

    assert_eq!(tally(&output), [1, 2, 0, 0, 3], "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "no bar without a terminal: {output:?}");
    for path in ["/a", "/b?x&y", "/c"] {
        assert!(proxy.get(path).await.is_hit(), "{path}");
    }
}

#[tokio::test]
async fn a_list_is_fetched_with_the_fields_that_are_given_and_errors_are_told() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    origin.on("/a", cacheable("page").field("vary", "x-device"));
    origin.on("/private", ok("").field("cache-control", "private"));
    origin.on("/broken", status("500 Internal Server Error", ""));
    let list = "# pages\nhttp://site.example/a\n\nsite.example/private\nhttp://site.example/broken\nftp://x/\n";

    let target = proxy.address.to_string();
    let output = warm(&target, &["--urls", "-", "-H", "X-Device: phone"], list).await;

    assert_eq!(tally(&output), [0, 1, 1, 2, 4], "{output:?}");
    assert_eq!(output.status.code(), Some(75));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("500 Internal Server Error") && told.contains("/broken"), "{told}");
    assert!(proxy.get_with("/a", &[("X-Device", "phone")]).await.is_hit());
    assert!(!proxy.get_with("/a", &[("X-Device", "tv")]).await.is_hit());
}

#[tokio::test]
async fn what_cannot_be_reached_or_read_has_its_exit_code() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let target = proxy.address.to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    for (target, arguments, code) in [
        (&nobody, ["--urls", "-"], 69),
        (&nobody, ["--sitemap", "http://site.example/s.xml"], 69),
        (&target, ["--sitemap", "http://site.example/missing.xml"], 69),
        (&target, ["--urls", "/does/not/exist"], 74),
        (&target, ["--concurrency", "0"], 2),
    ] {
        let output = warm(target, &arguments, "http://site.example/a\n").await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
    }
}
