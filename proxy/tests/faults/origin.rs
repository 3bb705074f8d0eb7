//! `Origin`: a server that misbehaves in one way at a time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, SockRef, Socket, Type};

/// What the server does with a request once its head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Answers 200 and keeps the connection.
    Serves,
    /// Resets the connection instead of answering.
    Resets,
    /// Never answers.
    Hangs,
    /// Sends the head and the first half of the content, and no more.
    HangsMidBody,
    /// Answers with bytes that are no response.
    AnswersGarbage,
    /// Sends a second response after the first.
    AnswersTwice,
    /// Closes the connection after the response without saying so in it.
    ClosesAfterwards,
    /// Answers the first request of a connection and closes it when another one arrives.
    ClosesUnderTheSecond,
    /// Answers 503.
    AnswersUnavailable,
}

#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    conduct: Arc<Mutex<Conduct>>,
    posts: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn at(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let conduct = Arc::new(Mutex::new(Conduct::Serves));
        let posts = Arc::new(AtomicUsize::new(0));
        let server = Server { conduct: Arc::clone(&conduct), posts: Arc::clone(&posts) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        Self { address, conduct, posts }
    }

    pub(crate) fn set(&self, conduct: Conduct) {
        *self.conduct.lock() = conduct;
    }

    /// Returns the number of POST requests that arrived.
    pub(crate) fn posts(&self) -> usize {
        self.posts.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
struct Server {
    conduct: Arc<Mutex<Conduct>>,
    posts: Arc<AtomicUsize>,
}

impl Server {
    fn serve(&self, mut stream: TcpStream) {
        let mut number = 0;
        while let Some(head) = read_head(&mut stream) {
            number += 1;
            if head.starts_with("POST ") {
                self.posts.fetch_add(1, Ordering::Relaxed);
            }
            let conduct = *self.conduct.lock();
            let goes_on = match conduct {
                Conduct::Serves => stream.write_all(response(&head).as_bytes()).is_ok(),
                Conduct::Resets => {
                    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                    false
                }
                Conduct::Hangs => {
                    read_head(&mut stream);
                    false
                }
                Conduct::HangsMidBody => {
                    let whole = response(&head);
                    stream.write_all(&whole.as_bytes()[..whole.len() - 5]).unwrap();
                    read_head(&mut stream);
                    false
                }
                Conduct::AnswersGarbage => {
                    stream.write_all(b"\x16\x03\x01 no response\r\n\r\n").unwrap();
                    false
                }
                Conduct::AnswersTwice => {
                    let twice = format!("{}{}", response(&head), response("GET /other HTTP/1.1"));
                    stream.write_all(twice.as_bytes()).is_ok()
                }
                Conduct::ClosesAfterwards => {
                    stream.write_all(response(&head).as_bytes()).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    read_head(&mut stream);
                    false
                }
                Conduct::ClosesUnderTheSecond if number > 1 => false,
                Conduct::ClosesUnderTheSecond => {
                    stream.write_all(response(&head).as_bytes()).is_ok()
                }
                Conduct::AnswersUnavailable => {
                    let refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(refusal.as_bytes()).is_ok()
                }
            };
            if !goes_on {
                return;
            }
        }
    }
}

/// Reads a head without content. Returns `None` at the end of the connection.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.extend(byte),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

/// Returns a page that names its path. `/fresh…` may be stored and is fresh for an hour, `/stale…`
/// may be stored, has to be validated each time and may stand in for an error, all else is for one
/// client only.
fn response(head: &str) -> String {
    let path = head.split(' ').nth(1).unwrap();
    let policy = match path {
        fresh if fresh.starts_with("/fresh") => "max-age=3600",
        stale if stale.starts_with("/stale") => "max-age=0, stale-if-error=3600",
        _ => "no-store",
    };
    let length = path.len() + 10;
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: {policy}\r\n\
         ETag: \"1\"\r\n\r\n{path}, and more"
    )
}

/// An address at which attempts to connect stay unanswered: the backlog is full.
#[derive(Debug)]
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the backlog never fills up");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// Returns an address at which connections are refused.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
