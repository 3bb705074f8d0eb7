//! `AdminState`: what an operator has told a server to do at run time.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminState {
    #[default]
    Enabled,
    /// It gets no new requests. Those in flight end, and probes go on.
    Drain,
    /// It gets neither requests nor probes.
    Disabled,
}

impl AdminState {
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Drain, Self::Disabled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Drain => "drain",
            Self::Disabled => "disabled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assigned| assigned.as_str() == text)
    }
}
