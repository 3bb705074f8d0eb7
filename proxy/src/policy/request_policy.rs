//! `RequestPolicy`: the policy of one request, and the settings snapshot that it is part of.

use std::ops::Deref;
use std::sync::Arc;

use http::HeaderMap;

use super::snapshot::SettingsSnapshot;
use super::{Policy, PolicyId};
use crate::origins::{Origin, OriginId};

/// The policy that a request was read under. It stays the same for the whole request, even if the
/// settings are replaced meanwhile.
#[derive(Clone, Debug)]
pub struct RequestPolicy {
    /// The copy of the worker that read the request, so that no other core counts its references.
    snapshot: Arc<SettingsSnapshot>,
    id: PolicyId,
    /// `None` until [`claim`](Self::claim): a hit needs no origin.
    origin: Option<OriginId>,
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
        Self { snapshot, id, origin: None }
    }

    pub fn settings(&self) -> &SettingsSnapshot {
        &self.snapshot
    }

    /// Chooses the origin of a request that is forwarded. Returns `None` if no origin claims it.
    pub fn claim(&mut self, host: &str, path: &str) -> Option<OriginId> {
        self.origin = self.snapshot.origins.choose(host, path);
        self.origin
    }

    /// The origin that was chosen. Every request has one before it is forwarded.
    pub fn origin(&self) -> &Arc<Origin> {
        debug_assert!(self.origin.is_some(), "no origin was chosen");
        self.snapshot.origins.get(self.origin.unwrap_or_default())
    }
}

impl Deref for RequestPolicy {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        self.snapshot.policies.get(self.id)
    }
}
