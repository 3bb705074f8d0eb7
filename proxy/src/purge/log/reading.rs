//! From the bytes of a batch to purges that can be applied: everything is checked before anything
//! is.

use purge_protocol::log::{Batch, LogId, LoggedPurge};
use purge_protocol::request::Target;
use purge_protocol::{PurgeMode, RequestError, Selector};
use serde::Deserialize as _;

/// The reason why a batch is refused. None of it was applied; the purger sends it in another form.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The text is not a batch; the message has the place.
    #[error("This is no batch of a purge log: {0}.")]
    Syntax(#[from] serde_json::Error),
    #[error("`{member}` {rule}.")]
    Member { member: &'static str, rule: String },
    /// The batch is larger than may be applied at once.
    #[error("A batch may have {max} {what}, this one has {count}: send several.")]
    TooMany { what: &'static str, count: usize, max: usize },
    /// One of its purges is none.
    #[error("The purge at offset {offset} is none: {source}.")]
    NoPurge { offset: i64, source: serde_json::Error },
    #[error("The purge at offset {offset} cannot be carried out: {source}.")]
    Purge { offset: i64, source: RequestError },
    /// One of its purges is not where it belongs.
    #[error("The purge at offset {offset} {rule}.")]
    Order { offset: i64, rule: &'static str },
}

impl BatchError {
    /// The offset of the purge that is to blame, where one is.
    pub const fn offset(&self) -> Option<i64> {
        match self {
            Self::NoPurge { offset, .. }
            | Self::Purge { offset, .. }
            | Self::Order { offset, .. } => Some(*offset),
            Self::Syntax(_) | Self::Member { .. } | Self::TooMany { .. } => None,
        }
    }

    pub const fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::TooMany { .. } | Self::Purge { source: RequestError::TooMany { .. }, .. }
        )
    }
}

#[derive(Debug)]
pub struct CheckedBatch {
    /// As it was sent, without its purges.
    pub batch: Batch,
    pub purges: Vec<CheckedPurge>,
}

#[derive(Debug)]
pub struct CheckedPurge {
    pub offset: i64,
    pub mode: PurgeMode,
    pub selectors: Vec<(Selector, Target)>,
    pub logged: LoggedPurge,
}

pub fn read(text: &[u8], rules: &settings::PurgeSettings) -> Result<CheckedBatch, BatchError> {
    let mut batch: Batch = serde_json::from_slice(text).map_err(|error| blame(text, error))?;
    check_members(&batch)?;
    let limits = &rules.log;
    let logged = std::mem::take(&mut batch.purges);
    at_most("purges", logged.len(), limits.max_purges)?;
    let (mut purges, mut selectors, mut previous) =
        (Vec::with_capacity(logged.len()), 0, batch.from);
    for logged in logged {
        let offset = logged.offset;
        let is_part = batch.from == batch.to;
        if offset < batch.from || offset >= batch.to && !is_part {
            return Err(BatchError::Order { offset, rule: "lies outside of `from` and `to`" });
        }
        if offset < previous {
            return Err(BatchError::Order { offset, rule: "comes after one with a higher offset" });
        }
        previous = offset;
        let purge = sound(logged, rules)?;
        selectors += purge.selectors.len();
        purges.push(purge);
    }
    at_most("selectors", selectors, limits.max_selectors)?;
    Ok(CheckedBatch { batch, purges })
}

/// Finds the purge that is to blame, so that the purger can set it aside and send the others.
fn blame(text: &[u8], error: serde_json::Error) -> BatchError {
    let document: Option<serde_json::Value> = serde_json::from_slice(text).ok();
    let purges = document.as_ref().and_then(|document| document.get("purges")?.as_array());
    let to_blame = purges.into_iter().flatten().find_map(|purge| {
        let source = LoggedPurge::deserialize(purge).err()?;
        Some(BatchError::NoPurge { offset: purge.get("offset")?.as_i64()?, source })
    });
    to_blame.unwrap_or(BatchError::Syntax(error))
}

fn sound(logged: LoggedPurge, rules: &settings::PurgeSettings) -> Result<CheckedPurge, BatchError> {
    let offset = logged.offset;
    let refuse = |source| BatchError::Purge { offset, source };
    let selectors = logged.request.selectors(rules.max_selectors).map_err(refuse)?;
    let mode = logged.request.mode.unwrap_or(rules.default_mode);
    Ok(CheckedPurge { offset, mode, selectors, logged })
}

fn check_members(batch: &Batch) -> Result<(), BatchError> {
    let LogId { cluster, topic, partition } = &batch.log;
    let names = [("log.cluster", cluster), ("log.topic", topic), ("purger", &batch.purger)];
    for (member, name) in names {
        ensure(!name.is_empty() && name.len() <= NAME_MAX, member, || {
            format!("has to be 1 to {NAME_MAX} bytes of text")
        })?;
        ensure(!name.chars().any(char::is_control), member, || {
            "may not hold control characters".to_owned()
        })?;
    }
    ensure((1..=PARTITIONS_MAX).contains(&batch.partitions), "partitions", || {
        format!("has to be from 1 to {PARTITIONS_MAX}")
    })?;
    ensure((0..batch.partitions).contains(partition), "log.partition", || {
        format!("has to be from 0 to {}, as there are so many", batch.partitions - 1)
    })?;
    ensure(batch.from >= 0, "from", || "has to be an offset, 0 or more".to_owned())?;
    ensure(batch.to >= batch.from, "to", || "has to be `from` or more".to_owned())
}

fn ensure(
    is_so: bool,
    member: &'static str,
    rule: impl FnOnce() -> String,
) -> Result<(), BatchError> {
    if is_so { Ok(()) } else { Err(BatchError::Member { member, rule: rule() }) }
}

const fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), BatchError> {
    if count > max { Err(BatchError::TooMany { what, count, max }) } else { Ok(()) }
}

/// Bytes of a name; Kafka's topics have 249 at most.
const NAME_MAX: usize = 255;
const PARTITIONS_MAX: i32 = 4096;
