//! A tiny HTTP/1.1 client: one kept-alive connection, the time of each request, and its
//! `Cache-Status` (RFC 9211).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use purge_protocol::log::{self, LogStatus};
use rdkafka::error::KafkaError;
use sfv::{ListEntry, Parser};
use shellac::testing::field::cache_status;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use super::shop::Cents;

/// A connection to the proxy, for one request after the other.
#[derive(Debug)]
pub(super) struct ClientConnection {
    sender: SendRequest<Empty<Bytes>>,
    host: HeaderValue,
}

#[derive(Debug)]
pub(super) struct PageAnswer {
    pub(super) status: StatusCode,
    pub(super) source: AnswerSource,
    pub(super) price: Option<Cents>,
    /// From the request until the last byte.
    pub(super) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerSource {
    Hit,
    StaleHit,
    Miss,
    /// From the origin server, for a request that came before.
    Collapsed,
    Proxy,
}

/// A request without an answer. The step of the story that sent it has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// The request could not be made.
    #[error("no request: {0}")]
    Request(#[from] http::Error),
    /// No whole answer within the time.
    #[error("no answer within {PATIENCE:?}")]
    Late,
    #[error("the admin listener answered {0}")]
    Refused(StatusCode),
    #[error("not what was expected: {0}")]
    Json(#[from] serde_json::Error),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
}

impl ClientError {
    pub(super) fn late(_elapsed: Elapsed) -> Self {
        Self::Late
    }
}

impl ClientConnection {
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

    pub(super) async fn get(&mut self, path: &str) -> Result<PageAnswer, ClientError> {
        let request = self.request(path)?;
        self.sender.ready().await?;
        let started = Instant::now();
        let response = self.send(request).await?;
        let took = started.elapsed();
        Ok(PageAnswer {
            status: response.status(),
            source: AnswerSource::of(response.headers()),
            price: Cents::on_page(response.body()),
            took,
        })
    }

    /// Asks for the proxy's positions in Kafka, over a connection to the admin listener.
    pub(super) async fn log_status(&mut self) -> Result<LogStatus, ClientError> {
        let request = self.request(log::PATH)?;
        self.sender.ready().await?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(ClientError::Refused(response.status()));
        }
        Ok(serde_json::from_slice(response.body())?)
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, http::Error> {
        Request::get(path).header(HOST, &self.host).body(Empty::new())
    }

    async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let exchange = async {
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
        };
        timeout(PATIENCE, exchange).await.map_err(ClientError::late)?
    }
}

impl AnswerSource {
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

/// For one exchange, or until something has become true.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_status_says_where_a_response_came_from() {
        for (field, source) in [
            ("shellac; hit; ttl=599", AnswerSource::Hit),
            ("shellac; hit; ttl=-3; detail=stale_if_error", AnswerSource::StaleHit),
            ("shellac; hit; ttl=0; detail=stale_if_error", AnswerSource::StaleHit),
            ("shellac; fwd=uri-miss; fwd-status=200; stored", AnswerSource::Miss),
            ("shellac; fwd=uri-miss; stored; collapsed", AnswerSource::Collapsed),
            ("inner; hit; ttl=5, shellac; fwd=stale", AnswerSource::Miss),
            ("shellac; detail=overloaded", AnswerSource::Proxy),
            ("", AnswerSource::Proxy),
        ] {
            let fields = [(cache_status::NAME, HeaderValue::from_static(field))];
            assert_eq!(AnswerSource::of(&fields.into_iter().collect()), source, "{field}");
        }
    }
}
