//! The limit on open file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
            "few file descriptors: raise the hard limit, or lower limits.max_connections"
        );
    }
}
