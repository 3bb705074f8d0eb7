//! `SettingsSnapshot`: all settings that can change while the proxy runs, as they are at one
//! moment.

use std::sync::atomic::{AtomicU64, Ordering};

use settings::Config;

use super::Policies;
use super::own_fields::OwnFields;
use crate::origins::Origins;
use crate::tls::ListenersTls;

/// The settings that can change while the proxy runs. It is immutable, and replaced as a whole.
///
/// Settings that are fixed at the start are read from the [`Config`] of the start instead:
/// `workers`, `log`, the addresses of `listen` and `admin`, `storage`, `cache.vary_max_variants`,
/// the rewarming queue, and the totals of semaphores and budgets: `limits.max_connections`,
/// `limits.max_inflight_misses`, `cache.max_inflight_bytes`.
#[derive(Clone, Debug)]
pub struct SettingsSnapshot {
    /// Unique in this process, but for copies of one snapshot.
    number: u64,
    pub policies: Policies,
    pub origins: Origins,
    pub limits: settings::LimitSettings,
    pub listen: Vec<settings::ListenSettings>,
    pub tls: ListenersTls,
    pub purge: settings::PurgeSettings,
    pub admin: settings::AdminSettings,
    pub pinned_bytes_max: u64,
    pub own_fields: OwnFields,
}

impl SettingsSnapshot {
    pub const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn new(
        config: &Config,
        origins: Origins,
        (listen, tls): (Vec<settings::ListenSettings>, ListenersTls),
    ) -> Self {
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            policies: Policies::new(config),
            origins,
            limits: config.limits.clone(),
            listen,
            tls,
            purge: config.purge.clone(),
            admin: config.admin.clone(),
            pinned_bytes_max: config.cache.max_pinned_bytes,
            own_fields: OwnFields::new(&config.response),
        }
    }
}

/// The number of the next snapshot, at least 1.
static NEXT: AtomicU64 = AtomicU64::new(1);
