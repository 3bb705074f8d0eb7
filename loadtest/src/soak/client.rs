//! `Client`: one client of HTTP/1.1, with a connection that it keeps as long as it can, or breaks
//! as it likes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::content::Content;
use super::kind::Kind;
use super::malformed;
use super::origin::Seen;
use super::tally::Tally;
use super::verdict::{Facts, Question, Verdict, Verifier};
use super::wire::{End, Head, Wire};
use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) proxy: SocketAddr,
    pub(crate) tally: Arc<Tally>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) random: Random,
    pub(crate) wire: Option<Wire>,
}

impl Client {
    pub(crate) async fn exchange(&mut self) {
        let kind = Kind::chosen_by(&mut self.random);
        if timeout(PATIENCE, self.exchange_of(kind)).await.is_err() {
            self.wire = None;
            self.tally.count(kind, Verdict::Stuck, false, String::new);
        }
    }

    async fn exchange_of(&mut self, kind: Kind) {
        match kind {
            Kind::Conditional => self.conditional().await,
            Kind::Post => self.post(Upload::Counted).await,
            Kind::PostChunked => self.post(Upload::Chunked).await,
            Kind::AbortUpload => self.post(Upload::BrokenOff).await,
            Kind::Abort => self.abort().await,
            Kind::Pipelined => self.pipelined().await,
            Kind::Malformed => self.malformed().await,
            Kind::PurgeTag | Kind::PurgeUrl => self.purge(kind).await,
            Kind::Tunnel => self.tunnel().await,
            Kind::Head => {
                let question = self.question('c', HOT);
                self.ask(kind, &Question { is_head: true, ..question }, "").await;
            }
            Kind::Range => {
                let first = self.below(150);
                let ranges = vec![(first, first + self.below(5000))];
                let question = self.question('c', if first < 50 { COLD } else { HOT });
                self.ask(kind, &Question { ranges, ..question }, "").await;
            }
            Kind::Ranges => {
                let ranges = vec![(0, 9), (20, 29), (100, 149)];
                let question = self.question('c', HOT);
                self.ask(kind, &Question { ranges, ..question }, "").await;
            }
            _ => {
                let question = self.plain_question(kind);
                self.ask(kind, &question, "").await;
            }
        }
    }

    /// Returns the question of a kind that differs from others only in its path.
    fn plain_question(&mut self, kind: Kind) -> Question {
        match kind {
            Kind::Miss => self.question('c', COLD),
            Kind::Chunked => {
                let count = self.hot_or_cold();
                self.question('k', count)
            }
            Kind::Short => self.question('s', HOT),
            Kind::Slow => self.question('d', COLD),
            Kind::Early => self.question('i', COLD),
            Kind::Truncated => self.question('t', HOT),
            Kind::Surplus => self.question('x', COLD),
            Kind::Vary => {
                let variant = self.below(4).to_string();
                Question { variant, ..self.question('v', HOT) }
            }
            Kind::Uncacheable => {
                let variant = format!("{:x}", self.random.bits());
                Question { variant, ..self.question('n', HOT) }
            }
            _ => self.question('c', HOT),
        }
    }

    pub(crate) fn question(&mut self, kind: char, count: u64) -> Question {
        let host = if self.random.bits().is_multiple_of(2) { "a.soak.test" } else { "b.soak.test" };
        Question::whole(host, format!("/{kind}/{}", self.below(count)), String::new())
    }

    async fn ask(&mut self, kind: Kind, question: &Question, fields: &str) -> Verdict {
        let request = request_of(question, fields);
        let answer = match self.send(request.as_bytes()).await {
            Ok(wire) => answer(wire, question).await,
            Err(_) => Answer::cut(),
        };
        self.settle(kind, question, &answer)
    }

    fn settle(&mut self, kind: Kind, question: &Question, answer: &Answer) -> Verdict {
        let has_surplus = self.wire.as_ref().is_some_and(Wire::has_read_ahead);
        let verdict = match answer.verdict {
            Verdict::Good(_) if has_surplus => Verdict::Wrong("behind the response"),
            verdict => verdict,
        };
        if !answer.keeps || has_surplus {
            self.wire = None;
        }
        self.tally
            .count(kind, verdict, answer.is_hit, || format!("{question:?} {:?}", answer.head));
        verdict
    }

