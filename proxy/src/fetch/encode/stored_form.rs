//! Compressed forms in the store: entered beside the plain one, and renewed by it.

use std::sync::Arc;

use http::HeaderValue;
use settings::Coding;
use xxhash_rust::xxh3::Xxh3;

use crate::compression::form::{ContentForm, MADE_OF};
use crate::fetch::held::is_stored;
use crate::fetch::{Fetcher, HeldResponse};
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
    (coding, made_of): (Coding, u128),
    plain: &HeldResponse,
    commit: impl FnOnce(NewEntry) -> Result<Arc<Stored>, StoreError>,
) -> Option<Arc<Stored>> {
    let is_current = is_stored(&*fetcher.store, plain.stored())
        && plain.verdict(&fetcher.invalidation) == Verdict::Valid;
    if !is_current {
        return None;
    }
    match commit(draft(request, (coding, made_of), plain.stored())?) {
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
/// where it was made of the same bytes. Entity tags do not tell: some origins keep theirs when a
/// page changes.
pub(in crate::fetch) fn renew(
    fetcher: &Arc<Fetcher>,
    request: &RequestHead,
    coding: Coding,
    plain: &Arc<Stored>,
) -> Option<Arc<Stored>> {
    let variant = plain.variant.as_deref()?.selected_by(&request.fields);
    let is_it = |stored: &Stored| stored.variant.as_deref() == Some(&variant);
    let old = fetcher.store.lookup(&request.key, &is_it)?;
    let verdict = fetcher.invalidation.verdict(&old.provenance, &old.key);
    let form = old.response()?;
    let is_usable = old.form() == ContentForm::Compressed(coding)
        && matches!(verdict, Verdict::Valid | Verdict::Soft(_))
        && form.status == plain.response()?.status;
    let made_of = hash_of(&plain.response()?.body)?;
    let mark = form.fields.to_map(Show::All, 0).remove(MADE_OF)?;
    if !is_usable || mark.as_bytes() != format!("{made_of:032x}").as_bytes() {
        return None;
    }
    let plain = fetcher.hold(plain)?;
    let commit = |draft| fetcher.store.freshen(&old, draft);
    enter(fetcher, request, (coding, made_of), &plain, commit)
}

/// Returns the hash of content; `None` where it would have to be read from a file.
fn hash_of(body: &Body) -> Option<u128> {
    if matches!(body, Body::Deferred(_)) {
        return None;
    }
    let mut hash = Xxh3::new();
    body.pieces().iter().for_each(|piece| hash.update(piece));
    Some(hash.digest128())
}

fn draft(
    request: &RequestHead,
    (coding, made_of): (Coding, u128),
    plain: &Stored,
) -> Option<NewEntry> {
    let response = plain.response().filter(|response| response.part.is_none())?;
    let variant = plain.variant.as_deref()?.selected_by(&request.fields);
    let mut fields = response.fields.to_map(Show::All, 2);
    ContentForm::restore(&mut fields);
    ContentForm::Compressed(coding).describe(&mut fields);
    fields.insert(MADE_OF, HeaderValue::try_from(format!("{made_of:032x}")).ok()?);
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
