//! The implicit tags of a response beside its host: its page and its path where no key tells them,
//! and the deployment that made it.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::invalidation::{Invalidation, TagId};
use crate::key::Key;
use crate::policy::Policy;

pub fn of(
    fields: &HeaderMap,
    key: &Key,
    policy: &Policy,
    invalidation: &Invalidation,
) -> SmallVec<[TagId; 4]> {
    let page = policy.page(key.path());
    let mut tags: SmallVec<[TagId; 4]> =
        invalidation.ids().places(key, page.as_deref()).into_iter().collect();
    tags.extend(deployment(fields, policy).map(|name| invalidation.deployment(name)));
    tags
}

/// Returns the deployment that a response names.
pub(super) fn deployment<'a>(fields: &'a HeaderMap, policy: &Policy) -> Option<&'a [u8]> {
    let named = policy.deployment.as_ref().and_then(|name| fields.get(name));
    named.map(|value| value.as_bytes().trim_ascii()).filter(|name| !name.is_empty())
}