    async fn conditional(&mut self) {
        let question = self.question('c', HOT);
        let Verdict::Good(generation) = self.ask(Kind::Conditional, &question, "").await else {
            return;
        };
        let fields = format!("If-None-Match: \"x\", \"g{generation}\"\r\n");
        let again = Question { known: Some(generation), ..question };
        self.ask(Kind::Conditional, &again, &fields).await;
    }

    /// What is asked for after a purge was answered is newer than everything before the purge.
    async fn purge(&mut self, kind: Kind) {
        let question = self.question('c', HOT);
        let before = self.seen.generation();
        let number = question.path.rsplit('/').next().unwrap_or_default();
        let (path, field) = match kind {
            Kind::PurgeTag => ("/", format!("Surrogate-Key: p-{number}\r\n")),
            _ => (question.path.as_str(), String::new()),
        };
        let request = format!("PURGE {path} HTTP/1.1\r\nHost: {}\r\n{field}\r\n", question.host);
        let reply = match self.send(request.as_bytes()).await {
            Ok(wire) => reply(wire).await,
            Err(_) => None,
        };
        let Some(200) = reply else {
            self.wire = None;
            return self.tally.count(
                kind,
                Verdict::Refused(reply.unwrap_or(0)),
                false,
                String::new,
            );
        };
        self.tally.count(kind, Verdict::Good(0), false, String::new);
        let request = request_of(&question, "");
        let mut answer = match self.send(request.as_bytes()).await {
            Ok(wire) => answer(wire, &question).await,
            Err(_) => Answer::cut(),
        };
        if matches!(answer.verdict, Verdict::Good(generation) if generation <= before) {
            answer.verdict = Verdict::Stale;
        }
        self.settle(kind, &question, &answer);
    }

    async fn post(&mut self, upload: Upload) {
        let (seed, length) = (self.random.bits() >> 1, self.below(20_000));
        let content = Content::stream(seed, length);
        let body = content.all();
        let path = format!("/e/{seed}/{length}");
        let framing = match upload {
            Upload::Chunked => "Transfer-Encoding: chunked".to_owned(),
            Upload::Counted | Upload::BrokenOff => format!("Content-Length: {length}"),
        };
        let expects = upload != Upload::BrokenOff && seed.is_multiple_of(5);
        let expect = if expects { "Expect: 100-continue\r\n" } else { "" };
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a.soak.test\r\n{framing}\r\n{expect}\r\n");
        let whole = match upload {
            Upload::Counted => body,
            Upload::Chunked => chunked(&body),
            Upload::BrokenOff => {
                // At least one byte is missing.
                let half = body.get(..body.len() / 2).unwrap_or_default();
                let request = [head.as_bytes(), half].concat();
                let sent = self.send(&request).await.is_ok();
                self.wire = None;
                let verdict = if sent { Verdict::Cut } else { Verdict::Refused(0) };
                return self.tally.count(Kind::AbortUpload, verdict, false, String::new);
            }
        };
        let answer = match self.upload(&head, &whole, expects).await {
            Ok(wire) => echoed(wire, Verifier::of(content)).await,
            Err(_) => Answer::cut(),
        };
        let kind = if upload == Upload::Chunked { Kind::PostChunked } else { Kind::Post };
        let question = Question::whole("a.soak.test", path, String::new());
        self.settle(kind, &question, &answer);
    }

    async fn upload(&mut self, head: &str, body: &[u8], expects: bool) -> io::Result<&mut Wire> {
        if !expects {
            return self.send(&[head.as_bytes(), body].concat()).await;
        }
        let wire = self.send(head.as_bytes()).await?;
        let interim = wire.head().await?.map(|head| head.status());
        if interim != Some(100) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        wire.send(body).await?;
        Ok(wire)
    }

    async fn abort(&mut self) {
        let count = self.hot_or_cold();
        let question = self.question('c', count);
        let request = request_of(&question, "");
        let verdict = match self.send(request.as_bytes()).await {
            Ok(wire) => beginning(wire, &question).await,
            Err(_) => Verdict::Cut,
        };
        self.wire = None;
        self.tally.count(Kind::Abort, verdict, false, || format!("{question:?}"));
    }

