//! `RequestPolicy`: the policy of one request, and the settings snapshot that it is part of.

use std::ops::Deref;
use std::sync::Arc;

use http::HeaderMap;

use super::snapshot::SettingsSnapshot;
use super::{Policy, PolicyId};
use crate::origins::Origin;

/// The policy that a request was read under. It stays the same for the whole request, even if the
/// settings are replaced meanwhile.
#[derive(Clone, Debug)]
pub struct RequestPolicy {
    /// The copy of the worker that read the request, so that no other core counts its references.
    snapshot: Arc<SettingsSnapshot>,
    id: PolicyId,
}

impl RequestPolicy {
    /// Resolves the policy of a request by its canonical host, its path with query, and its fields.
    pub fn resolve(
        snapshot: Arc<SettingsSnapshot>,
        host: &str,
        path: &str,
        fields: &HeaderMap,
    ) -> Self {
        let id = snapshot.policies.resolve(host, path, fields);
        Self { snapshot, id }
    }

    pub fn settings(&self) -> &SettingsSnapshot {
        &self.snapshot
    }

    pub fn origin(&self) -> &Arc<Origin> {
        self.snapshot.origins.get(self.origin)
    }
}

impl Deref for RequestPolicy {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        self.snapshot.policies.get(self.id)
    }
}
