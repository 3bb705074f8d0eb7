//! Events: from the bytes of a record to a checked purge, as a pure function.
//!
//! [`EventReader::read`] is told the record, the rules and the time, and returns one of three
//! values. A [`PurgeEvent`] is delivered. An [`Ignored`] record asks for nothing here, and its
//! offset may be stored. An [`Unreadable`] record belongs to the dead letters; if its key names a
//! site, a soft purge of the site comes along as the safe guess.
//!
//! No event is half read: one bad tag among many makes the whole event unreadable, as its producer
//! must learn of it. No text of a stranger reaches a log line, a field or a proxy unchecked.

mod body;
mod draft;
mod fields;
mod json;

pub mod cloud_event;
pub mod debezium;
pub mod limits;
pub mod pattern;
pub mod plain;
pub mod reader;
pub mod record;
pub mod resource_change;
pub mod rules;
pub mod site;
pub mod template;
pub mod time;
pub mod unreadable;

use std::fmt;
use std::time::{Duration, SystemTime};

use purge_protocol::log::Rewarm;
use purge_protocol::{PurgeMode, PurgeRequest};

use self::limits::NAME_MAX;

pub use cloud_event::{cloud_event, repetition};
pub use limits::EventLimits;
pub use pattern::{Filter, Pattern};
pub use reader::EventReader;
pub use record::Record;
pub use rules::{Format, FormatError, Rules, SiteRule, SiteRuleError, TableRule, Tombstone};
pub use template::{Template, TemplateError};
pub use unreadable::{Code, Unreadable};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    Purge(Box<PurgeEvent>),
    Ignored(Ignored),
    Unreadable(Unreadable),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeEvent {
    pub id: String,
    pub source: Option<String>,
    /// Time of the change: the root event's, else the event's, else the record's.
    pub time: Option<SystemTime>,
    /// Valid selectors, each once. Mode and id are set, and the event's time if it is known.
    pub request: PurgeRequest,
    pub priority: Priority,
    /// Delays after which the purge is repeated; rising, none of them zero.
    pub settle: Vec<Duration>,
    /// Responses that report a lower revision are served, and not stored.
    pub revision: Option<u64>,
    pub site: Option<String>,
    pub rewarm: Option<Rewarm>,
}

impl PurgeEvent {
    /// Returns the event that repeats the purge after a delay, softly.
    #[must_use]
    pub fn repetition(&self, delay: Duration) -> Self {
        let suffix = format!("+{}", humantime::format_duration(delay));
        let kept = self.id.floor_char_boundary(NAME_MAX.saturating_sub(suffix.len()));
        let id = self.id.get(..kept).unwrap_or_default().to_owned() + &suffix;
        let mode = Some(PurgeMode::Soft);
        let request = PurgeRequest { mode, id: Some(id.clone()), ..self.request.clone() };
        Self { id, settle: Vec::new(), rewarm: None, request, ..self.clone() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// It may wait for others to be sent with.
    #[default]
    Normal,
    Urgent,
}

impl Priority {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Urgent => "urgent",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// Its site, or all its hosts, are of other proxies.
    Filtered,
    /// The change is too long ago, or the event says so itself; soft purges only.
    Expired,
    /// A row was read for a snapshot: nothing has changed.
    Snapshot,
    /// The record has no value.
    Tombstone,
    OtherType,
    /// The row's table has no rule.
    OtherTable,
}

impl Ignored {
    pub const ALL: [Self; 6] = [
        Self::Filtered,
        Self::Expired,
        Self::Snapshot,
        Self::Tombstone,
        Self::OtherType,
        Self::OtherTable,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Expired => "expired",
            Self::Snapshot => "snapshot",
            Self::Tombstone => "tombstone",
            Self::OtherType => "other_type",
            Self::OtherTable => "other_table",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
