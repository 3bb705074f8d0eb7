//! `Deployments`: which deployment of a site is the present one, so that responses of others are
//! stale.
//!
//! Unlike a purge this is a state: what an old server answers after the change is of the old
//! deployment, and was so from the beginning. A change is one mark for all responses. Of two
//! changes the one with the later time holds, in whatever order they arrive: records of Kafka are
//! repeated, and proxies that were away get theirs late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::Sequence;
use super::marks::Verdict;
use super::provenance::Provenance;
use super::tag_table::TagId;
use process::timestamp::Timestamp;

/// A change of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployMark {
    /// The only host whose responses it concerns; `None`: those of every host.
    pub host: Option<(TagId, Arc<str>)>,
    pub deployment: TagId,
    pub name: Arc<str>,
    /// The time of the change, or of the last one that repeats it.
    pub at: Timestamp,
    /// Responses of other deployments are stale since then.
    pub stale_since: Timestamp,
    /// Responses of other deployments are not used from then on.
    pub until: Timestamp,
    /// The time has come.
    pub is_over: bool,
    pub gone: Gone,
}

/// Responses that were given up when the grace of a deploy was over: they do not come back with
/// their deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Of every deployment, those born before this.
    pub all: Sequence,
    /// Of every deployment but `spared`, those born before this.
    pub others: Sequence,
    pub spared: Option<TagId>,
}

/// The present deployment of each host that has one of its own, and of all others.
#[derive(Clone, Debug, Default)]
pub(super) struct DeployStates {
    by_host: BTreeMap<Option<u128>, DeployState>,
}

#[derive(Clone, Debug)]
struct DeployState {
    deploy: DeployMark,
    /// The sequence of its last change.
    changed: Sequence,
}

#[derive(Debug, Default)]
pub struct Deployments {
    states: RwLock<DeployStates>,
    /// The sequence of the last change; zero: none.
    newest: AtomicU64,
    /// Deployments that responses have named, for those who ask.
    known: RwLock<BTreeMap<Arc<str>, TagId>>,
}

impl DeployMark {
    fn host_bits(&self) -> Option<u128> {
        self.host.as_ref().map(|(id, _)| id.bits())
    }

    /// Joins a repeat: it does not prolong the grace.
    fn repeat(&mut self, later: &Self) {
        self.at = later.at;
        self.stale_since = self.stale_since.min(later.stale_since);
        self.until = self.until.min(later.until);
        self.is_over |= later.is_over;
    }
}

impl Gone {
    fn end(&mut self, spared: TagId, sequence: Sequence) {
        if self.spared != Some(spared) {
            self.all = self.all.max(self.others);
        }
        (self.others, self.spared) = (self.others.max(sequence), Some(spared));
    }

    fn covers(&self, own: TagId, born: Sequence) -> bool {
        born < self.all || born < self.others && self.spared != Some(own)
    }

    /// Joins what is gone by another deploy.
    fn join(&mut self, other: Self) {
        if other.spared == self.spared {
            self.all = self.all.max(other.all);
            self.others = self.others.max(other.others);
        } else {
            self.all = self.all.max(other.all).max(other.others);
        }
    }
}

impl DeployStates {
    /// Takes a change over, unless a later one is known. Returns a host that there is no room for
    /// any more: its responses have to be purged.
    pub(super) fn set(&mut self, deploy: &DeployMark, sequence: Sequence) -> Option<TagId> {
        let host = deploy.host_bits();
        let is_later =
            |known: Option<&DeployState>| known.is_some_and(|known| known.deploy.at > deploy.at);
        if is_later(self.by_host.get(&host)) || is_later(self.by_host.get(&None)) {
            return None;
        }
        let known = self.by_host.get(&host).or_else(|| self.by_host.get(&None));
        let gone = known.map(|known| known.deploy.gone).unwrap_or_default();
        let is_repeat = self
            .by_host
            .get(&host)
            .is_some_and(|known| known.deploy.deployment == deploy.deployment);
        if !is_repeat {
            let state = DeployState { deploy: deploy.clone(), changed: sequence };
            self.by_host.insert(host, state);
        }
        if let Some(DeployState { deploy: known, changed }) = self.by_host.get_mut(&host) {
            known.repeat(deploy);
            known.gone.join(gone);
            known.gone.join(deploy.gone);
            if known.is_over {
                known.gone.end(known.deployment, sequence);
            }
            *changed = sequence.max(*changed);
        }
        if host.is_none() {
            self.replace_hosts(deploy.at);
        }
        if self.by_host.len() <= DEPLOYS_MAX {
            return None;
        }
        let of_hosts = self.by_host.iter().filter(|(host, _)| host.is_some());
        let (oldest, _) = of_hosts.min_by_key(|(_, it)| it.deploy.at)?;
        let oldest = *oldest;
        self.by_host.remove(&oldest);
        oldest.map(TagId::from_bits)
    }

    /// Drops the deployments of hosts that are older than that of all. What they have given up
    /// stays so, on every host.
    fn replace_hosts(&mut self, at: Timestamp) {
        let (mut all, mut rest) = (Sequence::default(), BTreeMap::new());
        for (host, state) in std::mem::take(&mut self.by_host) {
            if host.is_none() || state.deploy.at > at {
                rest.insert(host, state);
            } else {
                all = all.max(state.deploy.gone.all).max(state.deploy.gone.others);
            }
        }
        if let Some(DeployState { deploy, .. }) = rest.get_mut(&None) {
            deploy.gone.all = deploy.gone.all.max(all);
        }
        self.by_host = rest;
    }

