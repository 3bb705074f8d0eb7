//! The implicit tags of a response beside its host: its page and its path where no key tells them,
//! and the deployment that made it.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::invalidation::{Invalidation, TagId};
use crate::policy::Policy;
use crate::request::RequestHead;

pub fn of(
    fields: &HeaderMap,
    request: &RequestHead,
    invalidation: &Invalidation,
) -> SmallVec<[TagId; 4]> {
    let page = request.page();
    let page = page.as_deref().map(str::as_bytes);
    let mut tags: SmallVec<[TagId; 4]> =
        invalidation.ids().places(&request.key, page).into_iter().collect();
    let named = deployment(fields, &request.policy);
    tags.extend(named.map(|name| invalidation.deployment(name)));
    tags
}

/// Returns the deployment that a response names. A file with a hash in its name belongs to every
/// deployment whose pages ask for it.
pub(super) fn deployment<'a>(fields: &'a HeaderMap, policy: &Policy) -> Option<&'a [u8]> {
    let is_asset = !policy.cache.asset_grace.is_zero();
    let name = policy.deployment.as_ref().filter(|_| !is_asset);
    let named = name.and_then(|name| fields.get(name));
    named.map(|value| value.as_bytes().trim_ascii()).filter(|name| !name.is_empty())
}
