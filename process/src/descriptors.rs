//! The limit on open file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns how many of this many client connections the system's limit on descriptors allows: a
/// quarter is kept for origins, the admin listener and files.
pub fn affordable_connections(connections_max: usize) -> usize {
    affordable(connections_max, getrlimit(Resource::Nofile).maximum)
}

fn affordable(connections_max: usize, limit: Option<u64>) -> usize {
    let allowed = limit.map(|limit| usize::try_from(limit - limit / KEPT).unwrap_or(usize::MAX));
    allowed.map_or(connections_max, |allowed| connections_max.min(allowed))
}

/// Raises the limit on file descriptors for this many connections, as far as the system allows.
pub fn raise_descriptor_limit(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (connections_max as u64).saturating_mul(2) + 1024;
    let target = limit.maximum.map_or(wanted, |hard| wanted.min(hard));
    if limit.current.is_some_and(|soft| soft < target)
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum: limit.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
    if target < wanted {
        tracing::warn!(
            limit = target,
            wanted,
            connections = affordable(connections_max, Some(target)),
            "few file descriptors: raise the hard limit, or lower limits.max_connections"
        );
    }
}

/// The share of all descriptors that clients do not get.
const KEPT: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_a_quarter_of_the_descriptors() {
        assert_eq!(affordable(20_000, Some(256)), 192);
        assert_eq!(affordable(20_000, Some(1 << 20)), 20_000);
        assert_eq!(affordable(20_000, None), 20_000);
        assert_eq!(affordable(20_000, Some(0)), 0);
    }
}
