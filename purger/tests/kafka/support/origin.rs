//! An origin in this process: numbered pages, each with a tag, a version that the test raises, and
//! an entity tag.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// The origin. `/p/{n}` is page n; its tag is `page-{n}`, its body `page {n} version {v}`.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    site: Arc<Site>,
}

#[derive(Debug)]
struct Site {
    versions: Vec<AtomicU64>,
    requests: AtomicU64,
    ended: AtomicBool,
}

impl Origin {
    pub(crate) fn start(pages: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let versions = (0..pages).map(|_| AtomicU64::new(0)).collect();
        let site = Site { versions, requests: AtomicU64::new(0), ended: AtomicBool::new(false) };
        let site = Arc::new(site);
        let served = Arc::clone(&site);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.ended.load(Ordering::Relaxed) {
                    return;
                }
                let site = Arc::clone(&served);
                thread::spawn(move || stream.and_then(|stream| serve(&site, stream)));
            }
        });
        Self { address, site }
    }

    pub(crate) fn version(&self, page: usize) -> u64 {
        self.site.versions[page].load(Ordering::SeqCst)
    }

    pub(crate) fn publish(&self, page: usize, version: u64) {
        self.site.versions[page].store(version, Ordering::SeqCst);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.site.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.site.ended.store(true, Ordering::Relaxed);
        let _wakes = TcpStream::connect(self.address);
    }
}

pub(crate) fn shown_version(body: &str) -> Option<u64> {
    body.split_whitespace().nth(3)?.parse().ok()
}

fn serve(site: &Site, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut health) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("if-none-match") => {
                    value.clone_into(&mut health);
                }
                None if path.is_empty() => {
                    line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
                }
                _ => {}
            }
        }
        stream.get_mut().write_all(&answer(site, &path, &health))?;
    }
}

fn answer(site: &Site, path: &str, health: &str) -> Vec<u8> {
    site.requests.fetch_add(1, Ordering::SeqCst);
    let page = path.strip_prefix("/p/").and_then(|number| number.parse::<usize>().ok());
    let found = page.and_then(|page| Some((page, site.versions.get(page)?.load(Ordering::SeqCst))));
    let Some((page, version)) = found else {
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
    };
    let tag = format!("\"{page}-{version}\"");
    let fields =
        format!("cache-control: max-age=86400\r\nsurrogate-key: page-{page}\r\netag: {tag}\r\n");
    if health == tag {
        return format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n").into_bytes();
    }
    let body = format!("page {page} version {version}\n");
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{fields}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
