//! Sends requests for any URL to one proxy: a connection that is used again, and what the answer
//! says of the cache.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderMap};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use purge_protocol::CanonicalUrl;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The address of the proxy, and the fields of each request.
#[derive(Clone, Debug)]
pub(super) struct WarmTarget {
    pub(super) authority: String,
    pub(super) fields: HeaderMap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageAnswer {
    Hit,
    /// It was fetched, and is in the cache now.
    Stored,
    /// It was fetched, and is not in the cache.
    NotStored,
    Error(StatusCode),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WarmError {
    #[error("cannot connect to {authority}: {source}")]
    Connect { authority: String, source: std::io::Error },
    /// It is no URL.
    #[error(transparent)]
    Url(#[from] purge_protocol::UrlError),
    #[error("cannot be asked for: {0}")]
    Request(#[from] http::Error),
    #[error("the exchange broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("no answer within {PATIENCE:?}")]
    Late,
    #[error("more than {0} bytes")]
    TooLarge(usize),
}

/// One connection, made when it is needed.
#[derive(Debug)]
pub(super) struct Client {
    target: WarmTarget,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    pub(super) const fn new(target: WarmTarget) -> Self {
        Self { target, sender: None }
    }

    /// Fetches a page and reads it to its end.
    pub(super) async fn warm(&mut self, url: &str) -> Result<PageAnswer, WarmError> {
        let exchange = async {
            let response = self.send(url).await?;
            let answer = PageAnswer::of(&response);
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok(answer)
        };
        let result = timeout(PATIENCE, exchange).await.unwrap_or(Err(WarmError::Late));
        if result.is_err() {
            self.sender = None;
        }
        result
    }

    /// Fetches a document of at most `bytes_max`, as it is sent: its content may be encoded.
    pub(super) async fn read(
        &mut self,
        url: &str,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, WarmError> {
        let exchange = async {
            let (head, mut body) = self.send(url).await?.into_parts();
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                if bytes.len() + data.len() > bytes_max {
                    return Err(WarmError::TooLarge(bytes_max));
                }
                bytes.extend_from_slice(&data);
            }
            Ok(Response::from_parts(head, bytes.freeze()))
        };
        let result = timeout(PATIENCE, exchange).await.unwrap_or(Err(WarmError::Late));
        if result.is_err() {
            self.sender = None;
        }
        result
    }

    async fn send(&mut self, text: &str) -> Result<Response<Incoming>, WarmError> {
        let url = CanonicalUrl::parse(text)?;
        let is_https = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let mut request = Request::get(url.path()).header(HOST, url.host());
        if is_https {
            request = request.header(X_FORWARDED_PROTO, "https"); // counts where we are trusted
        }
        let mut request = request.body(Empty::new())?;
        for (name, value) in &self.target.fields {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let usable = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match usable {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        self.sender = Some(sender);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, WarmError> {
        let authority = &self.target.authority;
        let stream = TcpStream::connect(authority)
            .await
            .map_err(|source| WarmError::Connect { authority: authority.clone(), source })?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the proxy ended");
            }
        });
        Ok(sender)
    }
}

impl PageAnswer {
    /// Reads `Cache-Status` (RFC 9211); without one it is told by the status alone.
    fn of(response: &Response<Incoming>) -> Self {
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Self::Error(status);
        }
        // The last member is the cache that is nearest to us.
        let fields: Vec<&HeaderValue> = response.headers().get_all(CACHE_STATUS).iter().collect();
        let line = fields.last().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let nearest = line.rsplit(',').next().unwrap_or_default();
        let has = |name: &str| nearest.split(';').any(|parameter| parameter.trim() == name);
        if has("hit") {
            Self::Hit
        } else if has("stored") {
            Self::Stored
        } else {
            Self::NotStored
        }
    }
}

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PATIENCE: Duration = Duration::from_mins(1);
