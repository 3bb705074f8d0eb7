//! Reasons for not storing a response: those of RFC 9111 §3 and those of this proxy, in one list.

use crate::reason::Reason;

/// The reason for not storing a response: `detail` of `Cache-Status`, and a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uncacheable {
    /// The request is no GET.
    Method,
    RuleBypass,
    /// The request has `Authorization`, and nothing in the response makes it shareable (RFC 9111
    /// §3.5).
    Authorization,
    /// The request has a cookie that is neither ignored nor part of the key.
    Cookie,
    /// The request says `no-store`.
    RequestNoStore,
    /// The status code is not final, not understood, never stored, or needs an explicit lifetime
    /// that is missing.
    Status,
    /// The response says `no-store`.
    NoStore,
    Private,
    /// The response says `no-cache` and has no validator to validate it with.
    NoCache,
    /// No lifetime that outlasts the way here, and no validator.
    NoFreshness,
    SetCookie,
    /// `Vary: *` never matches a request (RFC 9111 §4.1).
    VaryStar,
    VaryLimit,
    TooLarge,
    /// The response is a part (206): parts are not combined (RFC 9111 §3.4).
    Range,
    /// The origin server failed, or the body did not arrive whole.
    OriginError,
    /// The store has no room.
    StorageFull,
    PurgedInFlight,
    Limit,
    /// A page or JSON under the name of a static file: perhaps one user's, by cache deception.
    ContentType,
    /// The purger's lease has run out, and `purge.log.on_expiry` is `bypass`.
    Degraded,
    /// A lower revision than a purge has announced: the origin has not caught up.
    OriginLagging,
    Upgrade,
    /// It varies on a field whose mode in `key.vary` is `bypass`.
    VaryBypass,
}

impl Uncacheable {
    /// Every reason, in the order of [`Uncacheable::index`].
    pub const ALL: [Self; 24] = [
        Self::Method,
        Self::RuleBypass,
        Self::Authorization,
        Self::Cookie,
        Self::RequestNoStore,
        Self::Status,
        Self::NoStore,
        Self::Private,
        Self::NoCache,
        Self::NoFreshness,
        Self::SetCookie,
        Self::VaryStar,
        Self::VaryLimit,
        Self::TooLarge,
        Self::Range,
        Self::OriginError,
        Self::StorageFull,
        Self::PurgedInFlight,
        Self::Limit,
        Self::ContentType,
        Self::Degraded,
        Self::OriginLagging,
        Self::Upgrade,
        Self::VaryBypass,
    ];

    pub const fn reason(self) -> Reason {
        match self {
            Self::Method => Reason::Method,
            Self::RuleBypass => Reason::RuleBypass,
            Self::Authorization => Reason::Authorization,
            Self::Cookie => Reason::Cookie,
            Self::RequestNoStore => Reason::RequestNoStore,
            Self::Status => Reason::Status,
            Self::NoStore => Reason::NoStore,
            Self::Private => Reason::Private,
            Self::NoCache => Reason::NoCache,
            Self::NoFreshness => Reason::NoFreshness,
            Self::SetCookie => Reason::SetCookie,
            Self::VaryStar => Reason::VaryStar,
            Self::VaryLimit => Reason::VaryLimit,
            Self::TooLarge => Reason::TooLarge,
            Self::Range => Reason::Range,
            Self::OriginError => Reason::OriginError,
            Self::StorageFull => Reason::StorageFull,
            Self::PurgedInFlight => Reason::PurgedInFlight,
            Self::Limit => Reason::Limit,
            Self::ContentType => Reason::ContentType,
            Self::Degraded => Reason::Degraded,
            Self::OriginLagging => Reason::OriginLagging,
            Self::Upgrade => Reason::Upgrade,
            Self::VaryBypass => Reason::VaryBypass,
        }
    }

    pub const fn code(self) -> &'static str {
        self.reason().as_str()
    }

    /// Returns the position in [`Uncacheable::ALL`], for a table of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Uncacheable;

    #[test]
    fn all_reasons_are_listed_in_the_order_of_their_index() {
        for (position, reason) in Uncacheable::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), position, "{}", reason.code());
        }
    }
}
