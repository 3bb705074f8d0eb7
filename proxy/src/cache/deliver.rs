//! Delivery: the response that a client gets for what was stored, fetched or refused.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use super::answer::{Answer, site_of};
use super::compressed::{self, CompressedForm};
use super::outcome::Outcome;
use super::record::RequestRecord;
use crate::client::busy::Busy;
use crate::compression::form::ContentForm;
use crate::fetch::{Fetched, Fetcher};
use crate::field::cache_status::{CacheStatus, Forwarded};
use crate::freshness::Uncacheable;
use crate::origins::OriginBody;
use crate::policy::SettingsSnapshot;
use crate::policy::rules::OwnAnswer;
use crate::reason::Reason;
use crate::request::RequestHead;
use crate::response::Responder;
use crate::response::body::ResponseBody;
use crate::response::failure::{self, ProxyError};
use crate::store::{Stored, StoredResponse};
use process::timestamp::Timestamp;

pub(super) fn stored(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    stored: &Arc<Stored>,
    (outcome, detail): (Outcome, Option<Reason>),
    now: Timestamp,
) -> Answer {
    let Some(response) = stored.response() else {
        let answer = refuse_head(request, &ProxyError::Overloaded, now);
        return Answer {
            record: RequestRecord { outcome: Some(outcome), ..answer.record },
            ..answer
        };
    };
    let ttl = response.freshness.ttl(now, stored.provenance.soft_purged());
    let status = CacheStatus::Hit { ttl, detail };
    let response = in_form(fetcher, request, (stored, response), now, &status);
    Answer::new(request, response, outcome, status, now)
}

/// Makes the response to a client of a stored one, in the form that the client gets.
fn in_form(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    (stored, response): (&Arc<Stored>, &StoredResponse),
    now: Timestamp,
    status: &CacheStatus,
) -> Response<ResponseBody> {
    let is_compressible = response.fields.form() == ContentForm::Compressible;
    let compressed =
        is_compressible.then(|| compressed::stored(fetcher, request, stored, response)).flatten();
    let responder = Responder::of(request);
    match compressed {
        None => responder.stored(request, response, now, status),
        Some(CompressedForm::Stored(form)) => {
            responder.stored(request, form.response().unwrap_or(response), now, status)
        }
        Some(CompressedForm::Arriving(head, reader)) => {
            responder.arriving(request, head, reader, status, now, Busy::default())
        }
    }
}

pub(super) fn deliver(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    result: Fetched,
    forwarded: Forwarded,
    (now, busy): (Timestamp, Busy),
) -> Answer {
    match result {
        Fetched::Arriving { head, reader, role } => {
            let is_stored = head.not_stored.is_none();
            let status = CacheStatus::Forward(Forwarded {
                status: Some(head.status),
                is_stored,
                is_collapsed: !role.is_leader(),
                detail: head.not_stored.map(Uncacheable::reason),
                ..forwarded
            });
            let outcome = if is_stored { Outcome::Miss } else { Outcome::Uncacheable };
            let (own, reader) = compressed::arriving(fetcher, request, &head, reader);
            let responder = Responder::of(request);
            let mut response = responder.arriving(request, own, reader, &status, now, busy);
            if role.is_leader() {
                response.headers_mut().extend(head.personal.clone());
            }
            Answer::new(request, response, outcome, status, now)
        }
        Fetched::Validated(stored, role) => {
            let status = CacheStatus::Forward(Forwarded {
                status: Some(StatusCode::NOT_MODIFIED),
                is_stored: true,
                is_collapsed: !role.is_leader(),
                ..forwarded
            });
            let response = stored
                .response()
                .map(|own| in_form(fetcher, request, (&stored, own), now, &status));
            let outcome = Outcome::Revalidated;
            response.map_or_else(
                || {
                    let answer = error(request, &ProxyError::Overloaded, forwarded, now);
                    let record = RequestRecord { outcome: Some(outcome), ..answer.record };
                    Answer { record, ..answer }
                },
                |response| Answer::new(request, response, outcome, status, now),
            )
        }
        Fetched::StaleIfError(stored) => self::stored(
            fetcher,
            request,
            &stored,
            (Outcome::Stale, Some(Reason::StaleIfError)),
            now,
        ),
        Fetched::Stored(stored) => {
            self::stored(fetcher, request, &stored, (Outcome::Hit, None), now)
        }
        Fetched::Unshared(response, why) => {
            let detail = Some(forwarded.detail.unwrap_or_else(|| why.reason()));
            let status = Some(response.status());
            let status = CacheStatus::Forward(Forwarded { status, detail, ..forwarded });
            let Answer { mut response, record } =
                passed(fetcher, request, *response, (Outcome::Uncacheable, status), (now, busy));
            if request.method == Method::HEAD {
                // `Content-Length` is the origin's. Dropping the content ends the exchange.
                response = response.map(|_content| ResponseBody::Empty);
            }
            Answer { response, record }
        }
    }
}

