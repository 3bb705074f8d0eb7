//! The dashboard in a real browser: its values against the API under known traffic, what its
//! buttons do, keys, accessibility, a narrow screen, a proxy that does not answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Shellac, site, skipped};

/// Serves pages that may be stored, tagged `both` where a purge is to find them, and a page with a
/// cookie.
async fn serve_pages() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address is free");
    let address = listener.local_addr().expect("it is bound");
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio::spawn(serve(stream)));
        }
    }));
    address
}

/// Answers requests without content, one after the other.
async fn serve(mut stream: TcpStream) {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            received.drain(..end + 4);
            let fields = match head.split(' ').nth(1) {
                Some("/login") => "Cache-Control: max-age=60\r\nSet-Cookie: sid=1",
                Some("/a" | "/b") => "Cache-Control: max-age=600\r\nSurrogate-Key: both",
                _ => "Cache-Control: max-age=600\r\nSurrogate-Key: other <script>",
            };
            let response = format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: 5\r\n\r\nhello");
            if stream.write_all(response.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_and_does_what_it_says_in_a_browser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard/browser");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&chromium).exists() {
        skipped(&format!("there is no {chromium} (Debian: apt-get install chromium)"));
        return;
    }
    if let Err(why) = site::install(&folder) {
        skipped(&why);
        return;
    }
    let shellac = Shellac::before(serve_pages().await);
    let mut check = Command::new("node");
    check.arg("check.mjs").current_dir(&folder).env("CHROMIUM", chromium);
    check.args([shellac.admin().host(), shellac.client().host(), shellac.id().to_string()]);
    let checked = tokio::task::spawn_blocking(move || check.output()).await.expect("it ends");
    let checked = checked.expect("node can be started");
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(checked.status.success() && said.contains("ok all"), "{said}");
}
