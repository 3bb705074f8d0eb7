//! `Parts`: the purges of a batch that is refused or takes too long, in ever smaller batches. Pure.
//!
//! All parts but the last cover no offsets, so that the proxy's position moves when the whole batch
//! is in force.

use bytes::Bytes;
use purge_protocol::log::{Hit, LoggedPurge};

use crate::intake::encoded;
use crate::partition::window::Slice;

#[derive(Debug)]
pub(super) struct Parts<'a> {
    whole: &'a Slice,
    /// The purges of each part, the next one last. Empty only after the whole is applied.
    waiting: Vec<Purges>,
    hits: Vec<Hit>,
}

type Purges = Vec<(i64, Bytes)>;

impl<'a> Parts<'a> {
    /// Begins with the whole batch as the only part.
    pub(super) fn of(whole: &'a Slice) -> Self {
        Self { whole, waiting: vec![whole.purges.clone()], hits: Vec::new() }
    }

    pub(super) fn next(&self) -> Slice {
        let purges = self.waiting.last().cloned().unwrap_or_default();
        match self.waiting.len() {
            0 | 1 => Slice { purges, ..self.whole.clone() },
            _ => Slice { to: self.whole.from, last: None, purges, ..self.whole.clone() },
        }
    }

    /// Records that the part was applied; returns whether that was the last one.
    pub(super) fn applied(&mut self, hits: &[Hit]) -> bool {
        for hit in hits {
            match self.hits.iter_mut().find(|known| known.offset == hit.offset) {
                Some(known) => known.objects += hit.objects,
                None => self.hits.push(*hit),
            }
        }
        self.waiting.pop();
        self.waiting.is_empty()
    }

    /// Splits the refused part. Returns a purge that cannot be split, which is given up.
    pub(super) fn refused(&mut self) -> Option<(i64, Bytes)> {
        match halves(self.waiting.pop().unwrap_or_default()) {
            Ok((first, second)) => {
                self.waiting.extend([second, first]);
                None
            }
            Err(refused) => {
                if self.waiting.is_empty() {
                    self.waiting.push(Vec::new()); // to move the position
                }
                refused
            }
        }
    }

    /// Splits the part that takes the proxy too long, if it can be split. No purge is given up for
    /// that.
    pub(super) fn halve(&mut self) {
        if let Some(part) = self.waiting.last()
            && let Ok((first, second)) = halves(part.clone())
        {
            self.waiting.pop();
            self.waiting.extend([second, first]);
        }
    }

    pub(super) fn into_hits(self) -> Vec<Hit> {
        self.hits
    }
}

/// Splits purges into two halves: between two purges, or else between two selectors of the only
/// one.
///
/// # Errors
/// The only purge, if it has one selector; nothing, if there is no purge.
fn halves(mut purges: Purges) -> Result<(Purges, Purges), Option<(i64, Bytes)>> {
    if purges.len() > 1 {
        let second = purges.split_off(purges.len() / 2);
        return Ok((purges, second));
    }
    let Some((offset, json)) = purges.pop() else { return Err(None) };
    let Ok(purge) = serde_json::from_slice::<LoggedPurge>(&json) else {
        return Err(Some((offset, json)));
    };
    let selectors = purge.request.selector_count();
    let mut parts = purge.parts(selectors.div_ceil(2)).into_iter();
    let one = |part: LoggedPurge| vec![(part.offset, encoded(&part))];
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) => Ok((one(first), one(second))),
        _ => Err(Some((offset, json))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_takes_too_long_is_halved_and_never_given_up() {
        let purge = |offset: i64, tags: &str| {
            (offset, Bytes::from(format!(r#"{{"offset":{offset},"tags":[{tags}]}}"#)))
        };
        let purges = vec![purge(4, r#""a","b""#), purge(5, r#""c""#)];
        let slice = Slice { to: 6, purges, ..Slice::empty(4) };
        let mut parts = Parts::of(&slice);
        let mut sent = Vec::new();
        (0..9).for_each(|_| parts.halve());
        loop {
            let part = parts.next();
            let text = |(_, purge): &(i64, Bytes)| String::from_utf8_lossy(purge).into_owned();
            sent.push((part.to, part.purges.iter().map(text).collect::<String>()));
            if parts.applied(&[]) {
                break;
            }
        }
        let has = |at: usize, to: i64, tag: &str| sent[at].0 == to && sent[at].1.contains(tag);
        assert!(sent.len() == 3 && has(0, 4, "a") && has(1, 4, "b") && has(2, 6, "c"), "{sent:?}");
    }
}
