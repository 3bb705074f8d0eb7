//! One exchange on a stream: the request's head, its upload, interim responses, the response's head
//! (RFC 9113 §8).

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use h2::RecvStream;
use h2::client::ResponseFuture;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::{Instant, timeout_at};

use super::connection::{Http2Connection, StreamClaim};
use super::content::Http2Content;
use super::fault::before_head;
use super::open_request::OpenRequest;
use super::progress::StreamProgress;
use super::upload::StreamUpload;
use crate::client::exchange::Interim;
use crate::framing::Violation;
use crate::framing::grammar::decimal;
use crate::framing::parsed::check_fields;
use crate::origins::attempts::Failed;
use crate::origins::error::OriginError;
use crate::origins::request_body::{self, AcceptsTrailers, RequestBody};
use crate::origins::sending::{SendProgress, SendingLimits};

/// The rules of an exchange that do not stand in its request.
#[derive(Clone, Debug)]
pub(in crate::origins) struct Ask {
    pub(in crate::origins) scheme: Scheme,
    pub(in crate::origins) limits: SendingLimits,
    pub(in crate::origins) fields_max: usize,
}

struct StreamExchange {
    open: OpenRequest,
    response: ResponseFuture,
    upload: Option<StreamUpload>,
    client: request_body::Upload,
    interim: Option<Interim>,
}

/// Sends the request and waits for the head of its response. A request that the server has not
/// processed comes back, unless content of it is lost.
pub(in crate::origins) async fn answer(
    claim: &StreamClaim,
    request: Request<RequestBody>,
    ask: &Ask,
) -> Result<Response<Http2Content>, Failed> {
    let method = request.method().clone();
    let (head, mut body) = request.into_parts();
    body.keep_beginning();
    let Some(message) = message(&head, &ask.scheme) else {
        return Err(Failed::Sent(OriginError::Unwritable, SendProgress::Nothing));
    };
    let connection = &claim.connection;
    let progress = Arc::<StreamProgress>::default();
    let (is_last, client) = (body.is_empty(), body.upload());
    let (response, stream) = match connection.send(message, is_last, &progress) {
        Ok(streams) => streams,
        Err(error) => {
            let error = not_sent(error, connection);
            return Err(Failed::Unsent(error, Box::new(Request::from_parts(head, body))));
        }
    };
    let stream_id = response.stream_id().as_u32();
    let open = OpenRequest { connection: Arc::clone(connection), progress, stream: stream_id };
    if is_last {
        open.progress.note_given();
    }
    let upload = (!is_last).then(|| {
        StreamUpload::new(stream, body, Arc::clone(&open.progress), ask.limits.send_timeout)
    });
    let interim = head.extensions.get::<Interim>().cloned();
    let mut exchange = StreamExchange { open, response, upload, client, interim };
    match exchange.head(&ask.limits).await.and_then(|response| sound(response, ask.fields_max)) {
        Ok(response) => Ok(exchange.into_response(response, &method)),
        Err(error) => Err(exchange.into_failed(error, head)),
    }
}

impl StreamExchange {
    /// Waits for the head, while the content goes out.
    async fn head(&mut self, limits: &SendingLimits) -> Result<Response<RecvStream>, OriginError> {
        loop {
            let phase = self.open.progress.phase(self.open.connection.shared.wire.blocked());
            let due = limits.due(phase, Instant::now())?;
            if let Ok(head) = timeout_at(due, poll_fn(|cx| self.poll_head(cx))).await {
                return head;
            }
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, OriginError>> {
        while let Poll::Ready(Some(Ok(response))) = self.response.poll_informational(cx) {
            self.open.progress.note_answered();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(OriginError::Switched)); // RFC 9113 §8.6
            }
            if let Some(interim) = &self.interim {
                interim.send(response.status(), response.headers());
            }
        }
        if let Poll::Ready(response) = Pin::new(&mut self.response).poll(cx) {
            let condition = self.open.connection.shared.condition();
            return Poll::Ready(response.map_err(|error| before_head(error, condition)));
        }
        let upload = self.upload.as_mut().filter(|upload| !upload.is_done());
        match upload.map(|upload| Pin::new(upload).poll(cx)) {
            Some(Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    fn into_response(
        self,
        response: Response<RecvStream>,
        method: &Method,
    ) -> Response<Http2Content> {
        let Self { open, mut upload, client, .. } = self;
        upload = upload.filter(|upload| !upload.is_done());
        upload.iter_mut().for_each(StreamUpload::note_answer);
        client.note_answer();
        open.progress.note_answered();
        open.connection.shared.has_answered.store(true, Ordering::Release);
        let has_content = *method != Method::HEAD
            && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = response.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| decimal(length.as_bytes())).filter(|_| has_content);
        response
            .map(|content| Http2Content::new(content, open, upload, client, (has_content, length)))
    }

    fn into_failed(self, error: OriginError, head: http::request::Parts) -> Failed {
        let extent = match &error {
            OriginError::Unprocessed(_) => SendProgress::Nothing,
            _ => self.open.progress.extent(),
        };
        // Content that failed, or a part of it, is gone: the rest would be another request.
        let is_lost = error.is_of_request_content();
        let upload = self.upload.filter(|_| extent == SendProgress::Nothing && !is_lost);
        match upload.and_then(StreamUpload::into_body) {
            Some(body) => Failed::Unsent(error, Box::new(Request::from_parts(head, body))),
            None => Failed::Sent(error, extent),
        }
    }
}

/// A request that the library did not take. Another connection may.
fn not_sent(error: h2::Error, connection: &Http2Connection) -> OriginError {
    match before_head(error, connection.shared.condition()) {
        OriginError::Unwritable if connection.takes_requests() => OriginError::Unwritable,
        error => error,
    }
}

//= https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2
//# An intermediary transforming an HTTP/1.x message to HTTP/2 MUST
//# remove connection-specific header fields
fn message(head: &http::request::Parts, scheme: &Scheme) -> Option<Request<()>> {
    let mut message = Request::new(());
    *message.method_mut() = head.method.clone();
    *message.version_mut() = Version::HTTP_2;
    let mut fields = head.headers.clone();
    let authority = fields.remove(HOST)?;
    let authority = Authority::try_from(authority.as_bytes()).ok()?;
    let target = head.uri.path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *message.uri_mut() = Uri::builder()
        .scheme(scheme.clone())
        .authority(authority)
        .path_and_query(target)
        .build()
        .ok()?;
    for name in [CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        fields.remove(name);
    }
    if head.extensions.get::<AcceptsTrailers>().is_some() {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    *message.headers_mut() = fields;
    Some(message)
}

/// Looks at what the library lets pass, and HTTP/1 cannot express.
fn sound(
    response: Response<RecvStream>,
    fields_max: usize,
) -> Result<Response<RecvStream>, OriginError> {
    let fields = response.headers();
    check_fields(fields).and_then(|()| check_length(fields)).map_err(OriginError::Framing)?;
    if fields.len() > fields_max {
        return Err(OriginError::Framing(Violation::TooManyFields));
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(OriginError::Switched);
    }
    Ok(response)
}

fn check_length(fields: &HeaderMap) -> Result<(), Violation> {
    let mut lines = fields.get_all(CONTENT_LENGTH).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if decimal(length.as_bytes()).is_some() => Ok(()),
        (Some(_), _) => Err(Violation::ContentLength),
    }
}
