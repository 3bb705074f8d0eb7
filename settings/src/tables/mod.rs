//! The settings, one file per table of `config.toml`: what each one means and costs, its default,
//! its range.
//!
//! A field has the name of its key. `Default` holds the defaults, `read` says what may be written
//! instead; nothing else in the proxy knows either. Values that were read cannot be wrong, so the
//! rest of the proxy does not look twice.

mod listen;
mod admin;
mod origin;
mod storage;
mod cache;
mod cookies;
mod tags;
mod purge;
mod purge_log;
mod limits;
mod response;
mod kafka;
mod purger;
mod log;
mod secret;

pub use self::admin::Admin;
pub use self::cache::Cache;
pub use self::cookies::{Cookies, NamePattern, OtherCookies};
pub use self::kafka::{Kafka, SaslMechanism, Security};
pub use self::limits::Limits;
pub use self::listen::{Http2, Listen};
pub use self::log::{Log, LogFormat, LogLevel};
pub use self::origin::{HostHeader, Origin};
pub use self::purge::{Purge, PurgeMode};
pub use self::purge_log::{OnExpiry, PurgeLog};
pub use self::purger::{EventFormat, Purger, StartAt, TargetHttp, Targets};
pub use self::response::Response;
pub use self::secret::Secret;
pub use self::storage::{FileStorage, MemoryStorage, Storage, StorageKind};
pub use self::tags::Tags;
