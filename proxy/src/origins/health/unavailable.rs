//! `Unavailable`: no server of an origin may get a request, and why.

use std::fmt;
use std::time::Duration;

use super::server_state::ServerState;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    cause: UnavailableCause,
    /// The time after which a request may succeed.
    pub retry_after: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum UnavailableCause {
    Circuit,
    /// The number of servers in each state, in the order of [`ServerState::ALL`].
    Servers([usize; ServerState::ALL.len()]),
}

impl Unavailable {
    pub(in crate::origins) const fn circuit(retry_after: Duration) -> Self {
        Self { cause: UnavailableCause::Circuit, retry_after }
    }

    pub(in crate::origins) fn servers(
        states: impl Iterator<Item = ServerState>,
        retry_after: Duration,
    ) -> Self {
        let mut counts = [0; ServerState::ALL.len()];
        for state in states {
            let place = ServerState::ALL.iter().position(|other| *other == state);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        Self { cause: UnavailableCause::Servers(counts), retry_after }
    }
}

/// The form has neither quotes nor characters that `Proxy-Status` could not carry.
impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = match &self.cause {
            UnavailableCause::Circuit => {
                return f.write_str("its circuit is open, as most requests failed");
            }
            UnavailableCause::Servers(counts) => counts,
        };
        let mut all = ServerState::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
        let Some((state, count)) = all.next() else { return f.write_str("it has no servers") };
        write!(f, "no server is usable: {count} {}", state.as_str())?;
        all.try_for_each(|(state, count)| write!(f, ", {count} {}", state.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_counts_the_servers_by_their_state() {
        let second = Duration::from_secs(1);
        let of = |states: &[ServerState]| {
            Unavailable::servers(states.iter().copied(), second).to_string()
        };
        assert_eq!(of(&[]), "it has no servers");
        assert_eq!(of(&[ServerState::Sick]), "no server is usable: 1 sick");
        assert_eq!(
            of(&[ServerState::Disabled, ServerState::Sick, ServerState::Sick]),
            "no server is usable: 2 sick, 1 disabled"
        );
        assert!(Unavailable::circuit(second).to_string().contains("circuit"));
    }
}
