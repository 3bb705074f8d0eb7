//! `ServerState`: one word for whether a server gets requests, and why not.

/// The states, the one that prevails over those before it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    Up,
    /// It gets less than its share, a little more each moment.
    SlowStart,
    /// Its circuit was open. A few requests try whether it works again.
    HalfOpen,
    CircuitOpen,
    /// It failed requests one after another, or was much slower than the others.
    Ejected,
    /// Too few of its last probes were good.
    Sick,
    Drain,
    Disabled,
}

impl ServerState {
    pub const ALL: [Self; 8] = [
        Self::Up,
        Self::SlowStart,
        Self::HalfOpen,
        Self::CircuitOpen,
        Self::Ejected,
        Self::Sick,
        Self::Drain,
        Self::Disabled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::SlowStart => "slow_start",
            Self::HalfOpen => "half_open",
            Self::CircuitOpen => "circuit_open",
            Self::Ejected => "ejected",
            Self::Sick => "sick",
            Self::Drain => "drain",
            Self::Disabled => "disabled",
        }
    }

    /// Returns whether a server in this state gets requests while others are up.
    pub const fn is_in_use(self) -> bool {
        matches!(self, Self::Up | Self::SlowStart | Self::HalfOpen)
    }

    /// Returns whether a server in this state may get requests when no server is in use: only
    /// requests have found it unfit.
    pub const fn may_be_tried(self) -> bool {
        matches!(self, Self::HalfOpen | Self::CircuitOpen | Self::Ejected)
    }

    /// Returns the state as the log tells it: a server that is being tried again is not yet up, one
    /// that starts slowly is.
    pub(super) const fn told(self) -> Self {
        match self {
            Self::SlowStart => Self::Up,
            Self::HalfOpen => Self::CircuitOpen,
            other => other,
        }
    }
}
