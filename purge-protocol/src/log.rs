//! The purge log: how a purger delivers the records of a Kafka partition to a proxy, and how both
//! know that none is missing.
//!
//! A [`Batch`] says which range of a partition it covers, `from` (inclusive) to `to` (exclusive),
//! and carries the purges in it. A proxy owns its *position* for each partition: every purge below
//! `next` has been applied, and is as durable as what it stores. It takes a batch that begins at or
//! below `next`, skips what it has applied already, and moves `next` to `to`; it refuses one that
//! begins above `next` with 409 and its [`LogStatus`], because a purge in between was lost. So
//! repeats, two purgers during a rebalance and a purger that was thought dead are all harmless. A
//! partition that a known topic has grown by begins at 0, where nothing can be missing.
//!
//! Purges that do not fit into one batch come in several: all but the last cover nothing (`from`
//! equals `to`) and carry purges of offsets from `from` on. They are in force when they are
//! answered, and the position stays. So a position never passes a record of which a part is
//! missing, however small the proxy's limits are.
//!
//! A proxy refuses a batch with 400, 413 or 422 and a [`Refusal`], which names its process. The
//! same status without one comes from something else in the proxy's place and says nothing of the
//! batch.
//!
//! `clean_ms` is the lease: *everything that was in the partition `clean_ms` milliseconds ago lies
//! below `to`*. A purger may only say so after it asked the broker. A proxy whose oldest such
//! moment is too long ago degrades as it was configured.
//!
//! A proxy that holds nothing for a partition is *adopted*: the purger sets its position, and the
//! proxy uses nothing that it stored before without validation. The same happens after a *gap*,
//! when records were lost that the proxy never saw.

use serde::{Deserialize, Serialize};

use crate::deploy::Deploy;
use crate::expression::Expression;
use crate::request::{PurgeMode, PurgeRequest, Selector};

/// The path to which batches are posted and from which a proxy's [`LogStatus`] is read, on its
/// admin listener.
pub const PATH: &str = "/api/v1/log";

/// One partition of one topic of one Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// The cluster's id, or the name the operator gave it.
    pub cluster: String,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

/// A range of a partition with the purges in it: `POST /api/v1/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The partition.
    pub log: LogId,
    /// Partitions that the topic has: positions of others are dropped.
    pub partitions: i32,
    /// The first offset that this batch covers.
    pub from: i64,
    /// The offset behind the last one that it covers. A heartbeat covers nothing: `from` equals
    /// `to`.
    pub to: i64,
    /// The fingerprint of the record at `to - 1`, where it is known: it tells this log from another
    /// of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Age in milliseconds of a moment: everything that was in the partition then lies below `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_ms: Option<u64>,
    /// The same moment by the proxy's own clock, reckoned from a `clock` in an earlier answer: it
    /// stays right however long the batch was under way, and goes before `clean_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_at: Option<u64>,
    /// The offset behind the newest record when the broker was asked last: tells the proxy how many
    /// wait for it, and nothing else rests on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// The position is set to `to` whatever it was, for this reason; what was stored before is
    /// validated before it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// The process that this batch is meant for, as its [`LogStatus`] named it. Another one in its
    /// place answers 409: where it stands has to be asked first, though its position may be the
    /// same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The name of the purger, for logs.
    pub purger: String,
    /// The purges in the range, by rising offset. Several records may be folded into one, and one
    /// record may be several. A batch that covers nothing may carry purges of any offset from
    /// `from` on.
    pub purges: Vec<LoggedPurge>,
}

/// The reason why a proxy's position is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The proxy has none for this partition.
    Adopt,
    /// Kafka no longer holds the records from its position on.
    Expired,
    /// Its position belongs to another log: the topic or the cluster was replaced.
    Replaced,
    /// The proxy did not catch up before its deadline.
    Deadline,
    /// The proxy refused a purge that its limits or its version do not allow; any response it
    /// stored before may be affected.
    Refused,
}

/// One purge of a batch. Its unknown fields are refused, as a purge request's are; those of the
/// batch are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct LoggedPurge {
    /// The record's offset; of folded ones the highest.
    pub offset: i64,
    /// The selectors and the mode.
    #[serde(flatten)]
    pub request: PurgeRequest,
    /// Responses with these selectors that report a lower revision are served but not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Fetches after the purge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewarm: Option<Rewarm>,
}

