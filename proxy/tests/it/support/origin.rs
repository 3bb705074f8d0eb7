//! A scripted origin: it speaks any bytes, holds what it is told to hold, and remembers every
//! request.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::in_time;
use super::message::{Head, cut, read_chunked};
use super::tap::{Tap, Wire};

/// An origin on a free port of the loopback interface. It ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request that the origin received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: Head,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: String,
    /// Whether its content arrived to the end.
    pub(crate) is_complete: bool,
    /// Which connection it came on.
    pub(crate) connection: usize,
}

/// What the origin does after a request, step by step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Open(Gate),
    Hold(Gate),
    Close,
    Reset,
    /// Sends back all that comes, until the peer ends.
    Echo,
}

/// Holds a reply until it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

/// What an origin does after it has answered early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Reads, and never answers again.
    Read,
    /// Reads the content, and serves on.
    Serve,
}

type Script = Box<dyn Fn(&Received) -> Reply + Send + Sync>;

#[derive(Default)]
struct Shared {
    scripts: Mutex<HashMap<String, Arc<Script>>>,
    /// Paths that are answered before their content is read, and what comes then.
    hasty: Mutex<HashMap<String, Then>>,
    wire: Wire,
    received: watch::Sender<Vec<Received>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("received", &self.received.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Origin {
    pub(crate) async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        drop(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Self { address, shared }
    }

    /// Answers requests for this path (with its query) so.
    pub(crate) fn on(&self, path: &str, reply: Reply) {
        self.script(path, move |_| reply.clone());
    }

    /// Answers the first request for this path with the first of these, and so on; the last one
    /// stays.
    pub(crate) fn on_each(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let left = Mutex::new(replies.into_iter().collect::<std::collections::VecDeque<_>>());
        self.script(path, move |_| {
            let mut left = left.lock().unwrap();
            if left.len() > 1 { left.pop_front().unwrap() } else { left[0].clone() }
        });
    }

    /// Answers requests for this path by a function of the request.
    pub(crate) fn script(
        &self,
        path: &str,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) {
        let script: Arc<Script> = Arc::new(Box::new(script));
        self.shared.scripts.lock().unwrap().insert(path.to_owned(), script);
    }

    /// Answers requests for this path after their head; what follows on the connection is read and
    /// never answered.
    pub(crate) fn on_head(&self, path: &str, reply: Reply) {
        self.on(path, reply);
        self.shared.hasty.lock().unwrap().insert(path.to_owned(), Then::Read);
    }

    /// Answers requests for this path after their head, reads their content then and serves on.
    pub(crate) fn on_head_and_on(&self, path: &str, reply: Reply) {
        self.on(path, reply);
        self.shared.hasty.lock().unwrap().insert(path.to_owned(), Then::Serve);
    }

    /// Every byte that came, on all connections.
    pub(crate) fn wire(&self) -> &Wire {
        &self.shared.wire
    }

    /// All requests so far.
    pub(crate) fn all_received(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    /// Forgets what came until now.
    pub(crate) fn forget(&self) {
        self.shared.wire.forget();
        self.shared.received.send_modify(Vec::clear);
    }

    /// The requests for this path so far.
    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        self.shared
            .received
            .borrow()
            .iter()
            .filter(|one| one.head.word(1) == path)
            .cloned()
            .collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.received(path).len()
    }

    /// The last request for this path.
    pub(crate) fn last(&self, path: &str) -> Received {
        self.received(path).pop().unwrap()
    }

    /// Waits until so many requests for this path have arrived, and returns the last.
    pub(crate) async fn seen(&self, path: &str, count: usize) -> Received {
        let mut changes = self.shared.received.subscribe();
        let enough = changes
            .wait_for(|all| all.iter().filter(|one| one.head.word(1) == path).count() >= count);
        drop(in_time(&format!("request {count} for {path}"), enough).await.unwrap());
        self.last(path)
    }
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub(crate) async fn passed(&self) {
        let mut state = self.0.subscribe();
        state.wait_for(|is_open| *is_open).await.map(drop).unwrap_or_default();
    }
}

/// A 200 with this content.
pub(crate) fn ok(content: &str) -> Reply {
    status("200 OK", content)
}

/// A response with this status and content; fields come before these.
pub(crate) fn status(status: &str, content: &str) -> Reply {
    Reply::bytes(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{content}", content.len()))
}

/// A 200 that may be shared for a minute.
pub(crate) fn cacheable(content: &str) -> Reply {
    ok(content).field("cache-control", "max-age=60")
}

/// A 304.
pub(crate) fn not_modified() -> Reply {
    Reply::bytes("HTTP/1.1 304 Not Modified\r\n\r\n")
}

impl Reply {
    pub(crate) fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self(Vec::new()).send(bytes)
    }

    /// Answers nothing until the gate opens.
    pub(crate) fn held(gate: &Gate) -> Self {
        Self(vec![Step::Hold(gate.clone())])
    }

    /// Closes the connection instead of answering.
    pub(crate) const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Adds a field to the head that was sent first.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        let head = self.0.iter_mut().find_map(|step| match step {
            Step::Send(bytes) => Some(bytes),
            _ => None,
        });
        let head = head.unwrap();
        let end = head.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
        head.splice(end..end, format!("{name}: {value}\r\n").into_bytes());
        self
    }

    /// Opens the gate when everything before was sent.
    pub(crate) fn opens(self, gate: &Gate) -> Self {
        self.then(Step::Open(gate.clone()))
    }

    pub(crate) fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    pub(crate) fn hold(self, gate: &Gate) -> Self {
        self.then(Step::Hold(gate.clone()))
    }

    pub(crate) fn close(self) -> Self {
        self.then(Step::Close)
    }

    pub(crate) fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    pub(crate) fn echo(self) -> Self {
        self.then(Step::Echo)
    }

    /// The same reply after the gate has opened.
    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.0.insert(0, Step::Hold(gate.clone()));
        self
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        stream.set_nodelay(true).unwrap(); // each step of a reply is on the wire before the next one
        let shared = Arc::clone(&shared);
        drop(tokio::spawn(async move {
            let _broken: io::Result<()> = serve(stream, connection, &shared).await;
        }));
    }
}

async fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(Tap::new(stream, shared.wire.clone()));
    while let Some((received, haste)) = receive(&mut stream, connection, shared).await? {
        let script = shared.script_of(&received);
        shared.received.send_modify(|all| all.push(received.clone()));
        if !received.is_complete && haste.is_none() {
            return Ok(());
        }
        let reply = script.map_or_else(|| status("404 Not Found", ""), |script| script(&received));
        let is_silent = reply.0.is_empty();
        for step in reply.0 {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Hold(gate) => gate.passed().await,
                Step::Open(gate) => gate.open(),
                Step::Close => return Ok(()),
                Step::Reset => {
                    return SockRef::from(stream.get_ref().socket())
                        .set_linger(Some(Duration::ZERO));
                }
                Step::Echo => return echo(&mut stream).await,
            }
        }
        match haste {
            Some(Then::Read) => return stream.read_to_end(&mut Vec::new()).await.map(drop),
            Some(Then::Serve) => drop(read_content(&mut stream, &received.head).await?),
            None => {}
        }
        if is_silent {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    fn script_of(&self, received: &Received) -> Option<Arc<Script>> {
        let scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.get(received.head.word(1)).map(Arc::clone)
    }

    fn haste(&self, head: &Head) -> Option<Then> {
        let hasty = self.hasty.lock().unwrap_or_else(PoisonError::into_inner);
        hasty.get(head.word(1)).copied()
    }
}

/// Reads a request, or only its head where it is answered then.
async fn receive(
    stream: &mut BufReader<Tap>,
    connection: usize,
    shared: &Shared,
) -> io::Result<Option<(Received, Option<Then>)>> {
    let Some(head) = Head::read(stream).await? else { return Ok(None) };
    let (mut content, mut trailers) = (Vec::new(), String::new());
    let haste = shared.haste(&head);
    let result = match haste {
        Some(_) => Err(cut()),
        None => read_content(stream, &head).await.map(|read| (content, trailers) = read),
    };
    let is_complete = result.is_ok();
    Ok(Some((Received { head, content, trailers, is_complete, connection }, haste)))
}

async fn read_content(stream: &mut BufReader<Tap>, head: &Head) -> io::Result<(Vec<u8>, String)> {
    if head.is_chunked() {
        return read_chunked(stream).await;
    }
    let mut content = vec![0; head.length().unwrap_or_default()];
    stream.read_exact(&mut content).await?;
    Ok((content, String::new()))
}

async fn echo(stream: &mut BufReader<Tap>) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown().await,
            length => stream.write_all(buffer.get(..length).ok_or_else(cut)?).await?,
        }
    }
}
