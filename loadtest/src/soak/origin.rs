//! The origin server of a soak: every response is another generation, and some of them are wrong on
//! purpose.
//!
//! | path | what is sent |
//! |---|---|
//! | `/c/` `/k/` | cacheable, with a length or in chunks with extensions and a trailer |
//! | `/v/` `/s/` | cacheable, by `X-Variant`; for a second |
//! | `/n/` | not to be stored, for `X-Variant` alone |
//! | `/d/` `/i/` | in pieces with pauses; after a 103 |
//! | `/t/` | broken off: closed or reset before the promised length, or without the last chunk |
//! | `/x/` | with another response behind it that nobody asked for |
//! | `/e/seed/length` | the request's content, which it checks, sent back |
//! | `/w/` | a tunnel that sends everything back |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::content::Content;
use super::verdict::generation_of;
use super::wire::{End, Framing, Head, Wire};

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests, and the newest generation.
    pub(crate) requests: AtomicU64,
    /// Answered with 304.
    pub(crate) validated: AtomicU64,
    pub(crate) malformed: AtomicU64,
    /// Request bodies that were not what the client had sent, though they ended cleanly.
    pub(crate) wrong_bodies: AtomicU64,
    pub(crate) smuggled: AtomicU64,
}

impl Seen {
    /// The newest generation: whatever is sent from now on is newer.
    pub(crate) fn generation(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, seen: Arc<Seen>) -> io::Result<()> {
    loop {
        let (stream, _): (TcpStream, SocketAddr) = listener.accept().await?;
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut connection = Connection { wire: Wire::new(stream), seen };
            // It ends when the proxy has enough of it, or when it has broken something off.
            while connection.exchange().await.unwrap_or(Next::Close) == Next::Another {}
        });
    }
}

struct Connection {
    wire: Wire,
    seen: Arc<Seen>,
}

#[derive(PartialEq, Eq)]
enum Next {
    Another,
    Close,
}

struct Asked {
    kind: String,
    path: String,
    host: String,
    variant: String,
    is_head: bool,
}

impl Connection {
    async fn exchange(&mut self) -> io::Result<Next> {
        let Some(head) = self.wire.head().await? else { return Ok(Next::Close) };
        let generation = self.seen.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if !head.is_strict() {
            self.seen.malformed.fetch_add(1, Ordering::Relaxed);
        }
        let Some(asked) = Asked::of(&head) else {
            self.seen.malformed.fetch_add(1, Ordering::Relaxed);
            return Ok(Next::Close);
        };
        if asked.path.contains("smuggled") {
            self.seen.smuggled.fetch_add(1, Ordering::Relaxed);
        }
        match asked.kind.as_str() {
            "e" => self.echo(&head, &asked).await,
            "w" => self.tunnel(&head).await,
            _ => {
                let body_end = self.wire.content(request_framing(&head), |_| {}).await;
                if body_end == End::Cut {
                    return Ok(Next::Close);
                }
                self.answer(&head, &asked, generation).await
            }
        }
    }

    async fn answer(&mut self, head: &Head, asked: &Asked, generation: u64) -> io::Result<Next> {
        let known = head.field("if-none-match").and_then(generation_of);
        // A validation finds no change every other time.
        if let Some(known) = known.filter(|_| generation.is_multiple_of(2)) {
            self.seen.validated.fetch_add(1, Ordering::Relaxed);
            let fields = asked.fields(known);
            self.wire.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n").as_bytes()).await?;
            return Ok(Next::Another);
        }
        let content = Content::of(&asked.host, &asked.path, &asked.variant, generation);
        let fields = asked.fields(generation);
        let length = content.length();
        let counted = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n");
        let chunked = format!("HTTP/1.1 200 OK\r\n{fields}transfer-encoding: chunked\r\n\r\n");
        if asked.is_head {
            self.wire.send(counted.as_bytes()).await?;
            return Ok(Next::Another);
        }
        let (counted, chunked) = (counted.into_bytes(), chunked.into_bytes());
        let all = content.all();
        match asked.kind.as_str() {
            "k" => {
                let whole = [&chunked[..], &chunks(&all), LAST_CHUNK_WITH_TRAILER].concat();
                self.wire.send(&whole).await?;
            }
            "d" => self.slowly(counted, &all).await?,
            "i" => {
                let early = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
                self.wire.send(&[&early[..], &counted, &all].concat()).await?;
            }
            "t" => return self.break_off(generation, &counted, &chunked, &all).await,
            "x" if generation.is_multiple_of(2) => {
                self.wire.send(&[&counted[..], &all, UNASKED].concat()).await?;
            }
            "x" => {
                let whole = [&chunked[..], &chunks(&all), b"0\r\n\r\n", UNASKED].concat();
                self.wire.send(&whole).await?;
            }
            _ => self.wire.send(&[counted, all].concat()).await?,
        }
        Ok(Next::Another)
    }

