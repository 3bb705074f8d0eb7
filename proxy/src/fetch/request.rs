//! `FetchRequest`: a request that is fetched for others as well, and the messages that are sent to
//! the origin for it.

use std::sync::Arc;

use http::header::{
    EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};

use super::HeldResponse;
use super::in_flight::FlightKey;
use crate::field::hop_by_hop;
use crate::field::range::RangeSpec;
use crate::freshness::RequestFacts;
use crate::freshness::validation::Conditions;
use crate::invalidation::Sequence;
use crate::key::vary::{VariantHash, normalize_accept_encoding};
use crate::origins::{AcceptsTrailers, RequestBody, RetryMissing};
use crate::policy::rules::{RuleEffects, next_rsc};
use crate::request::span::SpanContext;
use crate::request::{RequestHead, trace};

/// A client's request whose response may be stored.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub head: Box<RequestHead>,
    pub facts: RequestFacts,
    /// The purge sequence when the request arrived.
    pub arrived: Sequence,
    /// May be validated, or served when the origin fails.
    pub stale: Option<Arc<HeldResponse>>,
    /// The variant that the request selects; `None` where the URL is not known to vary.
    pub variant: Option<VariantHash>,
    /// The part that is asked for; `None`: the whole is fetched, whatever the client wants of it.
    pub range: Option<RangeSpec>,
    /// The span of the exchange, if it has one.
    pub span: Option<SpanContext>,
}

impl FetchRequest {
    /// Returns the key under which requests for the same response find its flight.
    pub(super) fn flight_key(&self) -> FlightKey {
        FlightKey { key: self.head.key.clone(), variant: self.variant, range: self.range }
    }

    /// Returns it as one for its own URL only, which has no stored response.
    pub(super) fn for_own_url(&self) -> Self {
        let mut request = Self { stale: None, ..self.clone() };
        request.head.answer_as_asked();
        request
    }

    /// Makes the message for the origin, with none of the client's conditions and ranges.
    pub fn message(
        &self,
        conditions: Conditions,
        range: Option<AskedRange>,
        via: &str,
    ) -> Request<RequestBody> {
        let mut request = forward(&self.head, RequestBody::Empty, via);
        *request.method_mut() = Method::GET;
        let fields = request.headers_mut();
        for name in &CONDITIONS {
            fields.remove(name);
        }
        normalize_accept_encoding(fields);
        if let Some(tag) = conditions.if_none_match {
            fields.insert(IF_NONE_MATCH, tag);
        }
        if let Some(date) = conditions.if_modified_since {
            fields.insert(IF_MODIFIED_SINCE, date);
        }
        if let Some(AskedRange { spec, condition }) = range {
            fields.insert(RANGE, spec.field());
            if let Some(condition) = condition {
                fields.insert(IF_RANGE, condition);
            }
        }
        request
    }
}

#[derive(Clone, Debug)]
pub struct AskedRange {
    pub spec: RangeSpec,
    /// The validator of `If-Range`: the origin sends the whole where it has changed.
    pub condition: Option<HeaderValue>,
}

/// Makes the message for the origin: the client's request without the fields of its connection, and
/// with our trace.
pub fn forward(head: &RequestHead, body: RequestBody, via: &str) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(path_of(head));
    let mut fields: HeaderMap = head.fields.clone();
    if hop_by_hop::accepts_trailers(&fields) {
        request.extensions_mut().insert(AcceptsTrailers);
    }
    if head.policy.cache.retry_missing {
        request.extensions_mut().insert(RetryMissing);
    }
    hop_by_hop::remove(&mut fields);
    fields.remove(MIN_REVISION); // ours to say
    fields.remove(EXPECT); // answered by us (RFC 9110 §10.1.1)
    if let Some(host) = head.target.host_value() {
        fields.insert(HOST, host);
    }
    trace::write(&mut fields, head, via);
    let body = request.body();
    if !body.is_empty() && http_body::Body::size_hint(body).exact().is_none() {
        // hyper sends content with GET or HEAD only where this field asks for it.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    *request.headers_mut() = fields;
    if let Some(interim) = head.interim.clone() {
        request.extensions_mut().insert(interim.clone()); // for HTTP/2, where hyper is not asked
        hyper::ext::on_informational(&mut request, move |response| {
            interim.send(response.status(), response.headers());
        });
    }
    request
}

/// Returns the path with its query as the origin is to see it.
fn path_of(head: &RequestHead) -> PathAndQuery {
    let path = head.target.path_and_query();
    let is_signed = head.policy.effects().is_some_and(RuleEffects::next_rsc);
    let signed = || PathAndQuery::try_from(next_rsc::of_message(path.as_str(), &head.fields)).ok();
    is_signed.then(signed).flatten().unwrap_or_else(|| path.clone())
}

/// Tells the origin the lowest revision of the site that it has to know.
pub const MIN_REVISION: HeaderName = HeaderName::from_static("x-min-site-revision");

const CONDITIONS: [HeaderName; 6] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE];
