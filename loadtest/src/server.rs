//! The accept loop of our little servers: one thread, HTTP/1.1, by TLS also HTTP/2, and an end in
//! sight.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::server_tls::TlsArguments;

/// Where to listen, and until when.
#[derive(Args, Debug)]
pub(crate) struct ServerArguments {
    /// The address; port 0 takes a free one, printed at start.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Stop after this long, whatever happens.
    #[arg(long = "for", default_value = "30m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// Stop when standard input is closed, too: the server does not outlive who started it.
    #[arg(long)]
    exit_with_stdin: bool,
    #[command(flatten)]
    tls: TlsArguments,
}

/// Serves with `answer` until the lifetime is over.
pub(crate) async fn serve<A, F>(arguments: &ServerArguments, answer: A) -> anyhow::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot bind {}", arguments.listen))?;
    let tls = arguments.tls.acceptor()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    writeln!(io::stdout(), "listening on {scheme}://{}", listener.local_addr()?)?;
    tokio::select! {
        result = accept_forever(listener, tls, answer) => result,
        () = sleep(arguments.lifetime) => Ok(()),
        () = stdin_closed(arguments.exit_with_stdin) => Ok(()),
    }
}

async fn accept_forever<A, F>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answer: A,
) -> anyhow::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        let connection = serve_connection(stream, tls.clone(), answer.clone());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

const CONNECTIONS_MAX: usize = 8192;

async fn serve_connection<A, F>(stream: TcpStream, tls: Option<TlsAcceptor>, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    // Both fail only when the client has gone, which is its own business.
    stream.set_nodelay(true).unwrap_or_default();
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let Some(tls) = tls else {
        let stream = TokioIo::new(stream);
        return http1::Builder::new().serve_connection(stream, service).await.unwrap_or_default();
    };
    if let Ok(stream) = tls.accept(stream).await {
        let stream = TokioIo::new(stream);
        let _left =
            auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    }
}

/// Ends with standard input, or never when that was not asked for.
async fn stdin_closed(is_watched: bool) {
    if !is_watched {
        return std::future::pending().await;
    }
    let (closed, is_closed) = oneshot::channel::<()>();
    // A read of standard input cannot be cancelled: it gets a thread that the process does not wait
    // for.
    thread::spawn(move || {
        let mut ignored = [0; 1024];
        while io::stdin().read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
        drop(closed);
    });
    // The sender says nothing, it only goes away.
    is_closed.await.unwrap_or_default();
}