    async fn pipelined(&mut self) {
        let kinds = [Kind::Hit, Kind::Miss, Kind::Uncacheable, Kind::Vary, Kind::Hit];
        let questions = kinds.map(|kind| self.plain_question(kind));
        let requests: String = questions.iter().map(|question| request_of(question, "")).collect();
        if self.send(requests.as_bytes()).await.is_err() {
            self.wire = None;
            return self.tally.count(Kind::Pipelined, Verdict::Cut, false, String::new);
        }
        for (index, question) in questions.iter().enumerate() {
            let answer = match &mut self.wire {
                Some(wire) => answer(wire, question).await,
                None => Answer::cut(),
            };
            if index + 1 == questions.len() {
                self.settle(Kind::Pipelined, question, &answer);
                continue;
            }
            if !answer.keeps {
                self.wire = None;
            }
            let about = || format!("{question:?} {:?}", answer.head);
            self.tally.count(Kind::Pipelined, answer.verdict, answer.is_hit, about);
        }
    }

    /// Whatever comes back has to be an error, or a response that is what it says.
    async fn malformed(&mut self) {
        let request = malformed::request(&mut self.random);
        let verdict = match TcpStream::connect(self.proxy).await {
            Ok(stream) => unasked(Wire::new(stream), &request).await,
            Err(_) => Verdict::Stuck,
        };
        let about = || request.escape_ascii().to_string();
        self.tally.count(Kind::Malformed, verdict, false, about);
    }

    async fn tunnel(&mut self) {
        let content = Content::stream(self.random.bits(), 3000);
        let verdict = match TcpStream::connect(self.proxy).await {
            Ok(stream) => tunneled(Wire::new(stream), &content).await.unwrap_or(Verdict::Cut),
            Err(_) => Verdict::Stuck,
        };
        self.tally.count(Kind::Tunnel, verdict, false, || "a tunnel".to_owned());
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<&mut Wire> {
        let wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::new(TcpStream::connect(self.proxy).await?),
        };
        let wire = self.wire.insert(wire);
        wire.send(bytes).await?;
        Ok(wire)
    }

