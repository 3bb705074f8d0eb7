//! Names of servers, looked up in the background whenever the TTL of their records is over.
//! A request waits for a name only while it has never been answered.
//!
//! ```text
//! ServerNames ─► ResolvedName   the last good answer, for connectors and sets of servers
//!               ▲
//!             keeper      the task of a name: look it up, pause, look it up again
//!            ┌──┴───┐
//!        schedule  resolver   the hosts file, the search list, A and AAAA together, SRV
//! ```

mod answer;
mod files;
mod keeper;
pub(super) mod metrics;
mod resolved_name;
mod resolver;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use settings::DnsSettings;
use tokio::sync::{Semaphore, watch};

pub use self::answer::NoAnswer;
#[cfg(test)]
pub(super) use self::answer::ServiceRecord;
pub(super) use self::answer::{Question, Records};
use self::keeper::{NameLookup, keep};
pub(super) use self::resolved_name::{NameState, ResolvedName};
use self::resolver::Resolver;
use super::background::Background;

/// The names that somebody needs, each with a task of its own. A name that nobody needs any more is
/// forgotten.
#[derive(Debug)]
pub(super) struct ServerNames {
    known: Mutex<HashMap<Question, Weak<ResolvedName>>>,
    lookups: Arc<Lookups<Resolver>>,
    background: Background,
}

/// The state that the tasks of all names share.
#[derive(Debug)]
struct Lookups<L> {
    resolver: L,
    settings: watch::Sender<DnsSettings>,
    permits: Semaphore,
}

impl ServerNames {
    pub(super) fn new(settings: DnsSettings, background: Background) -> Self {
        let lookups = Arc::new(Lookups::new(Resolver::default(), settings));
        Self { known: Mutex::default(), lookups, background }
    }

    /// Replaces the settings. All names are looked up again at once, and keep their last answers
    /// meanwhile.
    pub(super) fn configure(&self, settings: &DnsSettings) {
        self.lookups.settings.send_if_modified(|current| {
            let is_new = current != settings;
            if is_new {
                *current = settings.clone();
            }
            is_new
        });
    }

    /// Returns the name that answers the question. One that is new is looked up at once.
    pub(super) fn follow(&self, question: Question) -> Arc<ResolvedName> {
        let mut known = self.known.lock();
        if let Some(name) = known.get(&question).and_then(Weak::upgrade) {
            return name;
        }
        known.retain(|_, name| name.strong_count() > 0);
        let name = Arc::new(ResolvedName::new(question.clone()));
        known.insert(question, Arc::downgrade(&name));
        drop(known);
        self.background.start(keep(Arc::downgrade(&name), Arc::clone(&self.lookups)));
        name
    }

    /// Returns the names in use, in order.
    pub(super) fn in_use(&self) -> Vec<Arc<ResolvedName>> {
        let mut all: Vec<_> = self.known.lock().values().filter_map(Weak::upgrade).collect();
        all.sort_by(|one, other| one.question().cmp(other.question()));
        all
    }
}

impl<L: NameLookup> Lookups<L> {
    fn new(resolver: L, settings: DnsSettings) -> Self {
        let permits = Semaphore::new(LOOKUPS_MAX);
        Self { resolver, settings: watch::Sender::new(settings), permits }
    }
}

/// Look-ups under way at once. Further ones wait.
const LOOKUPS_MAX: usize = 64;
