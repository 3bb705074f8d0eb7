//! The settings, one file per table of `config.toml`: what each one means and costs, its default,
//! its range.
//!
//! A field has the name of its key. `Default` holds the defaults, `read` says what may be written
//! instead; nothing else in the proxy knows either. Values that were read cannot be wrong, so the
//! rest of the proxy does not look twice.

mod listen_address;
mod peer_network;
mod listen;
mod listen_tls;
mod admin;
mod origin;
mod dns;
mod storage;
mod cache;
mod built_in_names;
mod name_pattern;
mod compression;
mod cookies;
mod key;
mod query;
mod deployment;
mod rule;
mod effective;
mod tags;
mod purge;
mod purge_log;
mod limits;
mod response;
mod kafka;
mod purger;
mod access_format;
mod access_log;
mod log;
mod metrics;
mod secret;
mod tracing;

pub use self::access_format::{AccessFormat, ExtraPiece, FormatPiece, TimeFormat};
pub use self::access_log::{AccessLogSettings, AccessLogTarget, share_of};
pub use self::admin::{AdminSettings, DashboardMode};
pub use self::cache::{CacheSettings, HeuristicSettings};
pub use self::compression::{
    Coding, CompressionLevels, CompressionMode, CompressionSettings, TypePattern,
};
pub use self::cookies::{CookieSettings, OtherCookies, VaryCookie};
pub use self::dns::{AddressFamily, DnsSettings};
pub use self::effective::EffectiveSettings;
pub use self::kafka::{KafkaSettings, SaslMechanism, Security};
pub use self::key::{DeviceVariants, ImageRequests, KeyField, KeySettings, NoVarySearch, VaryMode};
pub use self::limits::LimitSettings;
pub use self::listen::{ClientFields, Http2, ListenSettings, ProxyProtocol};
pub use self::listen_address::ListenAddress;
pub use self::listen_tls::{CertificateFiles, ClientCertificate, ListenTlsSettings, TlsVersion};
pub use self::log::{LogFormat, LogLevel, LogSettings};
pub use self::metrics::MetricsSettings;
pub use self::name_pattern::NamePattern;
pub use self::origin::OriginTlsSettings;
pub use self::origin::{
    Balance, CircuitSettings, HashBy, HealthSettings, HedgeAfter, HostHeader, OriginHttp2,
    OriginSettings, OutlierSettings, ProbeMethod, RetryOn, ServerAddress, ServerSettings,
};
pub use self::peer_network::PeerNetwork;
pub use self::purge::PurgeSettings;
pub use self::purge_log::{OnExpiry, PurgeLogSettings};
pub use self::purger::{EventFormat, PurgerSettings, StartAt, TargetHttp, TargetSettings};
pub use self::query::{QueryParameters, QuerySettings};
pub use self::response::ResponseSettings;
pub use self::rule::{
    DeviceClass, Expected, FieldEdits, PRESETS, Redirect, RequestActions, Respond, RespondContent,
    ResponseActions, ResponseMatch, RuleActions, RuleMatch, RuleOrigin, RuleOverlay, RuleSettings,
    RuleTemplate, SetCookie, TemplatePiece, preset,
};
pub use self::secret::Secret;
pub use self::storage::{FileStorage, MemoryStorage, StorageKind, StorageSettings};
pub use self::tags::TagSettings;
pub use self::tracing::TracingSettings;
