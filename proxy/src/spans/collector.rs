//! `Collector`: posts exports to a receiver of OTLP over HTTP, on a connection that is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use settings::TracingSettings;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::message::ExportAnswer;
use crate::tls::{HttpOffer, OriginTls};
use crate::transport::Transport;

#[derive(Debug)]
pub(super) struct Collector {
    endpoint: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    tls: Option<Arc<OriginTls>>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// An answer, or none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExportOutcome {
    /// Taken, but for so many spans, and why not these.
    Taken { rejected: u64, message: String },
    /// To be sent again, after this time if the collector says so.
    Later { why: String, pause: Option<Duration> },
    /// It will never be taken.
    Refused { why: String },
}

impl Collector {
    /// Makes one for these settings; `None` without an endpoint. Blocks on files.
    pub(super) fn new(settings: &TracingSettings) -> Option<Self> {
        let endpoint = settings.endpoint.clone()?;
        let field = |(name, value): &(String, settings::Secret)| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            let mut value = HeaderValue::try_from(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        };
        let is_secure = endpoint.scheme() == Some(&Scheme::HTTPS);
        let tls = is_secure.then(|| OriginTls::renewed("tracing", &settings.tls, false, None));
        Some(Self {
            fields: settings.headers.iter().filter_map(field).collect(),
            timeout: settings.timeout,
            connection: None,
            endpoint,
            tls,
        })
    }

    /// Sends one export, and waits for the answer.
    pub(super) async fn post(&mut self, export: Bytes) -> ExportOutcome {
        let limit = self.timeout;
        match timeout(limit, self.exchange(export)).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(why)) => self.lost(why),
            Err(_elapsed) => self.lost(format!("no answer within {limit:?}")),
        }
    }

    fn lost(&mut self, why: String) -> ExportOutcome {
        self.connection = None;
        ExportOutcome::Later { why, pause: None }
    }

    async fn exchange(&mut self, export: Bytes) -> Result<ExportOutcome, String> {
        let told = |error: &dyn std::error::Error| error.to_string();
        let request = self.request(export).map_err(|error| told(&error))?;
        let mut connection = match self.connection.take().filter(|kept| !kept.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.ready().await.map_err(|error| told(&error))?;
        let response = connection.send_request(request).await.map_err(|error| told(&error))?;
        let (parts, body) = response.into_parts();
        let body =
            Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|it| it.to_string());
        let body = body?.to_bytes();
        self.connection = Some(connection);
        Ok(judge(parts.status, parts.headers.get(RETRY_AFTER), &body))
    }

    fn request(&self, export: Bytes) -> http::Result<Request<Full<Bytes>>> {
        let path = self.endpoint.path_and_query().map_or("/", |path| path.as_str());
        let host = self.endpoint.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("shellac/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(export))?;
        for (name, value) in &self.fields {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let host = self.endpoint.host().unwrap_or_default();
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let port = self.endpoint.port_u16().unwrap_or(usual);
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, port)).await;
        let stream = Transport::Tcp(stream.map_err(|error| format!("{host}:{port}: {error}"))?);
        let stream = match &self.tls {
            None => stream,
            Some(tls) => {
                tls.refresh();
                let name =
                    tls.name_of(host).ok_or_else(|| format!("no certificate is for {host}"))?;
                let secured = tls.connect(stream, name, HttpOffer::Http1).await;
                secured.map_err(|error| format!("{host}:{port}: {error}"))?
            }
        };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the collector ended");
            }
        });
        Ok(sender)
    }
}

/// Says what an answer means (OTLP 1.x, "OTLP/HTTP Response").
fn judge(status: StatusCode, retry_after: Option<&HeaderValue>, body: &[u8]) -> ExportOutcome {
    if status.is_success() {
        let partial = ExportAnswer::decode(body).ok().and_then(|answer| answer.partial_success);
        let rejected = partial.as_ref().map_or(0, |partial| partial.rejected_spans);
        let message = partial.map(|partial| partial.error_message).unwrap_or_default();
        return ExportOutcome::Taken { rejected: u64::try_from(rejected).unwrap_or(0), message };
    }
    let why = format!("it answers {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            ExportOutcome::Later { why, pause: seconds.map(Duration::from_secs) }
        }
        _ => ExportOutcome::Refused { why },
    }
}

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::message::PartialSuccess;
    use super::*;

    #[test]
    fn an_answer_says_whether_to_send_again() {
        let judged = |code: u16| judge(StatusCode::from_u16(code).unwrap(), None, b"");
        assert_eq!(judged(200), ExportOutcome::Taken { rejected: 0, message: String::new() });
        for code in [429, 502, 503, 504] {
            assert!(matches!(judged(code), ExportOutcome::Later { pause: None, .. }), "{code}");
        }
        for code in [301, 400, 401, 404, 413, 500] {
            assert!(matches!(judged(code), ExportOutcome::Refused { .. }), "{code}");
        }
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        let later = judge(busy, Some(&HeaderValue::from_static("7")), b"");
        assert!(
            matches!(later, ExportOutcome::Later { pause: Some(pause), .. } if pause.as_secs() == 7)
        );
    }

    #[test]
    fn spans_that_were_rejected_are_told() {
        let partial = PartialSuccess { rejected_spans: 3, error_message: "too old".to_owned() };
        let answer = ExportAnswer { partial_success: Some(partial) }.encode_to_vec();
        let taken = judge(StatusCode::OK, None, &answer);
        assert_eq!(taken, ExportOutcome::Taken { rejected: 3, message: "too old".to_owned() });
    }
}
