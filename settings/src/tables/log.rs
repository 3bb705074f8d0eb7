//! `[log]`: how much is said, and in which form.

use super::access_log::AccessLogSettings;
use crate::table::Table;
use crate::value::choice;

/// The log on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important message that is written.
    pub level: LogLevel,
    /// The format of the lines.
    pub format: LogFormat,
    /// `[log.access]`.
    pub access: AccessLogSettings,
}

/// The importance of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// An operator must act.
    Error,
    /// Something is off, and handled.
    Warn,
    /// Starts, stops, changes.
    Info,
    /// Each request.
    Debug,
    /// Each step.
    Trace,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One object per line.
    Json,
}

impl Default for LogSettings {
    fn default() -> Self {
        let access = AccessLogSettings::default();
        Self { level: LogLevel::Info, format: LogFormat::Auto, access }
    }
}

impl LogSettings {
    /// Reads `[log]` over what is here.
    pub(crate) fn read(&mut self, table: &mut Table<'_>) {
        table.read("level", choice(&LEVELS), &mut self.level);
        table.read("format", choice(&FORMATS), &mut self.format);
        table.table("access", |table| self.access.read(table));
    }
}

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
