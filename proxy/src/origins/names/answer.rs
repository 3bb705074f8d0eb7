//! Questions about a name, and the answers to them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::origins) enum Question {
    /// The addresses of a host.
    Addresses(String),
    /// The SRV records of a service.
    Services(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::origins) enum Records {
    Addresses(Vec<IpAddr>),
    Services(Vec<ServiceRecord>),
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::origins) struct ServiceRecord {
    pub(in crate::origins) priority: u16,
    pub(in crate::origins) weight: u16,
    /// The host. It ends with a dot, so no search list applies.
    pub(in crate::origins) target: String,
    pub(in crate::origins) port: u16,
}

/// A look-up that brought records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundRecords {
    pub(super) records: Records,
    pub(super) ttl: Duration,
    /// Which addresses could not be looked up. There may be some.
    pub(super) missing: Option<Missing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Ipv4,
    Ipv6,
}

/// A look-up that brought no record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NoAnswer {
    /// The name servers say that there are none.
    #[error("the name has no such records")]
    NoRecords,
    #[error("the name does not exist")]
    NoName,
    #[error("no name server answered in time")]
    TimedOut,
    #[error("{0}")]
    Failed(String),
}

impl Question {
    pub(in crate::origins) fn name(&self) -> &str {
        match self {
            Self::Addresses(name) | Self::Services(name) => name,
        }
    }
}

impl Records {
    /// Returns whether both hold the same records, in any order.
    pub(in crate::origins) fn is_same_set(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
            one.len() == other.len() && one.iter().all(|record| other.contains(record))
        }
        match (self, other) {
            (Self::Addresses(one), Self::Addresses(other)) => same(one, other),
            (Self::Services(one), Self::Services(other)) => same(one, other),
            _ => false,
        }
    }
}

impl Records {
    /// Returns whether an address is not in the records that replace these.
    pub(super) fn has_lost(&self, now: &Self) -> bool {
        match (self, now) {
            (Self::Addresses(before), Self::Addresses(now)) => {
                before.iter().any(|address| !now.contains(address))
            }
            _ => false,
        }
    }
}

impl Missing {
    pub(super) const fn is_of(self, address: IpAddr) -> bool {
        matches!((self, address), (Self::Ipv4, IpAddr::V4(_)) | (Self::Ipv6, IpAddr::V6(_)))
    }
}

impl NoAnswer {
    /// Returns whether the name servers answered that there are no records.
    pub(super) const fn is_negative(&self) -> bool {
        matches!(self, Self::NoRecords | Self::NoName)
    }

    /// Returns whether the other one says the same, in whatever words.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = match self {
            Self::Addresses(all) => all.iter().take(SHOWN_MAX).map(ToString::to_string).collect(),
            Self::Services(all) => {
                let shown = all.iter().take(SHOWN_MAX);
                shown.map(|record| format!("{}:{}", record.target, record.port)).collect()
            }
        };
        let (Self::Addresses(_) | Self::Services(_)) = self;
        let more = self.len() - shown.len();
        f.write_str(&shown.join(" "))?;
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

impl Records {
    pub(in crate::origins) fn len(&self) -> usize {
        match self {
            Self::Addresses(all) => all.len(),
            Self::Services(all) => all.len(),
        }
    }
}

/// Records that a log line names.
const SHOWN_MAX: usize = 8;
