//! `shellac warm` as a user runs it: the pages of a sitemap or a list are in the cache afterwards.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::origin::{Origin, Reply, cacheable, ok, status};
use crate::support::proxy::Proxy;
use crate::support::{free_address, in_time};

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
    let nobody = free_address().to_string();
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

/// A gzip file of these contents, a member each.
fn gzip(contents: &[&str]) -> Vec<u8> {
    let members = contents.iter().map(|content| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content.as_bytes()).unwrap();
        encoder.finish().unwrap()
    });
    members.collect::<Vec<_>>().concat()
}

/// A response of any bytes.
fn octets(content: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len());
    Reply::bytes(head).send(content)
}

#[tokio::test]
async fn a_compressed_sitemap_is_read_whatever_its_name_and_fields() {
    let members = ["<urlset><url><loc>http://site.example/a</loc>", "</url></urlset>"];
    let once = gzip(&members);
    let mut twice = GzEncoder::new(Vec::new(), Compression::default());
    twice.write_all(&once).unwrap();
    let twice = twice.finish().unwrap();
    let (name, other_name) = ("/sitemap.xml.gz", "/sitemap");
    for (path, content, fields) in [
        (name, &once[..], &[][..]),
        (name, &once, &[("content-type", "application/gzip")]),
        (name, &once, &[("content-encoding", "gzip"), ("content-type", "text/xml")]),
        (name, &twice, &[("content-encoding", "x-gzip"), ("content-type", "application/gzip")]),
        (name, members.concat().as_bytes(), &[("content-type", "application/gzip")]),
        (other_name, &once, &[("content-type", "text/plain")]),
    ] {
        let origin = Origin::start().await;
        let proxy = Proxy::start(&origin);
        let reply = octets(content);
        let reply = fields.iter().fold(reply, |reply, (name, value)| reply.field(name, value));
        origin.on(path, reply);
        origin.on("/a", cacheable("page"));
        let sitemap = format!("http://site.example{path}");
        let output = warm(&proxy.address.to_string(), &["--sitemap", &sitemap], "").await;
        assert_eq!(tally(&output), [0, 1, 0, 0, 1], "{path} {fields:?}: {output:?}");
    }
}

#[tokio::test]
async fn a_sitemap_that_cannot_be_decompressed_is_an_error_in_words() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin);
    let bomb = gzip(&[&" ".repeat((50 << 20) + 1)]);
    let whole = gzip(&["<urlset></urlset>"]);
    for (path, reply, text) in [
        ("/bomb", octets(&bomb), "it is more than 52428800 bytes when it is decompressed"),
        ("/cut", octets(&whole[..whole.len() - 4]), "it cannot be decompressed"),
        ("/page", octets(&gzip(&["<html></html>"])), "is no sitemap"),
        ("/br", octets(b"\x0b\x02").field("content-encoding", "br"), "the Content-Encoding br,"),
    ] {
        origin.on(path, reply);
        let sitemap = format!("http://site.example{path}");
        let output = warm(&proxy.address.to_string(), &["--sitemap", &sitemap], "").await;
        assert_eq!(output.status.code(), Some(69), "{path}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(text), "{path}: {said}");
    }
}

#[tokio::test]
async fn the_hottest_pages_of_a_deployment_are_fetched_again() {
    let origin = Origin::start().await;
    let proxy = Proxy::start_with(&origin, |config| {
        config.key.deployment = Some("x-deployment-id".parse().unwrap());
    });
    let made_by = |id: &str| {
        let page = cacheable(id).field("x-deployment-id", id);
        page.field("cache-control", "max-age=600, stale-while-revalidate=600")
    };
    for (path, requests) in [("/cold", 2), ("/hot", 5), ("/hotter?a=1&b", 9), ("/new", 20)] {
        origin.on(path, made_by(if path == "/new" { "v 2" } else { "v 1" }));
        for _ in 0..requests {
            proxy.advance(1); // the seconds with a request count
            proxy.get(path).await;
        }
    }
    proxy.purge(r#"{"deploys":[{"id":"v2","grace_seconds":60}]}"#).await;
    for path in ["/cold", "/hot", "/hotter?a=1&b"] {
        origin.on(path, made_by("v2"));
    }
    let (target, admin) = (format!("http://{}", proxy.address), format!("http://{}", proxy.admin));
    let arguments = ["--hottest", "2", "--from-deployment", "v 1", "--admin", &admin];
    let output = warm(&target, &arguments, "").await;
    assert_eq!(tally(&output)[4], 2, "{output:?}");
    for path in ["/hot", "/hotter?a=1&b"] {
        origin.seen(path, 2).await;
    }
    assert_eq!(origin.count("/cold"), 1);
    let none = ["--hottest", "2", "--from-deployment", "v3", "--admin", &admin];
    let output = warm(&target, &none, "").await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing in memory"), "{output:?}");
}