/// A logged purge as it is written: flat, so that serde need not keep its fields to see whose they
/// are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    offset: i64,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    urls: Vec<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    pages: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    expressions: Vec<Expression>,
    #[serde(default)]
    deploys: Vec<Deploy>,
    #[serde(default)]
    all: bool,
    mode: Option<PurgeMode>,
    reason: Option<String>,
    id: Option<String>,
    event_time: Option<String>,
    revision: Option<u64>,
    rewarm: Option<Rewarm>,
}

impl From<Written> for LoggedPurge {
    fn from(written: Written) -> Self {
        let Written { offset, revision, rewarm, .. } = written;
        let Written { tags, urls, hosts, prefixes, pages, paths, expressions, .. } = written;
        let Written { deploys, all, mode, reason, id, event_time, .. } = written;
        let request = PurgeRequest {
            tags,
            urls,
            hosts,
            prefixes,
            pages,
            paths,
            expressions,
            deploys,
            all,
            mode,
            reason,
            id,
            event_time,
        };
        Self { offset, request, revision, rewarm }
    }
}

impl LoggedPurge {
    /// Splits a purge of more than `selectors_max` selectors into several of the same offset, mode
    /// and revision. A purge of everything needs no other selector but deploys. Only the last part
    /// asks for fetches.
    ///
    /// `selectors_max` below 1 counts as 1.
    pub fn parts(mut self, selectors_max: usize) -> Vec<Self> {
        let max = selectors_max.max(1);
        if self.request.selector_count() <= max {
            return vec![self];
        }
        let mut selectors = self.request.take_selectors();
        if std::mem::take(&mut self.request.all) {
            selectors.retain(|selector| matches!(selector, Selector::Deploy(_)));
            selectors.push(Selector::All(true));
        }
        let rewarm = self.rewarm.take();
        let mut parts: Vec<Self> = Vec::with_capacity(selectors.len().div_ceil(max));
        for run in selectors.chunks(max) {
            let mut part = self.clone();
            for selector in run {
                part.request.push(selector.clone());
            }
            parts.push(part);
        }
        if let Some(last) = parts.last_mut() {
            last.rewarm = rewarm;
        }
        parts
    }
}

/// Fetches after a purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewarm {
    /// These URLs first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// And the most requested of the purged responses, up to this many fetches in all.
    pub max: u32,
}

/// The answer to a batch that was taken (200).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The proxy's process: another one after each start.
    pub instance: String,
    /// Its position now.
    pub next: i64,
    /// Its clock, in milliseconds of its own, for `clean_at` of later batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<u64>,
    /// Hits by purge, without purges that were applied earlier or hit nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<Hit>,
}

/// The hits of one purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The purge's offset.
    pub offset: i64,
    /// Stored responses that it invalidated.
    pub objects: u64,
}

/// Members of the problem document (RFC 9457) with which a proxy refuses a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The proxy's process, as in its [`LogStatus`].
    pub proxy: String,
    /// The reason and the limit.
    pub detail: String,
    /// The offset of the purge that is at fault, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
}

/// A proxy's state and positions: the answer to `GET /api/v1/log`, and to a batch with a gap before
/// it (409).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The proxy's process: another one after each start.
    pub instance: String,
    /// Its use of stored responses.
    pub state: LogState,
    /// Its clock, in milliseconds of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<u64>,
    /// Its positions.
    pub positions: Vec<Position>,
}

/// A proxy's use of stored responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogState {
    /// No purger has been there, and none is waited for.
    #[default]
    Unattended,
    /// Waits for a purger, or catches up: recovered responses are validated before use, and the
    /// proxy is not ready.
    CatchingUp,
    /// Everything that was in the log a moment ago has been applied.
    Current,
    /// Its lease ran out: it serves as it was configured to.
    Degraded,
}

