//! `Origin`: shows the version that a page had when the request arrived, a little later.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::page::Page;
use super::random::Random;
use super::runtime;
use super::truth::Truth;

/// A server in a thread of its own. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Script {
    pages: Vec<Page>,
    truth: Truth,
    padding: usize,
    is_failing: bool,
    random: Mutex<Random>,
}

impl Origin {
    /// `is_failing`: it answers one request in three with an error.
    pub(crate) fn start(
        pages: &[Page],
        truth: &Truth,
        (padding, is_failing): (usize, bool),
        random: Random,
    ) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        socket.set_nonblocking(true).expect("sockets can be asynchronous");
        let address = socket.local_addr().expect("it is bound");
        let (pages, truth, random) = (pages.to_vec(), truth.clone(), Mutex::new(random));
        let script = Arc::new(Script { pages, truth, padding, is_failing, random });
        let (end, ended) = oneshot::channel();
        let serve = move || {
            runtime().block_on(async {
                let listener = TcpListener::from_std(socket).expect("it is a listening socket");
                tokio::select! {
                    () = accept(listener, script) => {}
                    _ = ended => {}
                }
            });
        };
        Self { address, end: Some(end), thread: Some(thread::spawn(serve)) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    loop {
        let (stream, _) = listener.accept().await.expect("the proxy connects");
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let script = Arc::clone(&script);
                async move { Ok::<_, Infallible>(script.answer(&request).await) }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

impl Script {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Content> {
        let page = &self.pages[Page::number_in(request.uri().path())];
        let deployment = self.truth.deployment();
        let version = self.truth.current(page.number);
        let millis = self.random.lock().expect("no thread panicked").one_of(&RENDER_MILLIS);
        if millis > 0 {
            sleep(Duration::from_millis(millis)).await;
        }
        if self.is_failing && self.random.lock().expect("no thread panicked").one_in(3) {
            let mut response = Response::new(Content::of(String::new(), true));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        let text = |name| request.headers().get(name).map_or(&b""[..], |value| value.as_bytes());
        let is_confirmed = page.is_confirmed(text(IF_NONE_MATCH), version);
        let language = String::from_utf8_lossy(text(ACCEPT_LANGUAGE)).into_owned();
        let content = page.content(version, &language, self.padding);
        let mut response = Response::new(if is_confirmed {
            Content::of(String::new(), true)
        } else {
            // Half of the pages do not say how long they are: their end is a thing of its own.
            Content::of(content, page.number.is_multiple_of(2))
        });
        if is_confirmed {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        *response.headers_mut() = page.fields(version);
        response.headers_mut().insert("x-deployment-id", deployment.into());
        response
    }
}

/// Content in one piece, whose length is told or not.
#[derive(Debug)]
struct Content {
    piece: Option<Bytes>,
    is_length_told: bool,
}

impl Content {
    fn of(text: String, is_length_told: bool) -> Self {
        Self { piece: Some(text.into()), is_length_told }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.piece.take().filter(|piece| !piece.is_empty());
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.piece {
            Some(piece) if self.is_length_told => SizeHint::with_exact(piece.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// The duration of renders.
const RENDER_MILLIS: [u64; 8] = [0, 0, 0, 0, 1, 1, 2, 3];
