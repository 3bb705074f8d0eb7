//! Fetches after a purge: the URLs that it lists, then the most requested responses that it hit.
//!
//! Here is decided what; who fetches takes the orders from a bounded queue. A listed URL is fetched
//! only if it is of a host that the purge concerns, and like any other request, from the configured
//! origin.

use std::collections::HashSet;
use std::sync::Arc;

use purge_protocol::CanonicalUrl;
use purge_protocol::log::Rewarm;
use purge_protocol::request::Target;
use tokio::sync::mpsc;

use crate::invalidation::{Invalidation, Provenance, TagId};
use crate::key::vary::Variant;
use crate::key::{Key, Scheme};
use crate::purge::PurgeExecutor;
use crate::purge::candidates::RewarmCandidates;
use process::metrics::Counter;

/// The fetches after one purge.
#[derive(Debug)]
pub struct Order {
    /// The responses, in this order.
    pub wanted: Vec<Wanted>,
    /// Holds what was purged, as of then: a later purge of the same makes the order void.
    pub since: Provenance,
}

#[derive(Clone, Debug)]
pub struct Wanted {
    pub key: Key,
    /// Its variant; `None` if it is not known.
    pub variant: Option<Variant>,
}

#[derive(Debug, Default)]
pub struct RewarmMetrics {
    pub queued: Counter,
    pub fetched: Counter,
    /// Fetches that were not needed: a fresh response is stored, or none may be.
    pub needless: Counter,
    pub cancelled: Counter,
    /// Fetches that found the queue full, or whose URL the purge does not concern.
    pub dropped: Counter,
    pub failed: Counter,
}

#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Order>,
    pub(super) metrics: Arc<RewarmMetrics>,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        (Self { sender, metrics: Arc::default() }, receiver)
    }

    /// Orders what a purge, which is in force by now, wants to be fetched.
    pub(super) fn order(
        &self,
        executor: &PurgeExecutor,
        invalidation: &Arc<Invalidation>,
        (targets, rewarm): (&[Target], &Rewarm),
        candidates: &RewarmCandidates,
    ) {
        let mut seen = HashSet::new();
        let (mut wanted, mut refused) = (Vec::new(), 0);
        for url in &rewarm.urls {
            match listed(url, targets, candidates) {
                Some((scheme, url)) => {
                    let key = executor.key(scheme, &url);
                    wanted.push(Wanted { key, variant: None });
                }
                None => refused += 1,
            }
        }
        let hottest = candidates.hottest.iter().map(|stored| Wanted {
            key: stored.key.clone(),
            variant: stored.variant.as_deref().cloned(),
        });
        wanted.extend(hottest);
        wanted.retain(|one| {
            let variant = one.variant.as_ref().map(Variant::hash);
            seen.insert((one.key.to_string(), variant))
        });
        wanted.truncate(usize::try_from(rewarm.max).unwrap_or(usize::MAX));
        self.metrics.dropped.add(refused);
        if wanted.is_empty() {
            return;
        }
        let count = wanted.len() as u64;
        let since = invalidation.begin_fetch().provenance(marked(invalidation, targets));
        if self.sender.try_send(Order { wanted, since }).is_err() {
            self.metrics.dropped.add(count);
        }
    }
}

/// The tags and hosts of a purge. Purges of URLs and prefixes are met by the keys of what is
/// fetched.
fn marked(invalidation: &Invalidation, targets: &[Target]) -> Vec<TagId> {
    let ids = invalidation.ids();
    let of = |target: &Target| match target {
        Target::Tag(tag) => Some(ids.tag(tag.as_str().as_bytes())),
        Target::Host(host) => Some(ids.host(host.as_bytes())),
        Target::Page(url) => Some(ids.path_ids(url.host().as_bytes(), url.path().as_bytes()).page),
        Target::Url(_)
        | Target::Path(_)
        | Target::Prefix(_)
        | Target::Expression(_)
        | Target::Deploy(_)
        | Target::All => None,
    };
    targets.iter().filter_map(of).collect()
}

/// Reads a listed URL, if the purge concerns its host.
fn listed(
    text: &str,
    targets: &[Target],
    candidates: &RewarmCandidates,
) -> Option<(Scheme, CanonicalUrl)> {
    let url = CanonicalUrl::parse(text).ok()?;
    let is_https = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let written = if is_https { Scheme::Https } else { Scheme::Http };
    let known = candidates.hosts.get(url.host().as_bytes()).copied();
    let (host, path) = (url.host().as_bytes(), url.path().as_bytes());
    let is_concerned = |target: &Target| match target {
        Target::Tag(_) | Target::Expression(_) | Target::Deploy(_) => false,
        Target::Url(other) | Target::Page(other) | Target::Path(other) => {
            other.host() == url.host()
        }
        Target::Host(other) => other == url.host(),
        Target::Prefix(prefix) => prefix.covers(host, path),
        Target::All => true,
    };
    let is_concerned = known.is_some() || targets.iter().any(is_concerned);
    is_concerned.then(|| (known.unwrap_or(written), url))
}

const ORDERS_MAX: usize = 1024;
