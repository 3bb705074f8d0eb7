//! An error page that goes to all who wait, so that a failing origin is not asked once for each.

use http::header::{CONTENT_LENGTH, SET_COOKIE};
use http::{HeaderMap, Response};

use super::error::is_error;
use super::flight::SharedHead;
use super::storable::{form_as_received, variant_of};
use super::task::FetchTask;
use crate::compression::form::ContentForm;
use crate::freshness::stored_fields::stored_fields;
use crate::freshness::{ExchangeTimes, Uncacheable};
use crate::origins::OriginBody;
use crate::store::fields::unique_number;

/// Makes the head of an error page that is not stored for this reason. `None`: it is for the client
/// only whose request was sent.
pub(super) fn shared_error(
    task: &FetchTask,
    response: &Response<OriginBody>,
    exchange: ExchangeTimes,
    reason: Uncacheable,
) -> Option<SharedHead> {
    let is_general = matches!(reason, Uncacheable::Status | Uncacheable::NoFreshness);
    let (status, received) = (response.status(), response.headers());
    if !is_error(status) || !is_general || received.contains_key(SET_COOKIE) {
        return None;
    }
    let request = &task.request.head;
    let length = response.body().length();
    let mut fields = stored_fields(received, exchange.wall_time);
    fields.remove(CONTENT_LENGTH);
    let form = form_as_received(&request.policy, status, &fields, length);
    form.describe(&mut fields);
    let variant = variant_of(&task.fetcher, request, &fields, form).ok()?;
    Some(SharedHead {
        key: request.key.clone(),
        status,
        fields: request.shown(status, &fields),
        variant,
        provenance: task.provenance([]),
        length,
        not_stored: Some(reason),
        freshness: None,
        base: None,
        source: (form == ContentForm::Compressible).then(unique_number),
        personal: HeaderMap::new(),
    })
}
