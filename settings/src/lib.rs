//! The configuration: file, environment and flags in; a checked [`Config`], or everything that is
//! wrong, out.
//!
//! ```text
//! Sources ─► tree (layers, references) ─► table by table, value by value ─► conflicts ─► Config
//!              └──────────────┴─────────────────────┴────────────────────────┴──► report ─► ConfigErrors
//! ```
//!
//! It binds no port and reads no clock, and no environment but the list it is given; from the
//! machine it learns the number of cores, how much memory it may use, and the files that
//! `${file:PATH}` names.

#![warn(missing_docs)]

mod sources;
mod tree;
mod value;
mod pattern;
mod record_filter;
mod table;
mod tables;
mod conflicts;
mod finding;
mod memory_limit;
mod report;
mod rule_test;
mod key_warnings;
mod rule_warnings;
mod summary;
mod written;
mod secrets;
#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::thread;

pub use self::finding::Finding;
pub use self::pattern::{Captures, HostPattern, PathPattern, PathRegex};
pub use self::record_filter::{Comparison, FilterField, FilterTerm, FilterTest, RecordFilter};
use self::report::Report;
pub use self::report::{ConfigErrors, Problem};
pub use self::rule_test::{ExpectedOutcome, RuleTest};
pub use self::sources::{Flags, Sources, find_file};
use self::table::Table;
pub use self::tables::{
    AccessFormat, AccessLogSettings, AccessLogTarget, ExtraPiece, FormatPiece, TimeFormat, share_of,
};
pub use self::tables::{
    AddressFamily, AdminSettings, Balance, CacheSettings, CircuitSettings, ClientFields,
    CookieSettings, DnsSettings, EventFormat, FileStorage, HashBy, HealthSettings, HedgeAfter,
    HeuristicSettings, HostHeader, Http2, KafkaSettings, KeySettings, LimitSettings, ListenAddress,
    ListenSettings, LogFormat, LogLevel, LogSettings, MemoryStorage, MetricsSettings, NamePattern,
    OnExpiry, OriginHttp2, OriginSettings, OtherCookies, OutlierSettings, PeerNetwork, ProbeMethod,
    ProxyProtocol, PurgeLogSettings, PurgeSettings, PurgerSettings, QueryParameters, QuerySettings,
    ResponseSettings, RetryOn, SaslMechanism, Secret, Security, ServerAddress, ServerSettings,
    StartAt, StorageKind, StorageSettings, TagSettings, TargetHttp, TargetSettings,
    TracingSettings, VaryCookie,
};
pub use self::tables::{
    CertificateFiles, ClientCertificate, ListenTlsSettings, OriginTlsSettings, TlsVersion,
};
pub use self::tables::{
    Coding, CompressionLevels, CompressionMode, CompressionSettings, DashboardMode, DeviceClass,
    EffectiveSettings, Expected, FieldEdits, PRESETS, Redirect, RequestActions, Respond,
    RespondContent, ResponseActions, ResponseMatch, RuleActions, RuleMatch, RuleOrigin,
    RuleOverlay, RuleSettings, RuleTemplate, SetCookie, TemplatePiece, TypePattern, preset,
};
pub use self::tables::{DeviceVariants, ImageRequests, KeyField, NoVarySearch, VaryMode};
use self::tree::{layers, references};
pub use self::value::StatusRange;
pub use self::written::{EffectiveSetting, SettingChange, WrittenSettings};