    /// Decides for a response by the deployment that it names.
    fn verdict(&self, own: TagId, born: Sequence, host: Option<TagId>) -> Verdict {
        match self.of(host) {
            Some(DeployState { deploy, .. }) if deploy.gone.covers(own, born) => Verdict::Purged,
            Some(DeployState { deploy, .. }) if deploy.deployment != own => {
                if deploy.is_over {
                    Verdict::Purged
                } else {
                    Verdict::Soft(deploy.stale_since)
                }
            }
            _ => Verdict::Valid,
        }
    }

    /// Returns the present deployment of a host: its own, if there is one.
    fn of(&self, host: Option<TagId>) -> Option<&DeployState> {
        let own = host.and_then(|host| self.by_host.get(&Some(host.bits())));
        own.or_else(|| self.by_host.get(&None))
    }

    /// Shows each with the sequence of its last change.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&DeployMark, Sequence)> {
        self.by_host.values().map(|state| (&state.deploy, state.changed))
    }
}

impl Deployments {
    pub(super) fn restored(states: DeployStates) -> Self {
        let newest = states.iter().map(|(_, changed)| changed.0).max().unwrap_or(0);
        let (states, newest) = (RwLock::new(states), AtomicU64::new(newest));
        Self { states, newest, known: RwLock::default() }
    }

    /// Takes a change over, see [`DeployStates::set`]. Only under the lock of `RunningFetches`.
    pub(super) fn set(&self, deploy: &DeployMark, sequence: Sequence) -> Option<TagId> {
        let dropped = self.states.write().set(deploy, sequence);
        self.newest.store(sequence.0, Ordering::Release);
        dropped
    }

    /// Decides for a response by the deployment that it names: one that names none is of none, and
    /// stays as it is.
    pub(super) fn verdict(&self, provenance: &Provenance) -> Verdict {
        self.verdict_of(provenance.ids(), provenance.born())
    }

    pub(super) fn verdict_of_tags(&self, tags: &[TagId], born: Sequence) -> Verdict {
        self.verdict_of(tags.iter().copied(), born)
    }

    fn verdict_of(&self, ids: impl Iterator<Item = TagId>, born: Sequence) -> Verdict {
        if self.newest.load(Ordering::Acquire) == 0 {
            return Verdict::Valid;
        }
        match named(ids) {
            (None, _) => Verdict::Valid,
            (Some(own), host) => self.states.read().verdict(own, born, host),
        }
    }

    /// Returns whether no change has come since, as far as it concerns this response.
    pub(super) fn is_unchanged(&self, provenance: &Provenance, since: Sequence) -> bool {
        if self.newest.load(Ordering::Acquire) <= since.0 {
            return true;
        }
        let (Some(_), host) = named(provenance.ids()) else { return true };
        self.states.read().of(host).is_none_or(|state| state.changed <= since)
    }

    /// Returns the changes whose time is over by now, to be marked as such.
    pub fn due(&self, now: Timestamp) -> Vec<DeployMark> {
        if self.newest.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let states = self.states.read();
        let is_due = |it: &&DeployMark| !it.is_over && it.until <= now;
        let due = states.iter().map(|(deploy, _)| deploy).filter(is_due);
        due.map(|deploy| DeployMark { is_over: true, ..deploy.clone() }).collect()
    }

    /// Returns the time of the latest change; zero: there was none.
    pub fn latest(&self) -> Timestamp {
        let states = self.states.read();
        states.iter().map(|(deploy, _)| deploy.at).max().unwrap_or_default()
    }

    /// Returns the present deployment of these tags' host, if it is another than the one that is
    /// among them.
    pub fn present_instead(&self, tags: &[TagId]) -> Option<Arc<str>> {
        if self.newest.load(Ordering::Acquire) == 0 {
            return None;
        }
        let (own, host) = named(tags.iter().copied());
        let (own, states) = (own?, self.states.read());
        let present = &states.of(host)?.deploy;
        (present.deployment != own).then(|| Arc::clone(&present.name))
    }

    /// Returns the present deployment of each host that has one of its own, and of all others.
    pub fn current(&self) -> Vec<DeployMark> {
        self.states.read().iter().map(|(deploy, _)| deploy.clone()).collect()
    }

    /// Notes that there is such a deployment.
    pub(super) fn note(&self, name: &str, id: TagId) {
        if self.known.read().contains_key(name) {
            return;
        }
        let mut known = self.known.write();
        if known.len() < KNOWN_MAX {
            known.insert(name.into(), id);
        }
    }

    /// Returns the deployments that responses have named, and forgets those of which `is_stored`
    /// says that no response is left.
    pub fn known(&self, is_stored: impl Fn(TagId) -> bool) -> Vec<(Arc<str>, TagId)> {
        let mut known = self.known.write();
        known.retain(|_, id| is_stored(*id));
        known.iter().map(|(name, id)| (Arc::clone(name), *id)).collect()
    }
}

/// Returns the deployment that a response names, and its host.
fn named(ids: impl Iterator<Item = TagId>) -> (Option<TagId>, Option<TagId>) {
    let (mut deployment, mut host) = (None, None);
    for id in ids {
        if id.is_deployment() {
            deployment = Some(id);
        } else if id.is_host() {
            host = Some(id);
        }
    }
    (deployment, host)
}

/// Hosts whose present deployment is remembered. Beyond it, the oldest is forgotten, and what is
/// stored of its host is purged.
const DEPLOYS_MAX: usize = 1000;
/// Names of deployments that are told to those who ask.
const KNOWN_MAX: usize = 256;