    fn hot_or_cold(&mut self) -> u64 {
        if self.random.bits().is_multiple_of(2) { HOT } else { COLD }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random.bits() % end
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upload {
    Counted,
    Chunked,
    BrokenOff,
}

#[derive(Debug)]
struct Answer {
    verdict: Verdict,
    is_hit: bool,
    /// The connection may be used again.
    keeps: bool,
    head: Option<Head>,
}

impl Answer {
    const fn cut() -> Self {
        Self { verdict: Verdict::Cut, is_hit: false, keeps: false, head: None }
    }
}

fn request_of(question: &Question, fields: &str) -> String {
    let method = if question.is_head { "HEAD" } else { "GET" };
    let variant = match question.variant.as_str() {
        "" => String::new(),
        variant => format!("X-Variant: {variant}\r\n"),
    };
    let ranges: Vec<String> =
        question.ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let range = match ranges.join(",").as_str() {
        "" => String::new(),
        ranges => format!("Range: bytes={ranges}\r\n"),
    };
    format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\n{variant}{range}{fields}\r\n",
        question.path, question.host
    )
}

/// Reads the response to a question, 1xx before it included.
async fn answer(wire: &mut Wire, question: &Question) -> Answer {
    let Some(head) = final_head(wire).await else { return Answer::cut() };
    let is_hit = head.field("cache-status").is_some_and(|status| status.contains("; hit"));
    let has_content = !question.is_head && head.status() != 304;
    let (verdict, end) = match question.begin(&facts_of(&head)) {
        Err(verdict) => {
            let end =
                if has_content { wire.content(head.framing(), |_| {}).await } else { End::Clean };
            (verdict, end)
        }
        Ok(mut verifier) => {
            let end = if has_content {
                wire.content(head.framing(), |piece| verifier.feed(piece)).await
            } else {
                End::Clean
            };
            (verifier.finish(end), end)
        }
    };
    let keeps = end == End::Clean && !closes(&head);
    Answer { verdict, is_hit, keeps, head: Some(head) }
}

async fn echoed(wire: &mut Wire, mut verifier: Verifier) -> Answer {
    let Some(head) = final_head(wire).await else { return Answer::cut() };
    let end = if head.status() == 200 {
        wire.content(head.framing(), |piece| verifier.feed(piece)).await
    } else {
        wire.content(head.framing(), |_| {}).await
    };
    let verdict = match head.status() {
        200 => verifier.finish(end),
        status => Verdict::Refused(status),
    };
    let keeps = end == End::Clean && !closes(&head);
    Answer { verdict, is_hit: false, keeps, head: Some(head) }
}

async fn beginning(wire: &mut Wire, question: &Question) -> Verdict {
    let Some(head) = final_head(wire).await else { return Verdict::Cut };
    match question.begin(&facts_of(&head)) {
        Err(verdict) => verdict,
        Ok(mut verifier) => {
            verifier.feed(&wire.some().await);
            match verifier.finish(End::Cut) {
                // Chunk sizes are in between then.
                Verdict::Wrong(_) if head.field("transfer-encoding").is_some() => Verdict::Cut,
                verdict => verdict,
            }
        }
    }
}

/// Reads a response that is only looked at for its status.
async fn reply(wire: &mut Wire) -> Option<u16> {
    let head = final_head(wire).await?;
    let end = wire.content(head.framing(), |_| {}).await;
    (end == End::Clean && !closes(&head)).then(|| head.status())
}

async fn unasked(mut wire: Wire, request: &[u8]) -> Verdict {
    if wire.send(request).await.is_err() || wire.stream.shutdown().await.is_err() {
        return Verdict::Cut;
    }
    let mut verdict = Verdict::Cut;
    while let Some(head) = final_head(&mut wire).await {
        let mut body = Vec::new();
        let end = wire.content(head.framing(), |piece| body.extend_from_slice(piece)).await;
        verdict = match (head.status(), head.field("etag"), end) {
            (400.., _, _) => Verdict::Refused(head.status()),
            (_, _, End::Cut) => return Verdict::Cut,
            (_, None, End::Clean) if body.is_empty() => Verdict::Good(0),
            (_, None, End::Clean) => return Verdict::Wrong("in what nobody sends"),
            (_, Some(_), End::Clean) => match Content::described_by(&body) {
                Some(own) if own.all() == body => Verdict::Good(0),
                _ => return Verdict::Wrong("in the content"),
            },
        };
    }
    verdict
}

async fn tunneled(mut wire: Wire, content: &Content) -> io::Result<Verdict> {
    let upgrade = "GET /w/1 HTTP/1.1\r\nHost: a.soak.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    wire.send(upgrade.as_bytes()).await?;
    let status = wire.head().await?.map_or(0, |head| head.status());
    if status != 101 {
        return Ok(Verdict::Refused(status));
    }
    let mut verifier = Verifier::of(content.clone());
    for piece in content.all().chunks(1000) {
        wire.send(piece).await?;
        let mut back = 0;
        while back < piece.len() {
            let some = wire.some().await;
            if some.is_empty() {
                return Ok(Verdict::Cut);
            }
            back += some.len();
            verifier.feed(&some);
        }
    }
    Ok(verifier.finish(End::Clean))
}

async fn final_head(wire: &mut Wire) -> Option<Head> {
    loop {
        let head = wire.head().await.ok()??;
        if head.status() >= 200 {
            return Some(head);
        }
    }
}

fn facts_of(head: &Head) -> Facts<'_> {
    Facts {
        status: head.status(),
        etag: head.field("etag"),
        length: head.field("content-length").and_then(|length| length.parse().ok()),
        content_range: head.field("content-range"),
        content_type: head.field("content-type"),
    }
}

fn closes(head: &Head) -> bool {
    head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len() + 256);
    for piece in body.chunks(CHUNK_BYTES) {
        text.extend_from_slice(format!("{:X};x\r\n", piece.len()).as_bytes());
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n\r\n");
    text
}

const CHUNK_BYTES: usize = 1234;

pub(crate) const HOT: u64 = 200;
/// So many that they do not fit into the store.
pub(crate) const COLD: u64 = 5_000_000;

const PATIENCE: Duration = Duration::from_secs(20);
