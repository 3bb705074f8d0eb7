//! `EffectiveSettings`: the settings of one kind of request, after the rules that match it.

use super::{CacheSettings, CompressionSettings, CookieSettings, KeySettings, TagSettings};
use crate::Config;
use crate::table::Table;

/// The tables that rules can change: those of the file, and over them what matching rules set.
///
/// A table that rules may change is named here, read by `read_overlay`, and nothing else:
/// its own `read` serves the file and the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSettings {
    /// `[cache]`.
    pub cache: CacheSettings,
    /// `[key]`.
    pub key: KeySettings,
    /// `[cookies]`.
    pub cookies: CookieSettings,
    /// `[tags]`.
    pub tags: TagSettings,
    /// `[compression]`.
    pub compression: CompressionSettings,
}

impl EffectiveSettings {
    /// Returns the tables of the file.
    pub fn of(config: &Config) -> Self {
        Self {
            cache: config.cache.clone(),
            key: config.key.clone(),
            cookies: config.cookies.clone(),
            tags: config.tags.clone(),
            compression: config.compression.clone(),
        }
    }

    /// Reads the settings of a `[[rule]]` that stand for those of a table, over what is here.
    pub(super) fn read_overlay(&mut self, table: &mut Table<'_>) {
        table.table("key", |table| self.key.read(table));
        table.table("cookies", |table| self.cookies.read(table));
        table.table("compression", |table| self.compression.read(table));
        self.cache.read_overlay(table);
    }

    /// Returns the tables' defaults.
    pub(super) fn defaults() -> Self {
        Self {
            cache: CacheSettings::default(),
            key: KeySettings::default(),
            cookies: CookieSettings::default(),
            tags: TagSettings::default(),
            compression: CompressionSettings::default(),
        }
    }
}
