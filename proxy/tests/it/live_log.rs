//! `/api/v1/stream/log`: requests as they end, for readers that may be slow.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::support::client::Connection;
use crate::support::in_time;
use crate::support::origin::{Origin, Reply, cacheable};
use crate::support::reloading::Reloading;

async fn follow(reloading: &Reloading, query: &str) -> Connection {
    let mut stream = Connection::open(reloading.proxy.admin).await;
    let head = format!("GET /api/v1/stream/log{query} HTTP/1.1\r\nhost: h\r\n\r\n");
    stream.send(head).await;
    read_until(&mut stream, "requests follow").await;
    stream
}

async fn read_until(stream: &mut Connection, end: &str) -> String {
    let read = async {
        let mut text = String::new();
        while !text.contains(end) {
            text.push_str(&String::from_utf8_lossy(&stream.bytes(1).await));
        }
        text
    };
    in_time(end, read).await
}

#[tokio::test]
async fn a_reader_gets_the_requests_that_its_filter_means() {
    let origin = Origin::start().await;
    origin.on("/a", cacheable("hello"));
    origin.on("/broken", Reply::nothing().close());
    let reloading = Reloading::start(&origin, "");
    let mut errors = follow(&reloading, "?filter=errors+or+path%3D/last").await;
    let mut combined = follow(&reloading, "?format=combined&filter=cache%3Dhit").await;

    for path in ["/a", "/a?token=secret", "/broken", "/a", "/last"] {
        reloading.proxy.get_with(path, &[("host", "h")]).await;
    }
    let text = read_until(&mut errors, "/last").await;
    let paths: Vec<&str> = ["/broken", "/a"].into_iter().filter(|it| text.contains(it)).collect();
    assert_eq!(paths, ["/broken"]);
    assert!(
        text.contains("\"reason\":\"broken\"") && text.contains("event: log\nid: 1\n"),
        "{text}"
    );
    let line = read_until(&mut combined, "\"-\" \"-\"").await;
    assert!(line.contains("\"GET http://h/a HTTP/1.1\" 200 5 \"-\" \"-\""), "{line}");

    let wrong = reloading.proxy.ask_admin("GET", "/api/v1/stream/log?filter=slow", &[], "").await;
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().contains("`slow` is no filter"), "{}", wrong.text());
}

#[tokio::test]
async fn a_reader_that_takes_nothing_harms_no_request_and_is_told_its_loss() {
    let origin = Origin::start().await;
    let long = format!("/a?{}", "x".repeat(7000));
    origin.on(&long, cacheable("hello"));
    let reloading = Reloading::start(&origin, "");
    let dropped = |metrics: &str| {
        let of_live = |line: &&str| line.starts_with("shellac_log_dropped_total{sink=\"live\"}");
        let line = metrics.lines().find(of_live);
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).unwrap()
    };
    let mut stalled = follow(&reloading, "").await;
    let mut connection = reloading.proxy.connect().await;
    let lose = async {
        while dropped(&reloading.metrics().await) == 0 {
            for _ in 0..200 {
                connection.send(format!("GET {long} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
                assert_eq!(connection.answer().await.status(), 200);
            }
        }
    };
    in_time("a loss", lose).await;
    in_time("the loss to be told", async {
        let (mut text, mut buffer) = (String::new(), vec![0; 1 << 16]);
        while !text.contains("event: dropped\ndata: {\"dropped\":") {
            let count = stalled.stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "the stream goes on");
            let kept = text.len().saturating_sub(100);
            text = text.get(kept..).unwrap_or_default().to_owned();
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    })
    .await;

    // Who leaves costs nothing any more.
    drop(stalled);
    in_time("the end of the reader", async {
        loop {
            let before = lines(&reloading.metrics().await);
            connection.send(format!("GET {long} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
            connection.answer().await;
            if lines(&reloading.metrics().await) == before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn lines(metrics: &str) -> String {
    let of_live = |line: &&str| line.starts_with("shellac_log_lines_total{sink=\"live\"}");
    metrics.lines().find(of_live).unwrap().to_owned()
}