    async fn slowly(&mut self, head: Vec<u8>, all: &[u8]) -> io::Result<()> {
        self.wire.send(&head).await?;
        for piece in all.chunks(all.len() / 4 + 1) {
            sleep(PAUSE).await;
            self.wire.send(piece).await?;
        }
        Ok(())
    }

    async fn break_off(
        &mut self,
        generation: u64,
        counted: &[u8],
        chunked: &[u8],
        all: &[u8],
    ) -> io::Result<Next> {
        let (part, _) = all.split_at(all.len() / 2);
        let is_reset = generation.is_multiple_of(3);
        if generation.is_multiple_of(2) {
            self.wire.send(&[counted, part].concat()).await?;
        } else {
            self.wire.send(&[chunked, &chunks(part)].concat()).await?;
        }
        if is_reset {
            self.wire.stream.set_zero_linger()?;
        }
        Ok(Next::Close)
    }

    async fn echo(&mut self, head: &Head, asked: &Asked) -> io::Result<Next> {
        let mut numbers = asked.path.split('/').skip(2).map(str::parse::<u64>);
        let (Some(Ok(seed)), Some(Ok(length))) = (numbers.next(), numbers.next()) else {
            return Ok(Next::Close);
        };
        if head.field("expect").is_some() {
            self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut body = Vec::new();
        let end =
            self.wire.content(request_framing(head), |piece| body.extend_from_slice(piece)).await;
        let sent = Content::stream(seed, length);
        let is_whole = body.len() as u64 == length;
        let is_right = sent.has_at(0, &body) && (is_whole || end == End::Cut);
        if !is_right {
            self.seen.wrong_bodies.fetch_add(1, Ordering::Relaxed);
        }
        if end == End::Cut {
            return Ok(Next::Close);
        }
        let fields = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\n";
        let whole = if seed.is_multiple_of(2) {
            let head = format!("{fields}content-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), &body].concat()
        } else {
            let head = format!("{fields}transfer-encoding: chunked\r\n\r\n");
            [head.as_bytes(), &chunks(&body), b"0\r\n\r\n"].concat()
        };
        self.wire.send(&whole).await?;
        Ok(Next::Another)
    }

    async fn tunnel(&mut self, head: &Head) -> io::Result<Next> {
        if head.field("upgrade").is_none() {
            self.wire.send(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n").await?;
            return Ok(Next::Another);
        }
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        self.wire.send(switch).await?;
        loop {
            let piece = self.wire.some().await;
            if piece.is_empty() {
                return Ok(Next::Close);
            }
            self.wire.send(&piece).await?;
        }
    }
}

impl Asked {
    fn of(head: &Head) -> Option<Self> {
        let mut words = head.start_line().split(' ');
        let (method, path, _version) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            kind: path.split('/').nth(1)?.to_owned(),
            path: path.to_owned(),
            host: head.field("host")?.to_owned(),
            variant: head.field("x-variant").unwrap_or_default().to_owned(),
            is_head: method == "HEAD",
        })
    }

    fn fields(&self, generation: u64) -> String {
        let control = match self.kind.as_str() {
            "s" => "max-age=1",
            "n" => "private, no-store",
            _ => "max-age=600",
        };
        let vary = if self.kind == "v" { "vary: x-variant\r\n" } else { "" };
        let number = self.path.rsplit('/').next().unwrap_or_default();
        format!(
            "etag: \"g{generation}\"\r\ncache-control: {control}\r\n{vary}surrogate-key: k-{} p-{number}\r\n",
            self.kind
        )
    }
}

fn request_framing(head: &Head) -> Framing {
    match head.framing() {
        Framing::Close => Framing::Length(0),
        framing => framing,
    }
}

fn chunks(all: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(all.len() + 1024);
    for (index, piece) in all.chunks(CHUNK_BYTES).enumerate() {
        let extension = if index % 2 == 1 { ";a=\"b\"" } else { "" };
        text.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    text
}

const CHUNK_BYTES: usize = 3001;

const LAST_CHUNK_WITH_TRAILER: &[u8] = b"0\r\nx-trailer: 1\r\n\r\n";

/// What a client would take for its response if the proxy did.
const UNASKED: &[u8] =
    b"HTTP/1.1 200 OK\r\netag: \"g1\"\r\ncache-control: max-age=600\r\ncontent-length: 9\r\n\r\nUNASKED!!";

const PAUSE: Duration = Duration::from_millis(2);
