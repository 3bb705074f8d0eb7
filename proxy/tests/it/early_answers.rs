//! Answers that come while the client is still sending: each client gets its own, and no connection
//! is used again out of step.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::client::{Connection, Http2, text};
use crate::support::message::Head;
use crate::support::origin::{Gate, Origin, Reply, ok, status};
use crate::support::proxy::{Proxy, request};
use crate::support::{in_time, join_all};

/// More than all buffers on the way take.
const CONTENT: usize = 8 << 20;

fn refusal() -> Reply {
    status("413 Content Too Large", "too much")
}

/// An upload of [`CONTENT`] bytes.
fn upload(path: &str, is_chunked: bool) -> Bytes {
    let length = CONTENT.to_string();
    let framing =
        if is_chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", &*length) };
    let mut bytes = request("POST", path, &[framing], "").into_bytes();
    if is_chunked {
        for _ in 0..CONTENT >> 16 {
            bytes.extend_from_slice(b"10000\r\n");
            bytes.extend_from_slice(&vec![b'x'; 1 << 16]);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.resize(bytes.len() + CONTENT, b'x');
    }
    bytes.into()
}

/// Sends everything, and only then reads until the proxy ends the connection: the most patient of
/// clients.
async fn sent_then_read(address: SocketAddr, bytes: Bytes) -> io::Result<Vec<u8>> {
    let mut stream = Connection::open(address).await.stream.into_inner();
    in_time("sending", stream.write_all(&bytes)).await?;
    let mut answer = Vec::new();
    in_time("the answer", stream.read_to_end(&mut answer)).await?;
    Ok(answer)
}

/// Returns the fault of a refusal, if any.
async fn wrong(answer: io::Result<Vec<u8>>) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Some(error.to_string()),
    };
    let mut rest = &*answer;
    let Ok(Some(head)) = Head::read(&mut rest).await else { return Some("no answer".to_owned()) };
    let closes = head.field("connection").as_deref() == Some("close");
    let is_whole = head.length() == Some(rest.len());
    (head.word(1) != "413" || !closes || !is_whole).then(|| head.text.clone())
}

#[tokio::test]
async fn an_early_refusal_by_the_origin_reaches_every_client() {
    let origin = Origin::start().await;
    let never = Gate::closed();
    for (path, reply) in [
        ("/closes", refusal().close()),
        ("/reads-on", refusal()),
        ("/stands-still", refusal().hold(&never)),
    ] {
        origin.on_head(path, reply);
    }
    let proxy = Proxy::start(&origin);
    let mut problems = Vec::new();
    for path in ["/closes", "/reads-on", "/stands-still"] {
        for is_chunked in [false, true] {
            let bytes = upload(path, is_chunked);
            let answers =
                join_all((0..8).map(|_| sent_then_read(proxy.address, bytes.clone()))).await;
            for answer in answers {
                problems.extend(wrong(answer).await.map(|wrong| format!("{path}: {wrong}")));
            }
        }
    }
    assert!(problems.is_empty(), "{} of 48\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test]
async fn a_refusal_of_ours_reaches_every_client() {
    let origin = Origin::start().await;
    origin.on("/a", ok(""));
    let proxy = Proxy::start_with(&origin, |config| config.limits.max_body = 1 << 20);
    let mut problems = Vec::new();
    for is_chunked in [false, true] {
        let bytes = upload("/a", is_chunked);
        let answers = join_all((0..8).map(|_| sent_then_read(proxy.address, bytes.clone()))).await;
        for answer in answers {
            problems.extend(wrong(answer).await);
        }
    }
    assert!(problems.is_empty(), "{} of 16\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test]
async fn an_early_refusal_reaches_an_http2_client() {
    let origin = Origin::start().await;
    origin.on_head("/closes", refusal().close());
    let proxy = Proxy::start(&origin);
    let content: &'static str = Box::leak("x".repeat(CONTENT).into_boxed_str());
    let mut client = Http2::open(proxy.address).await;

    for _ in 0..4 {
        let upload = Request::post("http://site.example/closes");
        let answer = in_time("the answer", client.send(upload, content)).await.unwrap();
        assert_eq!(answer.status(), 413);
        assert_eq!(text(answer).await.unwrap(), "too much");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_only_after_a_clean_exchange() {
    const ROUNDS: usize = 40;
    let origin = Origin::start().await;
    origin.on_head_and_on("/early", refusal());
    origin.on("/innocent", ok("innocent").field("cache-control", "no-store"));
    let proxy = Proxy::start_with(&origin, |config| config.origins[0].retries = 0);
    let proxy = Arc::new(proxy);
    let small = Bytes::from(request("POST", "/early", &[], &"x".repeat(200_000)));

    let rounds = join_all((0..ROUNDS).map(|_| {
        let (proxy, small) = (Arc::clone(&proxy), small.clone());
        async move {
            let mut client = proxy.connect().await;
            client.try_send(&small).await;
            let early = client.answer().await.status();
            let head = proxy.ask("HEAD", "/innocent", &[]).await.status();
            let get = proxy.get("/innocent").await;
            (early, head, get.status(), get.text().to_owned())
        }
    }));
    for round in rounds.await {
        assert_eq!(round, (413, 200, 200, "innocent".to_owned()));
    }
}
