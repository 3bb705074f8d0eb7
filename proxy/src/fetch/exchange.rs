//! One exchange with the origin: conditional where a stale response is held, for the missing part
//! where one part is stored, else plain.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};

use super::freshen::{may_confirm, may_share};
use super::parts::{Completion, stored_part};
use super::request::{AskedRange, MIN_REVISION};
use super::storable::Storable;
use super::task::FetchTask;
use super::{HeldResponse, redirect_loop, revision};
use crate::compression::form::ContentForm;
use crate::freshness::ExchangeTimes;
use crate::freshness::stored_fields::freshen;
use crate::freshness::validation::{Conditions, conditions, selects};
use crate::origins::{self, OriginBody, OriginError};
use crate::policy::rules::edited;
use crate::store::Show;

pub(super) struct OriginResponse {
    pub(super) response: Response<OriginBody>,
    pub(super) exchange: ExchangeTimes,
    /// The stored response that it confirms: it is a 304.
    pub(super) confirmed: Option<Arc<HeldResponse>>,
    pub(super) completion: Option<Completion>,
}

/// Sends the request. It is repeated without conditions after a 304 for another response, for one
/// that was hard-purged meanwhile, or for one that is not for everybody any more: who waits along
/// asks for its own.
pub(super) async fn exchange(task: &FetchTask) -> Result<OriginResponse, OriginError> {
    if let Some(held) = task.usable_stale()
        && let Some(old) = held.stored().response()
    {
        let mut stored = old.fields.to_map(Show::All, 0);
        ContentForm::restore(&mut stored);
        let answer = send(task, conditions(&stored), None).await?;
        if answer.response.status() != StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let fields = answer.response.headers();
        if selects(&stored, fields)
            && task.usable_stale().is_some()
            && is_shared(task, &stored, fields)
            && may_share(&task.request, old, fields, answer.exchange)
        {
            return Ok(OriginResponse { confirmed: Some(Arc::clone(held)), ..answer });
        }
    }
    if let Some(completion) = completion(task) {
        let answer = send(task, Conditions::default(), Some(completion.asked())).await?;
        if completion.is_answered_by(&answer.response) && may_complete(task, &answer, &completion) {
            return Ok(OriginResponse { completion: Some(completion), ..answer });
        }
    }
    let range = task.request.range.map(|spec| AskedRange { spec, condition: None });
    send(task, Conditions::default(), range).await
}

/// Returns whether a response with these stored fields is still one for the URL that was asked for,
/// after this confirmation.
fn is_shared(task: &FetchTask, stored: &HeaderMap, confirmation: &HeaderMap) -> bool {
    let head = &task.request.head;
    let confirmed = || {
        let stored = edited::undone(stored.clone());
        freshen(&stored, confirmation, task.fetcher.clock.wall())
    };
    head.asked.is_none() || head.is_shared_by(&confirmed())
}

/// Returns the stored part that one more part would complete, where the whole is wanted.
fn completion(task: &FetchTask) -> Option<Completion> {
    let base = stored_part(&task.fetcher, &task.request.head);
    let is_for_all = task.request.range.is_none() && task.request.head.asked.is_none();
    base.filter(|_| is_for_all).and_then(Completion::of)
}

/// Returns whether a missing part may be put together with the stored one. One that may not be
/// stored (`private`, `Set-Cookie`) would otherwise be sent as it is, a part to a client that asked
/// for the whole; and the stored one may have been purged meanwhile.
fn may_complete(task: &FetchTask, answer: &OriginResponse, completion: &Completion) -> bool {
    let (fetcher, OriginResponse { response, exchange, .. }) = (&task.fetcher, answer);
    let is_storable =
        || Storable::judge(fetcher, &task.request, response, *exchange, Some(completion)).is_ok();
    response.status() != StatusCode::PARTIAL_CONTENT
        || may_confirm(fetcher, completion.base(), task.birth()) && is_storable()
}

async fn send(
    task: &FetchTask,
    conditions: Conditions,
    range: Option<AskedRange>,
) -> Result<OriginResponse, OriginError> {
    let FetchTask { fetcher, request, .. } = task;
    let request_time = fetcher.clock.now();
    let mut message =
        request.message(conditions, range, &request.head.policy.settings().own_fields.name);
    let key = &request.head.key;
    if let Some(lowest) = revision::lowest(&fetcher.invalidation, key, request.stale.as_deref()) {
        message.headers_mut().insert(MIN_REVISION, lowest);
    }
    let response = origins::send(request.head.policy.origin(), message).await?;
    let (status, fields) = (response.status(), response.headers());
    redirect_loop::look_for(&fetcher.metrics, &request.head, status, fields);
    let exchange = fetcher.exchange_since(request_time);
    Ok(OriginResponse { response, exchange, confirmed: None, completion: None })
}
