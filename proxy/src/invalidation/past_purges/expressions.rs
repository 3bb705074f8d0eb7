//! The purges by condition that `PastPurges` remembers, the last one last.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{PurgeMark, PurgeTimes};
use crate::invalidation::Sequence;
use crate::invalidation::condition::{ConditionTerm, PurgeCondition, Subject};
use crate::invalidation::marks::Verdict;

/// The last purge of each condition. Those that there is no room for are widened by the caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Expressions {
    in_order: VecDeque<(Arc<PurgeCondition>, PurgeTimes)>,
    bytes: usize,
}

impl Expressions {
    pub(super) fn note(&mut self, condition: &Arc<PurgeCondition>, mut past: PurgeTimes) {
        let known = self.in_order.iter().position(|(known, _)| known == condition);
        match known.and_then(|place| self.in_order.remove(place)) {
            Some((_, known)) => past.join(known),
            None => self.bytes += bytes_of(condition),
        }
        self.in_order.push_back((Arc::clone(condition), past));
    }

    /// Takes the one that was purged longest ago out, if they are more than may be kept.
    pub(super) fn excess(&mut self, bytes_max: usize) -> Option<(Arc<PurgeCondition>, PurgeTimes)> {
        if self.bytes <= bytes_max && self.in_order.len() <= EXPRESSIONS_MAX {
            return None;
        }
        let (oldest, past) = self.in_order.pop_front()?;
        self.bytes -= bytes_of(&oldest);
        Some((oldest, past))
    }

    /// Decides for a response that was born then.
    pub(super) fn verdict(&self, born: Sequence, subject: &Subject<'_>) -> Verdict {
        let later = self.in_order.iter().filter(|(_, past)| past.latest() > born);
        later
            .filter(|(condition, _)| condition.is_met(subject))
            .fold(Verdict::Valid, |verdict, (_, past)| verdict.worse(past.verdict(born)))
    }

    pub(super) fn retain(&mut self, stays: impl Fn(PurgeTimes) -> bool) {
        self.in_order.retain(|(_, past)| stays(*past));
        self.bytes = self.in_order.iter().map(|(condition, _)| bytes_of(condition)).sum();
    }

    pub(super) fn for_each(&self, mut show: impl FnMut(&Arc<PurgeCondition>, PurgeTimes)) {
        for (condition, past) in &self.in_order {
            show(condition, *past);
        }
    }
}

/// Returns marks that hit every response which meets this, and others: one term of `all_of`, or
/// else all of `any_of`.
pub(super) fn widened(condition: &PurgeCondition) -> Vec<PurgeMark> {
    match condition.all_of.iter().min_by_key(|term| term.breadth()) {
        Some(narrowest) => marks(narrowest).to_vec(),
        None => condition.any_of.iter().flat_map(marks).collect(),
    }
}

/// Marks that hit every response for which the term holds.
fn marks(term: &ConditionTerm) -> SmallVec<[PurgeMark; 3]> {
    let mut marks = SmallVec::new();
    match term {
        ConditionTerm::Carried(id) => marks.push(PurgeMark::Tag(*id)),
        ConditionTerm::Url(url) => marks.extend(url.ids().map(PurgeMark::Tag)),
        ConditionTerm::Tag(id, [alike, any]) => {
            marks.extend([*id, *alike, *any].map(PurgeMark::Tag));
        }
        ConditionTerm::Page(ids) => marks.extend([ids.own, ids.page].map(PurgeMark::Tag)),
        ConditionTerm::Path(ids) => marks.extend([ids.own, ids.path].map(PurgeMark::Tag)),
        ConditionTerm::Prefix(prefix) => marks.push(PurgeMark::Prefix(prefix.clone())),
    }
    marks
}

fn bytes_of(condition: &PurgeCondition) -> usize {
    condition.bytes() + EXPRESSION_BYTES
}

/// Bytes of a written expression beside its terms.
const EXPRESSION_BYTES: usize = 72;
/// Expressions whose last purge is remembered exactly.
const EXPRESSIONS_MAX: usize = 256;
