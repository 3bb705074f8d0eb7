//! `ClientCut`: why a client connection was cut before its end, and by which limit.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCut {
    TakesNothing,
    HeadIncomplete,
    FrameIncomplete,
    DoesNotEnd,
    /// Too much is held for clients that take little, and this is one of the slowest.
    HoldsTooMuch,
}

impl ClientCut {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TakesNothing => "the client takes no bytes",
            Self::HeadIncomplete => "the request head is incomplete",
            Self::FrameIncomplete => "the client stops in the middle of a frame",
            Self::DoesNotEnd => "the client does not let the connection end",
            Self::HoldsTooMuch => "too much is held for clients that take little",
        }
    }

    /// The setting that was reached, in the order of [`LIMITS`].
    pub const fn limit(self) -> &'static str {
        match self {
            Self::TakesNothing | Self::DoesNotEnd => "limits.send_timeout",
            Self::HeadIncomplete | Self::FrameIncomplete => "limits.header_timeout",
            Self::HoldsTooMuch => "cache.max_pinned_bytes",
        }
    }
}

pub(super) const LIMITS: [&str; 3] =
    ["limits.send_timeout", "limits.header_timeout", "cache.max_pinned_bytes"];
