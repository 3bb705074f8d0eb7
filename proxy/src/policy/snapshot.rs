//! `SettingsSnapshot`: all settings that can change while the proxy runs, as they are at one
//! moment.

use std::sync::atomic::{AtomicU64, Ordering};

use settings::Config;

use super::Policies;
use super::own_fields::OwnFields;
use super::sites::Sites;
use crate::origins::Origins;
use crate::tls::ListenersTls;

/// The settings that can change while the proxy runs. It is immutable, and replaced as a whole.
///
/// Settings that are fixed at the start are read from the [`Config`] of the start instead:
/// [`is_fixed_at_start`] names them.
#[derive(Clone, Debug)]
pub struct SettingsSnapshot {
    /// Unique in this process, but for copies of one snapshot.
    number: u64,
    pub policies: Policies,
    pub origins: Origins,
    pub limits: settings::LimitSettings,
    /// By their ids; also those that are closed and still have connections.
    pub listen: Vec<settings::ListenSettings>,
    pub tls: ListenersTls,
    pub purge: settings::PurgeSettings,
    pub admin: settings::AdminSettings,
    pub pinned_bytes_max: u64,
    pub own_fields: OwnFields,
    pub sites: Sites,
}

impl SettingsSnapshot {
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Reads certificates again whose files have changed. Blocks on files.
    pub fn refresh_certificates(&self) {
        self.tls.refresh();
        self.origins.tls().iter().for_each(|tls| tls.refresh());
    }

    pub(super) fn new(
        config: &Config,
        origins: Origins,
        (listen, tls): (Vec<settings::ListenSettings>, ListenersTls),
        before: Option<&Self>,
    ) -> Self {
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            policies: Policies::new(config, before.map(|before| &before.policies)),
            origins,
            limits: config.limits.clone(),
            listen,
            tls,
            purge: config.purge.clone(),
            admin: config.admin.clone(),
            pinned_bytes_max: config.cache.max_pinned_bytes,
            own_fields: OwnFields::new(&config.response),
            sites: Sites::new(&config.metrics.sites, before.map(|before| &before.sites)),
        }
    }
}

/// Returns whether a setting, such as `storage.file.path`, holds from the next start on when it is
/// changed.
pub fn is_fixed_at_start(setting: &str) -> bool {
    let is_in = |fixed: &str| {
        let rest = setting.strip_prefix(fixed);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    FIXED.into_iter().any(is_in)
}

/// Settings, and tables of settings, that are fixed at the start: they say how many threads, how
/// much room and which files there are.
const FIXED: [&str; 6] = [
    "workers",
    "storage",
    "cache.vary_max_variants",
    "purge.log.rewarm_concurrency",
    "purge.log.rewarm_queue",
    "purge.log.rewarm_jitter",
];

/// The number of the next snapshot, at least 1.
static NEXT: AtomicU64 = AtomicU64::new(1);

#[cfg(test)]
mod tests {
    use super::is_fixed_at_start;

    #[test]
    fn storage_and_threads_are_fixed_and_limits_are_not() {
        for fixed in ["workers", "storage.kind", "storage.file.path", "purge.log.rewarm_queue"] {
            assert!(is_fixed_at_start(fixed), "{fixed}");
        }
        for live in ["limits.max_connections", "listen[0].address", "storages", "log.level"] {
            assert!(!is_fixed_at_start(live), "{live}");
        }
    }
}
