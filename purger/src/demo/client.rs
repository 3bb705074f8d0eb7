//! A tiny HTTP/1.1 client: one kept-alive connection, the time a request took, what `Cache-Status` says (RFC 9211).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use purge_protocol::{PurgeMode, PurgeReport, PurgeRequest};
use sfv::{ListEntry, Parser};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::shop::Cents;
use crate::response::cache_status;

/// A connection to the proxy, for one request after the other.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// A page as a client sees it.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status code.
    pub(super) status: StatusCode,
    /// Where it came from.
    pub(super) source: Source,
    /// The price on it.
    pub(super) price: Option<Cents>,
    /// From the request until the last byte.
    pub(super) took: Duration,
}

/// Where a response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From the store, fresh.
    Hit,
    /// From the store, stale.
    StaleHit,
    /// From the origin server, for this request.
    Miss,
    /// From the origin server, for a request that came before.
    Collapsed,
    /// Of the proxy's own making.
    Proxy,
}

/// Why a request has no answer. The step of the story that asked has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// The connection broke.
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// The request could not be made.
    #[error("no request: {0}")]
    Request(#[from] http::Error),
    /// No whole answer within the time.
    #[error("no answer within {PATIENCE:?}")]
    Late,
    /// The admin listener answered otherwise.
    #[error("the purge was answered {0}")]
    Refused(StatusCode),
    /// The admin listener's JSON is not what it should be.
    #[error("the purge's answer is none: {0}")]
    Report(#[from] serde_json::Error),
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the demonstration's client broke");
            }
        });
        let host = HeaderValue::try_from(address.to_string()).map_err(http::Error::from)?;
        Ok(Self { sender, host })
    }

    /// Gets a page.
    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, ClientError> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.sender.ready().await?;
        let started = Instant::now();
        let response = self.send(request).await?;
        let took = started.elapsed();
        Ok(Answer {
            status: response.status(),
            source: Source::of(response.headers()),
            price: Cents::on_page(response.body()),
            took,
        })
    }

    /// Purges a tag; the connection is one to the admin listener.
    pub(super) async fn purge(
        &mut self,
        tag: &str,
        mode: PurgeMode,
    ) -> Result<PurgeReport, ClientError> {
        let purge =
            PurgeRequest { tags: vec![tag.to_owned()], mode: Some(mode), ..Default::default() };
        let content = serde_json::to_vec(&purge)?;
        let mut request = self.request(Method::POST, "/api/v1/purge", content.into())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.sender.ready().await?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(ClientError::Refused(response.status()));
        }
        Ok(serde_json::from_slice(response.body())?)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let builder = Request::builder().method(method).uri(path).header(HOST, &self.host);
        builder.body(Full::new(content))
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let exchange = async {
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
        };
        match timeout(PATIENCE, exchange).await {
            Ok(exchanged) => exchanged,
            Err(_elapsed) => Err(ClientError::Late),
        }
    }
}

impl Source {
    /// Reads the last member of `Cache-Status`: that of the cache closest to the client.
    fn of(fields: &HeaderMap) -> Self {
        let field = fields.get(cache_status::NAME).map_or(&b""[..], HeaderValue::as_bytes);
        let list = Parser::new(field).parse::<sfv::List>().unwrap_or_default();
        let Some(ListEntry::Item(cache)) = list.last() else { return Self::Proxy };
        let has = |name| cache.params.contains_key(name);
        let ttl = cache.params.get("ttl").and_then(sfv::BareItem::as_integer).map(i64::from);
        match (has("hit"), has("fwd")) {
            (true, _) if ttl.is_some_and(|ttl| ttl < 0) || has("detail") => Self::StaleHit,
            (true, _) => Self::Hit,
            (false, true) if has("collapsed") => Self::Collapsed,
            (false, true) => Self::Miss,
            (false, false) => Self::Proxy,
        }
    }

    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::StaleHit => "STALE",
            Self::Miss => "MISS",
            Self::Collapsed => "COLLAPSED",
            Self::Proxy => "NONE",
        }
    }
}

/// For one exchange.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_status_says_where_a_response_came_from() {
        for (field, source) in [
            ("shellac; hit; ttl=599", Source::Hit),
            ("shellac; hit; ttl=-3; detail=stale-if-error", Source::StaleHit),
            ("shellac; hit; ttl=0; detail=stale-if-error", Source::StaleHit),
            ("shellac; fwd=uri-miss; fwd-status=200; stored", Source::Miss),
            ("shellac; fwd=uri-miss; stored; collapsed", Source::Collapsed),
            ("inner; hit; ttl=5, shellac; fwd=stale", Source::Miss),
            ("shellac; detail=overloaded", Source::Proxy),
            ("", Source::Proxy),
        ] {
            let fields = [(cache_status::NAME, HeaderValue::from_static(field))];
            assert_eq!(Source::of(&fields.into_iter().collect()), source, "{field}");
        }
    }
}