/// Everything an operator can set, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads that serve requests, 1 to 1024; 0 was resolved to the number of available cores.
    /// Each has its own event loop, listening sockets and origin connections.
    pub workers: usize,
    /// `[[listen]]`, never empty.
    pub listen: Vec<ListenSettings>,
    /// `[admin]`.
    pub admin: AdminSettings,
    /// Each `[origin.NAME]`, in the file's order, never empty.
    pub origins: Vec<OriginSettings>,
    /// `[dns]`.
    pub dns: DnsSettings,
    /// `[storage]`.
    pub storage: StorageSettings,
    /// `[cache]`.
    pub cache: CacheSettings,
    /// `[key]`.
    pub key: KeySettings,
    /// `[cookies]`.
    pub cookies: CookieSettings,
    /// `[compression]`.
    pub compression: CompressionSettings,
    /// Each `[[rule]]`, in the file's order, each preset's rules after the rule that names it.
    pub rules: Vec<RuleSettings>,
    /// `[tags]`.
    pub tags: TagSettings,
    /// `[purge]`.
    pub purge: PurgeSettings,
    /// `[limits]`.
    pub limits: LimitSettings,
    /// `[response]`.
    pub response: ResponseSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[tracing]`.
    pub tracing: TracingSettings,
    /// `[metrics]`.
    pub metrics: MetricsSettings,
    /// `[kafka]`, for the purger.
    pub kafka: KafkaSettings,
    /// `[purger]`, for the purger.
    pub purger: PurgerSettings,
    /// Warnings about settings that work but are dangerous. The caller shows them and goes on.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads and checks a configuration.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        Self::load_inspected(sources, |_| Vec::new())
    }

    /// Reads and checks a configuration. Once the settings are right by themselves, `inspect` looks
    /// at what they name, such as files.
    pub fn load_inspected(
        sources: &Sources,
        inspect: impl FnOnce(&Self) -> Vec<Finding>,
    ) -> Result<Self, ConfigErrors> {
        Self::load_written(sources, inspect).map(|(config, _written)| config)
    }

    /// The same; returns what was written as well.
    pub fn load_written(
        sources: &Sources,
        inspect: impl FnOnce(&Self) -> Vec<Finding>,
    ) -> Result<(Self, WrittenSettings), ConfigErrors> {
        let mut report = Report::default();
        let mut root = layers::merge(sources, &mut report);
        references::resolve(&mut root, &sources.environment, &mut report);
        let config = table::read_root(&root, &mut report, Self::read);
        conflicts::check(&config, &root, &mut report);
        if !report.has_errors() {
            report.extend(inspect(&config).into_iter().map(|found| found.draft(&root)).collect());
        }
        let places = written::places(&root, &report);
        let (errors, warnings) = report.finish();
        if errors.is_empty() {
            Ok((Self { warnings, ..config }, WrittenSettings::of(&root).with_places(places)))
        } else {
            Err(ConfigErrors::new(errors))
        }
    }

    /// Reads `[admin]` alone, whatever is wrong elsewhere: a command that asks a running proxy has
    /// to find it, and the file may be bad by now. Returns `None` if `[admin]` is wrong itself.
    pub fn load_admin(sources: &Sources) -> Option<AdminSettings> {
        let mut report = Report::default();
        let mut root = layers::merge(sources, &mut report);
        references::resolve(&mut root, &sources.environment, &mut report);
        let config = table::read_root(&root, &mut report, Self::read);
        (!report.has_fault_in("admin")).then_some(config.admin)
    }

    /// Reads `[log]` alone, whatever is wrong elsewhere: problems are told in the form that it asks
    /// for. What is wrong there is at its default.
    pub fn load_log(sources: &Sources) -> LogSettings {
        let mut report = Report::default();
        let mut root = layers::merge(sources, &mut report);
        references::resolve(&mut root, &sources.environment, &mut report);
        table::read_root(&root, &mut report, Self::read).log
    }

    /// Returns one line for people: listeners, origin and storage.
    pub fn check_summary(&self) -> String {
        summary::summary(self)
    }

    /// Returns the kind and size of the store, for people.
    pub fn storage_summary(&self) -> String {
        summary::storage(self)
    }

    /// Reads table by table. Wrong values are in the report, and at their defaults here.
    fn read(root: &mut Table<'_>) -> Self {
        Self {
            workers: read_workers(root),
            listen: ListenSettings::read_all(root),
            admin: section(root, "admin", AdminSettings::read),
            origins: OriginSettings::read_all(root),
            dns: section(root, "dns", DnsSettings::read),
            storage: StorageSettings::read(root),
            cache: section(root, "cache", CacheSettings::read),
            key: section(root, "key", KeySettings::read),
            cookies: section(root, "cookies", CookieSettings::read),
            compression: section(root, "compression", CompressionSettings::read),
            rules: RuleSettings::read_all(root),
            tags: section(root, "tags", TagSettings::read),
            purge: section(root, "purge", PurgeSettings::read),
            limits: section(root, "limits", LimitSettings::read),
            response: section(root, "response", ResponseSettings::read),
            log: section(root, "log", LogSettings::read),
            tracing: section(root, "tracing", TracingSettings::read),
            metrics: section(root, "metrics", MetricsSettings::read),
            kafka: section(root, "kafka", KafkaSettings::read),
            purger: section(root, "purger", PurgerSettings::read),
            warnings: Vec::new(),
        }
    }
}

/// Reads one table over its defaults.
fn section<T: Default>(
    root: &mut Table<'_>,
    key: &'static str,
    read: impl FnOnce(&mut T, &mut Table<'_>),
) -> T {
    let mut settings = T::default();
    root.table(key, |table| read(&mut settings, table));
    settings
}

fn read_workers(root: &mut Table<'_>) -> usize {
    let mut workers = 0;
    root.read("workers", value::whole(0..=1024), &mut workers);
    match workers {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        workers => workers,
    }
}
