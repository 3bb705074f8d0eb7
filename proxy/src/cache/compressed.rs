//! The compressed form of what a client is about to get, where it wants one and there is none yet.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use settings::Coding;

use crate::client::busy::Busy;
use crate::compression::{etags, form};
use crate::fetch::Fetcher;
use crate::fetch::encode::{PlainContent, WantedForm};
use crate::fetch::flight::{FlightReader, SharedHead};
use crate::origins::OriginBody;
use crate::request::RequestHead;
use crate::response::ArrivingHead;
use crate::response::body::{ArrivingSource, ResponseBody};
use crate::store::{Body, CopyMode, Show, Stored, StoredResponse};

/// The compressed form of a stored response.
pub(super) enum CompressedForm {
    Stored(Arc<Stored>),
    Arriving(ArrivingHead, FlightReader),
}

/// Returns the compressed form of a stored response: one that can be renewed, or one that is being
/// made; `None` where the client gets the plain form.
#[cold]
pub(super) fn stored(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    stored: &Arc<Stored>,
    response: &StoredResponse,
) -> Option<CompressedForm> {
    let coding = wanted(request).filter(|_| response.part.is_none())?;
    if let Some(renewed) = fetcher.renew_form(request, coding, stored) {
        return Some(CompressedForm::Stored(renewed));
    }
    let length = Some(response.body.length());
    let plain = PlainContent::Stored(Arc::clone(stored));
    let wanted = WantedForm { request, coding, plain, length };
    let open = |body: &Body| ResponseBody::stored(body, CopyMode::Copied);
    let reader = fetcher.encode(wanted, &response.body, open).ok()?;
    let mut fields = response.fields.to_map(Show::Public, FIELDS_ADDED);
    form::show(coding, &mut fields);
    let freshness = Some(response.freshness);
    let head = ArrivingHead { status: response.status, fields, freshness, length: None };
    Some(CompressedForm::Arriving(head, reader))
}

/// Returns the head and the content that a client gets of a fetch in progress.
pub(super) fn arriving(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    head: &SharedHead,
    reader: FlightReader,
) -> (ArrivingHead, FlightReader) {
    let SharedHead { status, fields, freshness, length, .. } = head;
    let (status, freshness, length) = (*status, *freshness, *length);
    let plain =
        |reader| (ArrivingHead { status, fields: fields.clone(), freshness, length }, reader);
    let Some((number, coding)) = head.source.zip(wanted(request)) else { return plain(reader) };
    let content = PlainContent::Arriving(number);
    let open = |reader| {
        let source = ArrivingSource::Flight(reader, CopyMode::Copied);
        ResponseBody::arriving(source, length, Busy::default())
    };
    match fetcher.encode(WantedForm { request, coding, plain: content, length }, reader, open) {
        Ok(compressed) => {
            let mut fields = fields.clone();
            form::show(coding, &mut fields);
            (ArrivingHead { status, fields, freshness, length: None }, compressed)
        }
        Err(reader) => plain(reader),
    }
}

/// Returns the head and the content that a client gets of a response that is for it alone.
pub(super) fn passed(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    response: Response<OriginBody>,
) -> (Parts, ArrivingSource, Option<u64>) {
    let (mut parts, body) = response.into_parts();
    let length = body.length();
    let Some(rules) = &request.policy.compression else {
        return (parts, ArrivingSource::Origin(body), length);
    };
    if parts.status == StatusCode::NOT_MODIFIED
        && etags::show_in_304(&request.fields, &mut parts.headers)
    {
        form::vary_on_encoding(&mut parts.headers);
    }
    let is_head = request.method == Method::HEAD;
    let described = if is_head { stated_length(&parts) } else { length };
    if !rules.applies_to(parts.status, &parts.headers, described) {
        return (parts, ArrivingSource::Origin(body), length);
    }
    form::vary_on_encoding(&mut parts.headers);
    let Some(coding) = rules.wanted(&request.fields) else {
        return (parts, ArrivingSource::Origin(body), length);
    };
    if is_head {
        form::show(coding, &mut parts.headers);
        return (parts, ArrivingSource::Origin(body), length);
    }
    let wanted = WantedForm { request, coding, plain: PlainContent::Alone, length };
    let open = |body| ResponseBody::arriving(ArrivingSource::Origin(body), length, Busy::default());
    match fetcher.encode(wanted, body, open) {
        Ok(reader) => {
            form::show(coding, &mut parts.headers);
            (parts, ArrivingSource::Flight(reader, CopyMode::Copied), None)
        }
        Err(body) => (parts, ArrivingSource::Origin(body), length),
    }
}

fn wanted(request: &RequestHead) -> Option<Coding> {
    request.policy.compression.as_ref()?.wanted(&request.fields)
}

fn stated_length(parts: &Parts) -> Option<u64> {
    let text = parts.headers.get(CONTENT_LENGTH).map(HeaderValue::to_str)?;
    text.ok()?.parse().ok()
}

/// `Content-Encoding`, `Vary` and ours.
const FIELDS_ADDED: usize = 5;
