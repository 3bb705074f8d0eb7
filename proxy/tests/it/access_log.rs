//! The access log: what a line says, who has none, and that no request waits for one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::origin::{Origin, Reply, cacheable, ok};
use crate::support::reloading::Reloading;
use crate::support::{in_time, until};

struct Log {
    path: PathBuf,
    _folder: TempDir,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("access.log"), _folder: folder }
    }

    /// Settings with this log as the target.
    fn settings(&self, more: &str) -> String {
        settings(&self.path, more)
    }

    async fn lines(&self, count: usize) -> Vec<String> {
        let lines = || {
            let text = fs::read_to_string(&self.path).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        until("lines in the log", || lines().len() >= count).await;
        assert_eq!(lines().len(), count, "{:?}", lines());
        lines()
    }

    async fn objects(&self, count: usize) -> Vec<Value> {
        let lines = self.lines(count).await;
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn settings(path: &Path, more: &str) -> String {
    format!("[log.access]\ntarget = \"file:{}\"\n{more}\n", path.display())
}

/// Asks and lets the request end before the next one begins.
async fn ask(reloading: &Reloading, path: &str, fields: &[(&str, &str)]) {
    drop(in_time("an answer", reloading.proxy.get_with(path, fields)).await);
}

#[tokio::test]
async fn a_line_says_what_became_of_a_request_in_stable_fields() {
    let (origin, log) = (Origin::start().await, Log::new());
    origin.on("/p?a=1&token=secret", cacheable("hello"));
    let rule = "[[rule]]\nname = \"pages\"\npath = \"/p\"\nttl = \"1m\"\n";
    let reloading = Reloading::start(&origin, &format!("{}{rule}", log.settings("")));
    let fields = [
        ("host", "shop.example"),
        ("user-agent", "say \"hi\"\\"),
        ("referer", "https://shop.example/?code=1"),
        ("x-request-id", "r-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("cookie", "_ga=1"),
    ];
    for _ in 0..2 {
        ask(&reloading, "/p?a=1&token=secret", &fields).await;
    }

    let [miss, hit] = log.objects(2).await.try_into().unwrap();
    assert_eq!(miss["cache"], "miss");
    assert_eq!((&miss["fwd"], &miss["stored"]), (&json!("uri-miss"), &json!(true)));
    assert_eq!((&miss["origin"], &miss["origin_status"]), (&json!("app"), &json!(200)));
    assert!(miss["ttfb_ms"].as_f64().unwrap() <= miss["dur_ms"].as_f64().unwrap());
    let mut hit = hit;
    for measured in ["dur_ms", "ttfb_ms", "key_hash", "ts"] {
        assert!(hit.as_object_mut().unwrap().remove(measured).is_some(), "{measured}");
    }
    let expected = json!({
        "log": "access", "client": "127.0.0.1", "method": "GET", "scheme": "http",
        "host": "shop.example", "path": "/p", "query": "a=1&token=***", "proto": "HTTP/1.1",
        "status": 200, "bytes": 5, "bytes_in": 0, "cache": "hit", "ttl": 60,
        "rules": ["pages"], "listener": "main", "request_id": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "ua": "say \"hi\"\\", "referer": "https://shop.example/?code=***",
    });
    assert_eq!(hit, expected);
}

#[tokio::test]
async fn a_format_of_varnishncsa_is_written_as_it_says() {
    let (origin, log) = (Origin::start().await, Log::new());
    origin.on("/p?q=1", cacheable("hello").field("x-a", "1").field("set-cookie", "sid=secret"));
    origin.on("/pass", ok("x"));
    let format = "format = '%h %l %u \"%r\" %s %b %{X-B}i %{X-A}o %{Set-Cookie}o %{Cookie}i \
        %{Varnish:hitmiss}x %{Varnish:handling}x %{Shellac:reason}x %U%q'";
    let reloading = Reloading::start(&origin, &log.settings(format));
    ask(&reloading, "/p?q=1", &[("host", "h"), ("x-b", "a\"b"), ("cookie", "sid=secret")]).await;
    reloading.proxy.ask("POST", "/pass", &[("host", "h")]).await;
    assert_eq!(
        log.lines(2).await,
        [
            "127.0.0.1 - - \"GET http://h/p?q=1 HTTP/1.1\" 200 5 a\\\"b 1 *** *** miss pass cookie /p?q=1",
            "127.0.0.1 - - \"POST http://h/pass HTTP/1.1\" 200 1 - - - - miss pass method /pass",
        ]
    );

    reloading.apply(&log.settings("format = \"combined\"")).await;
    ask(&reloading, "/none", &[("host", "h"), ("user-agent", "curl")]).await;
    let line = log.lines(3).await.pop().unwrap();
    let (before, after) = line.split_once('[').unwrap();
    let (time, after) = after.split_once(']').unwrap();
    assert_eq!(before, "127.0.0.1 - - ");
    // The time at which the request came, a moment before the clock's.
    assert!(time.starts_with("06/Nov/1994:08:49:3") && time.ends_with(" +0000"), "{time}");
    assert_eq!(after, " \"GET http://h/none HTTP/1.1\" 404 - \"-\" \"curl\"");
}

#[tokio::test]
async fn no_byte_of_a_client_forges_a_line() {
    let (origin, log) = (Origin::start().await, Log::new());
    let reloading = Reloading::start(&origin, &log.settings(""));
    let forged = "x\u{e9}\"},{\"status\":200";
    ask(&reloading, "/%0a%22", &[("user-agent", forged), ("referer", "a\tb")]).await;
    let mut refused = reloading.proxy.connect().await;
    refused.send("GET / HTTP/1.1\r\nhost: a b\r\nuser-agent: \x7f\r\n\r\n").await;
    refused.until_closed().await;

    let [line, refused] = log.objects(2).await.try_into().unwrap();
    assert_eq!((&line["ua"], &line["path"]), (&json!(forged), &json!("/%0a%22")));
    assert_eq!((&refused["status"], &refused["reason"]), (&json!(400), &json!("bad_request")));
}

#[tokio::test]
async fn errors_and_clients_that_leave_have_their_reason() {
    let (origin, log) = (Origin::start().await, Log::new());
    origin.on("/broken", Reply::nothing().close());
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    origin.on("/half", Reply::bytes(half).close());
    let reloading = Reloading::start(&origin, &log.settings(""));
    reloading.proxy.get("/broken").await;
    let mut client = reloading.proxy.begin("/half", &[]).await;
    client.until_closed().await;

    let [broken, half] = log.objects(2).await.try_into().unwrap();
    assert_eq!((&broken["status"], &broken["reason"]), (&json!(502), &json!("broken")));
    assert_eq!((&half["complete"], &half["reason"]), (&json!(false), &json!("incomplete")));
}

#[tokio::test]
async fn a_sample_leaves_out_nothing_that_always_has_a_line() {
    let (origin, log) = (Origin::start().await, Log::new());
    origin.on("/a", cacheable("hello"));
    origin.on("/broken", Reply::nothing().close());
    let more = "sample = \"0%\"\nalways = [\"status>=500\", \"path=/keep/*\"]";
    let reloading = Reloading::start(&origin, &log.settings(more));
    for path in ["/a", "/a", "/broken", "/keep/1", "/a"] {
        reloading.proxy.get(path).await;
    }
    let lines = log.objects(2).await;
    let mut paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    paths.sort_unstable(); // each worker has a buffer of its own
    assert_eq!(paths, ["/broken", "/keep/1"]);
    assert!(lines[0].get("sample").is_none(), "it stands for itself");
}

#[tokio::test]
async fn a_log_begins_ends_and_is_opened_again_while_requests_go_on() {
    let (origin, log) = (Origin::start().await, Log::new());
    origin.on("/a", cacheable("hello"));
    let reloading = Reloading::start(&origin, "");
    reloading.proxy.get("/a").await;
    assert!(!log.path.exists());

    reloading.apply(&log.settings("")).await;
    reloading.proxy.get("/a").await;
    log.lines(1).await;
    let moved = log.path.with_extension("1");
    fs::rename(&log.path, &moved).unwrap();
    assert_eq!(reloading.proxy.app.logs.reopen(), 1);
    until("the file", || log.path.exists()).await;
    reloading.proxy.get("/a").await;
    reloading.apply("").await;
    log.lines(1).await; // written and counted, although the log had ended before
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 1);

    reloading.proxy.get("/a").await;
    let written = "shellac_log_lines_total{sink=\"access\"} 2\n";
    in_time("the lines to be counted", async {
        while !reloading.metrics().await.contains(written) {}
    })
    .await;
    assert_eq!(reloading.proxy.app.logs.reopen(), 0);
}

#[tokio::test]
async fn a_full_disk_and_a_pipe_that_nobody_reads_harm_no_request() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let more = "buffer = \"64KiB\"";
    let mut reloading = Reloading::start(&origin, &settings(Path::new("/dev/full"), more));
    let dropped = |metrics: &str| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with("shellac_log_dropped_total{sink=\"access\"}"));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).unwrap()
    };

    reloading.proxy.get("/a").await;
    in_time("the loss to be counted", async {
        while dropped(&reloading.metrics().await) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    reloading.apply(&settings(&pipe, more)).await;
    let before = dropped(&reloading.metrics().await);
    let long = format!("/a?{}", "x".repeat(4000));
    origin.on(&long, cacheable("hello"));
    for _ in 0..100 {
        assert_eq!(reloading.proxy.get(&long).await.status(), 200);
    }
    assert!(dropped(&reloading.metrics().await) > before, "the buffers are full");
    reloading.proxy.leave();
    in_time("the end, which waits for no pipe", reloading.proxy.left()).await;
}