/// A proxy's position in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The partition.
    #[serde(flatten)]
    pub log: LogId,
    /// Every purge below this offset has been applied.
    pub next: i64,
    /// The fingerprint of the record at `next - 1`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Milliseconds since the moment of which it is known that everything then in the partition has
    /// been applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_flat_and_leaves_out_what_it_does_not_say() {
        let batch = Batch {
            log: LogId { cluster: "c".into(), topic: "t".into(), partition: 2 },
            partitions: 3,
            from: 5,
            to: 7,
            last: None,
            clean_ms: Some(12),
            clean_at: None,
            end: None,
            start: None,
            instance: None,
            purger: "p".into(),
            purges: vec![LoggedPurge {
                offset: 6,
                request: PurgeRequest { tags: vec!["a".into()], ..PurgeRequest::default() },
                revision: None,
                rewarm: None,
            }],
        };
        let text = r#"{"log":{"cluster":"c","topic":"t","partition":2},"partitions":3,"from":5,"to":7,"clean_ms":12,"purger":"p","purges":[{"offset":6,"tags":["a"]}]}"#;
        assert_eq!(serde_json::to_string(&batch).unwrap(), text);
        assert_eq!(serde_json::from_str::<Batch>(text).unwrap(), batch);
    }

    #[test]
    fn every_field_of_a_purge_is_read_back_and_an_unknown_one_is_refused() {
        let some = |text: &str| Some(text.to_owned());
        let list = |text: &str| vec![text.to_owned()];
        let purge = LoggedPurge {
            offset: 3,
            request: PurgeRequest {
                tags: list("a"),
                urls: list("http://h/"),
                hosts: list("h"),
                prefixes: list("/p"),
                pages: list("http://h/p"),
                paths: list("http://h/q"),
                expressions: vec![Expression { any_of: list("tag:a"), ..Expression::default() }],
                deploys: vec![Deploy { id: "b".into(), ..Deploy::default() }],
                all: true,
                mode: Some(PurgeMode::Soft),
                reason: some("r"),
                id: some("i"),
                event_time: some("t"),
            },
            revision: Some(7),
            rewarm: Some(Rewarm { urls: list("http://h/a"), max: 2 }),
        };
        let text = serde_json::to_string(&purge).unwrap();
        assert_eq!(serde_json::from_str::<LoggedPurge>(&text).unwrap(), purge);
        let unknown = r#"{"offset":1,"tags":["a"],"tag":"b"}"#;
        let error = serde_json::from_str::<LoggedPurge>(unknown).unwrap_err().to_string();
        assert!(error.contains("unknown field `tag`"), "{error}");
        let batch = r#"{"log":{"cluster":"c","topic":"t","partition":0},"partitions":1,"from":0,"to":0,"purger":"p","purges":[],"new":1}"#;
        assert!(serde_json::from_str::<Batch>(batch).is_ok());
    }

    #[test]
    fn a_log_status_is_read_back() {
        let text = r#"{"instance":"i","state":"catching-up","positions":[{"cluster":"c","topic":"t","partition":0,"next":9}]}"#;
        let log_status: LogStatus = serde_json::from_str(text).unwrap();
        assert_eq!(log_status.state, LogState::CatchingUp);
        assert_eq!(serde_json::to_string(&log_status).unwrap(), text);
    }

    #[test]
    fn the_parts_of_a_purge_name_all_that_it_names() {
        let texts = |name: &str, count: usize| {
            (0..count).map(|number| format!("{name}{number}")).collect::<Vec<_>>()
        };
        let purge = LoggedPurge {
            offset: 3,
            request: PurgeRequest {
                tags: texts("t", 5),
                urls: texts("u", 4),
                hosts: texts("h", 2),
                pages: texts("p", 1),
                paths: texts("q", 1),
                expressions: vec![Expression {
                    all_of: texts("tag:t", 2),
                    ..Expression::default()
                }],
                mode: Some(PurgeMode::Soft),
                ..PurgeRequest::default()
            },
            revision: Some(7),
            rewarm: Some(Rewarm { urls: Vec::new(), max: 2 }),
        };
        for max in 0..16 {
            let parts = purge.clone().parts(max);
            assert_eq!(parts.len(), 14_usize.div_ceil(max.max(1)));
            let mut joined =
                PurgeRequest { mode: Some(PurgeMode::Soft), ..PurgeRequest::default() };
            for part in &parts {
                assert!(part.request.selector_count() <= max.max(1));
                let (offset, mode) = (part.offset, part.request.mode);
                assert_eq!((offset, mode, part.revision), (3, purge.request.mode, Some(7)));
                let selectors = part.request.clone().take_selectors();
                for selector in selectors {
                    joined.push(selector);
                }
            }
            assert_eq!(joined, purge.request);
            assert_eq!(parts.iter().filter(|part| part.rewarm.is_some()).count(), 1);
        }
        let all = LoggedPurge { request: PurgeRequest { all: true, ..purge.request }, ..purge };
        let parts = all.parts(3);
        assert_eq!((parts.len(), parts[0].request.selector_count()), (1, 1));
    }
}
