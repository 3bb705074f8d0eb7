//! Delivery: the response that a client gets for what was stored, fetched or refused.

use http::header::{CONNECTION, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use super::metrics::Outcome;
use crate::client::busy::Busy;
use crate::fetch::{Fetched, Role};
use crate::field::cache_status::{CacheStatus, Forwarded};
use crate::freshness::Uncacheable;
use crate::origins::OriginBody;
use crate::policy::SettingsSnapshot;
use crate::request::RequestHead;
use crate::request::refusal::Refusal;
use crate::response::Responder;
use crate::response::body::ResponseBody;
use crate::response::failure::{self, ProxyError};
use crate::store::Stored;
use process::timestamp::Timestamp;

pub(super) fn stored(
    request: &RequestHead,
    stored: &Stored,
    detail: Option<&'static str>,
    now: Timestamp,
) -> Response<ResponseBody> {
    let Some(response) = stored.response() else {
        return refuse(&ProxyError::Overloaded, &request.fields, request.policy.settings());
    };
    let ttl = response.freshness.ttl(now, stored.provenance.soft_purged());
    Responder::of(request).stored(request, response, now, &CacheStatus::Hit { ttl, detail })
}

pub(super) fn deliver(
    request: &RequestHead,
    fetched: Fetched,
    forwarded: Forwarded,
    now: Timestamp,
    busy: Busy,
) -> (Outcome, Response<ResponseBody>) {
    match fetched {
        Fetched::Arriving { head, reader, role } => {
            let is_stored = head.not_stored.is_none();
            let status = CacheStatus::Forward(Forwarded {
                status: Some(head.status),
                is_stored,
                is_collapsed: role == Role::Follower,
                detail: head.not_stored.map(Uncacheable::code),
                ..forwarded
            });
            let outcome = if is_stored { Outcome::Miss } else { Outcome::Uncacheable };
            let mut response =
                Responder::of(request).arriving(request, &head, reader, &status, now, busy);
            if role == Role::Leader {
                response.headers_mut().extend(head.personal.clone());
            }
            (outcome, response)
        }
        Fetched::Validated(stored, role) => {
            let status = CacheStatus::Forward(Forwarded {
                status: Some(StatusCode::NOT_MODIFIED),
                is_stored: true,
                is_collapsed: role == Role::Follower,
                ..forwarded
            });
            let response = stored
                .response()
                .map(|response| Responder::of(request).stored(request, response, now, &status));
            let error = || error(request, &ProxyError::Overloaded, forwarded);
            (Outcome::Revalidated, response.unwrap_or_else(error))
        }
        Fetched::StaleIfError(stored) => {
            (Outcome::Stale, self::stored(request, &stored, Some("stale-if-error"), now))
        }
        Fetched::Stored(stored) => (Outcome::Hit, self::stored(request, &stored, None, now)),
        Fetched::Unshared(response, why) => {
            let detail = Some(forwarded.detail.unwrap_or_else(|| why.code()));
            let status = Some(response.status());
            let status = CacheStatus::Forward(Forwarded { status, detail, ..forwarded });
            let response = passed(request, *response, &status, busy);
            if request.method == Method::HEAD {
                // `Content-Length` is the origin's. Dropping the content ends the exchange.
                return (Outcome::Uncacheable, response.map(|_content| ResponseBody::Empty));
            }
            (Outcome::Uncacheable, response)
        }
    }
}

/// Delivers a response that is for one client only.
pub(super) fn passed(
    request: &RequestHead,
    mut response: Response<OriginBody>,
    status: &CacheStatus,
    busy: Busy,
) -> Response<ResponseBody> {
    *response.headers_mut() = request.policy.public(response.headers());
    let is_early = response.body().is_early();
    let mut response = Responder::of(request).passed(response, status, busy);
    if is_early {
        // The rest of the request is not read (RFC 9112 §9.6).
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Answers a request that was forwarded with an error of ours.
pub(super) fn error(
    request: &RequestHead,
    error: &ProxyError,
    forwarded: Forwarded,
) -> Response<ResponseBody> {
    let settings = request.policy.settings();
    let response = failure::respond(error, &request.fields, &settings.own_fields.name);
    let detail = Some(detail_of(error));
    let status = CacheStatus::Forward(Forwarded { detail, ..forwarded });
    Responder::new(settings).own(response, &status)
}

/// Answers a request with these fields that goes no further.
pub(super) fn refuse(
    error: &ProxyError,
    fields: &HeaderMap,
    settings: &SettingsSnapshot,
) -> Response<ResponseBody> {
    let response = failure::respond(error, fields, &settings.own_fields.name);
    Responder::new(settings).own(response, &CacheStatus::Refused(detail_of(error)))
}

/// Answers OPTIONS that goes no further.
pub(super) fn options(request: &RequestHead) -> Response<ResponseBody> {
    Responder::of(request).own(failure::options(), &CacheStatus::Refused("max_forwards"))
}

fn detail_of(error: &ProxyError) -> &'static str {
    match error {
        ProxyError::Refused(Refusal::OnlyIfCached) => "only_if_cached",
        ProxyError::Refused(_) => "refused",
        ProxyError::Origin(_) => "origin_error",
        ProxyError::Overloaded => "limit",
        ProxyError::ShuttingDown => "draining",
    }
}
