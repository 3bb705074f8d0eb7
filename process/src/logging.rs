//! Logs to standard error: pretty on a terminal, JSON otherwise.

use std::io::IsTerminal as _;

use settings::{LogFormat, LogLevel, LogSettings};
use tracing_subscriber::EnvFilter;

use crate::terminal::say;

pub fn start(settings: &LogSettings) {
    let level = match settings.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter =
        EnvFilter::try_from_env("SHELLAC_LOG").unwrap_or_else(|_unset| EnvFilter::new(level));
    let is_pretty = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if is_pretty {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    if let Err(error) = started {
        say(format_args!("logs are not started: {error}"));
    }
}

/// Writes a line about the start as text, or as an event if every line of the log has to be JSON.
pub fn say_at_start(settings: &LogSettings, label: &'static str, value: std::fmt::Arguments<'_>) {
    match settings.format {
        LogFormat::Json => tracing::info!(%value, "{label}"),
        LogFormat::Auto | LogFormat::Pretty => {
            say(format_args!("  {label:<8} {value}"));
        }
    }
}

/// Writes the reason why a program cannot run, in the same form.
pub fn say_failure(settings: &LogSettings, program: &'static str, error: &dyn std::error::Error) {
    match settings.format {
        LogFormat::Json => tracing::error!(error = %error, "{program} cannot run"),
        LogFormat::Auto | LogFormat::Pretty => {
            say(format_args!("{program}: {error}"));
        }
    }
}
