//! `RequestPolicy`: the policy of one request, and the settings snapshot that it is part of.

use std::ops::Deref;
use std::sync::Arc;

use settings::RuleOrigin;

use super::Policy;
use super::matcher::RequestView;
use super::rules::{CompiledRules, RuleEffects};
use super::snapshot::SettingsSnapshot;
use crate::key::KeyRules;
use crate::origins::{Origin, OriginId};

/// The policy that a request was read under. It stays the same for the whole request, even if the
/// settings are replaced meanwhile.
#[derive(Clone, Debug)]
pub struct RequestPolicy {
    /// The copy of the worker that read the request, so that no other core counts its references.
    snapshot: Arc<SettingsSnapshot>,
    /// `None`: no rule matches.
    merged: Option<Arc<Policy>>,
    /// `None` until [`claim`](Self::claim): a hit needs no origin.
    origin: Option<OriginId>,
}

impl RequestPolicy {
    /// Resolves the policy of a request.
    pub fn resolve(snapshot: Arc<SettingsSnapshot>, request: &RequestView<'_>) -> Self {
        let merged = snapshot.policies.resolve(request);
        Self { snapshot, merged, origin: None }
    }

    /// Returns the policy of a request that no rule is for.
    pub const fn without_rules(snapshot: Arc<SettingsSnapshot>) -> Self {
        Self { snapshot, merged: None, origin: None }
    }

    /// The effects of the rules that the request matches.
    pub fn effects(&self) -> Option<&RuleEffects> {
        self.merged.as_ref()?.effects.as_deref()
    }

    /// Returns the rules that keep the response apart from others of its URL, of a request that was
    /// rewritten to this one.
    pub fn apart_when_rewritten(&self, rewritten: &RequestView<'_>) -> Option<KeyRules> {
        self.snapshot.policies.rules()?.apart_when_rewritten(self.effects()?, rewritten)
    }

    /// The policy that rules made; `None` where none matches.
    pub const fn ruled(&self) -> Option<&Arc<Policy>> {
        self.merged.as_ref()
    }

    /// Returns whether rules make a difference between POST and GET, or have the request bypass the
    /// cache: then what a POST is answered may not answer a GET.
    pub fn tells_methods_apart(&self) -> bool {
        self.snapshot.policies.rules().is_some_and(CompiledRules::asks_for_method)
            || self.effects().is_some_and(RuleEffects::bypasses)
    }

    /// Returns whether only what is stored may answer.
    pub fn is_only_stored(&self) -> bool {
        self.effects().is_some_and(RuleEffects::is_only_stored)
    }

    pub fn settings(&self) -> &SettingsSnapshot {
        &self.snapshot
    }

    /// Chooses the origin of a request that is forwarded: that of a rule, or the one that claims
    /// the request. Returns `None` if there is none.
    pub fn claim(&mut self, host: &str, path: &str) -> Option<OriginId> {
        let origins = &self.snapshot.origins;
        self.origin = match self.effects().and_then(RuleEffects::origin) {
            None => origins.choose(host, path),
            Some(RuleOrigin::Named(name)) => origins.id_of(name),
            Some(RuleOrigin::OnlyStored) => None,
        };
        self.origin
    }

    /// The name of the origin that was chosen.
    pub fn origin_name(&self) -> Option<&str> {
        self.origin.map(|origin| self.snapshot.origins.get(origin).name())
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
        match &self.merged {
            Some(policy) => policy,
            None => self.snapshot.policies.default(),
        }
    }
}