/// Delivers a response that is for one client only.
pub(super) fn passed(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    mut response: Response<OriginBody>,
    (outcome, status): (Outcome, CacheStatus),
    (now, busy): (Timestamp, Busy),
) -> Answer {
    *response.headers_mut() = request.shown(response.status(), response.headers());
    let is_early = response.body().is_early();
    let (parts, source, length) = compressed::passed(fetcher, request, response);
    let mut response = Responder::of(request).passed(parts, (source, length), &status, busy);
    if is_early {
        // The rest of the request is not read (RFC 9112 §9.6).
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Answer::new(request, response, outcome, status, now)
}

/// Answers a request that was forwarded with an error of ours.
pub(super) fn error(
    request: &RequestHead,
    error: &ProxyError,
    forwarded: Forwarded,
    now: Timestamp,
) -> Answer {
    let settings = request.policy.settings();
    let response = failure::respond(error, &request.fields, &settings.own_fields.name);
    let detail = Some(error.reason());
    let status = CacheStatus::Forward(Forwarded { detail, ..forwarded });
    let response = Responder::new(settings).own(response, &status);
    Answer::new(request, response, Outcome::Synthetic, status, now)
}

/// Answers a request that goes no further.
pub(super) fn refuse_head(request: &RequestHead, error: &ProxyError, now: Timestamp) -> Answer {
    let answer = refuse(error, &request.fields, request.policy.settings(), now);
    let (key, ruled) = (Some(request.key.hash()), request.policy.ruled().cloned());
    let record = RequestRecord { site: site_of(request), ruled, key, ..answer.record };
    Answer { record, ..answer }
}

/// Answers a request with these fields that goes no further.
pub(super) fn refuse(
    error: &ProxyError,
    fields: &HeaderMap,
    settings: &SettingsSnapshot,
    now: Timestamp,
) -> Answer {
    let response = failure::respond(error, fields, &settings.own_fields.name);
    let status = CacheStatus::Refused(error.reason());
    let response = Responder::new(settings).own(response, &status);
    Answer { response, record: RequestRecord::new(Outcome::Synthetic, Some(status), now) }
}

/// Answers OPTIONS that goes no further.
pub(super) fn options(request: &RequestHead, now: Timestamp) -> Answer {
    let status = CacheStatus::Refused(Reason::MaxForwards);
    let response = Responder::of(request).own(failure::options(), &status);
    Answer::new(request, response, Outcome::Synthetic, status, now)
}

/// Answers a request as a rule says.
pub(super) fn of_rule(request: &RequestHead, answer: OwnAnswer, now: Timestamp) -> Answer {
    let OwnAnswer { status, fields, content } = answer;
    let length = content.len();
    let is_sent = request.method != Method::HEAD && length > 0;
    let body = if is_sent { ResponseBody::Whole(content.into()) } else { ResponseBody::Empty };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    if request.method == Method::HEAD && length > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let status = CacheStatus::Refused(Reason::Rule);
    let response = Responder::of(request).own(response, &status);
    Answer::new(request, response, Outcome::Synthetic, status, now)
}
