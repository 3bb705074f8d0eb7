//! `FetchRequest`: what is to be fetched, for whom, and the requests that are sent for it.

use std::sync::Arc;

use http::header::{
    EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use http::{Method, Request, Uri};

use super::Held;
use super::revision::MIN_REVISION;
use crate::field::hop_by_hop;
use crate::field::range::RangeSpec;
use crate::freshness::RequestFacts;
use crate::freshness::validation::Conditions;
use crate::invalidation::Sequence;
use crate::key::vary::normalize_accept_encoding;
use crate::origins::RequestBody;
use crate::request::{RequestHead, trace};

/// A request that its response may be stored for.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The client's request.
    pub head: RequestHead,
    /// What storing depends on.
    pub facts: RequestFacts,
    /// The purge sequence when it arrived.
    pub arrived: Sequence,
    /// The stale response that may be validated, or stand in when the origin fails.
    pub stale: Option<Arc<Held>>,
    /// The hash of the selecting values, where the URL is known to vary.
    pub selection: u64,
    /// The part that is asked for; `None`: the whole is fetched, whatever the client wants of it.
    pub range: Option<RangeSpec>,
}

impl FetchRequest {
    /// Makes the request: no ranges and no conditions but ours. Never for several ranges.
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

/// A part that is asked for.
#[derive(Clone, Debug)]
pub struct AskedRange {
    /// Which.
    pub spec: RangeSpec,
    /// The validator that the whole must have (`If-Range`); else the whole is sent.
    pub condition: Option<HeaderValue>,
}

/// Makes the request that is sent to the origin: the client's, without what is for one connection only, with our trace.
pub fn forward(head: &RequestHead, body: RequestBody, via: &str) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(head.target.path_and_query().clone());
    let mut fields: HeaderMap = head.fields.clone();
    hop_by_hop::remove(&mut fields);
    fields.remove(MIN_REVISION); // ours to say
    fields.remove(EXPECT); // answered by us (RFC 9110 §10.1.1)
    if let Some(host) = head.target.host_value() {
        fields.insert(HOST, host);
    }
    trace::write(&mut fields, head, via);
    let body = request.body();
    if !body.is_empty() && http_body::Body::size_hint(body).exact().is_none() {
        // hyper sends no content with GET or HEAD unless told how.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    *request.headers_mut() = fields;
    if let Some(interim) = head.interim.clone() {
        hyper::ext::on_informational(&mut request, move |response| {
            interim.send(response.status(), response.headers());
        });
    }
    request
}

const CONDITIONS: [HeaderName; 6] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE];
