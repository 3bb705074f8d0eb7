//! Compressed forms in the store: entered beside the plain one, and renewed by it.

use std::sync::Arc;

use settings::Coding;

use crate::compression::form::ContentForm;
use crate::fetch::held::is_stored;
use crate::fetch::{Fetcher, HeldResponse};
use crate::freshness::partial::same_strong_validator;
use crate::invalidation::Verdict;
use crate::request::RequestHead;
use crate::store::{
    Body, Content, Fields, NewEntry, Removal, Show, StoreError, Stored, StoredResponse,
};

/// Enters a compressed form by `commit`, if the plain one is still stored and was not purged, and
/// looks for purges again afterwards.
pub(super) fn enter(
    fetcher: &Fetcher,
    request: &RequestHead,
    coding: Coding,
    plain: &HeldResponse,
    commit: impl FnOnce(NewEntry) -> Result<Arc<Stored>, StoreError>,
) -> Option<Arc<Stored>> {
    let is_current = is_stored(&*fetcher.store, plain.stored())
        && plain.verdict(&fetcher.invalidation) == Verdict::Valid;
    if !is_current {
        return None;
    }
    match commit(draft(request, coding, plain.stored())?) {
        Ok(stored) if plain.verdict_on_form(&fetcher.invalidation, &stored) == Verdict::Valid => {
            Some(stored)
        }
        Ok(purged) => {
            fetcher.store.remove(&purged, Removal::Purged);
            None
        }
        Err(error) => {
            tracing::debug!(%error, "compressed form not stored");
            None
        }
    }
}

/// Gives a stored compressed form the head of the plain one, which was confirmed or fetched since,
/// where both are of the same bytes.
pub(super) fn renew(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    coding: Coding,
    plain: &Arc<Stored>,
) -> Option<Arc<Stored>> {
    let variant = plain.variant.as_deref()?.selected_by(&request.fields);
    let is_it = |stored: &Stored| stored.variant.as_deref() == Some(&variant);
    let old = fetcher.store.lookup(&request.key, &is_it)?;
    let verdict = fetcher.invalidation.verdict(&old.provenance, &old.key);
    let is_of_the_same = old.form() == ContentForm::Compressed(coding)
        && matches!(verdict, Verdict::Valid | Verdict::Soft(_))
        && was_made_of(old.response()?, plain.response()?);
    if !is_of_the_same {
        return None;
    }
    let plain = fetcher.hold(plain)?;
    enter(fetcher, request, coding, &plain, |draft| fetcher.store.freshen(&old, draft))
}

fn was_made_of(form: &StoredResponse, plain: &StoredResponse) -> bool {
    let mut received = form.fields.to_map(Show::All, 0);
    ContentForm::restore(&mut received);
    let now = plain.fields.to_map(Show::All, 0);
    form.status == plain.status && same_strong_validator(&received, &now, form.freshness.received())
}

fn draft(request: &RequestHead, coding: Coding, plain: &Stored) -> Option<NewEntry> {
    let response = plain.response().filter(|response| response.part.is_none())?;
    let variant = plain.variant.as_deref()?.selected_by(&request.fields);
    let mut fields = response.fields.to_map(Show::All, 2);
    ContentForm::restore(&mut fields);
    ContentForm::Compressed(coding).describe(&mut fields);
    let policy = &request.policy;
    Some(NewEntry {
        key: plain.key.clone(),
        variant: Some(variant),
        provenance: plain.provenance.of_other_form(),
        content: Content::Response(StoredResponse {
            status: response.status,
            fields: Fields::copy_of(&fields, &|name| policy.is_hidden(name)),
            freshness: response.freshness,
            body: Body::Empty,
            part: None,
        }),
    })
}
