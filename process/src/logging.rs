//! Logs to standard error: pretty on a terminal, JSON otherwise. Level and format can change while
//! the program runs.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use settings::{LogFormat, LogLevel, LogSettings};
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::stderr;
use crate::terminal::say;

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Output = Box<dyn Layer<Filtered> + Send + Sync>;

/// The parts of the running log that can be replaced.
struct Handles {
    filter: reload::Handle<EnvFilter, Registry>,
    output: reload::Handle<Output, Filtered>,
}

/// Writes each line as a whole.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr::write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static HANDLES: OnceLock<Handles> = OnceLock::new();

/// Starts the log of a program that serves, for which nobody who logs waits.
pub fn serve(settings: &LogSettings) {
    if let Err(error) = stderr::serve() {
        say(format_args!("{error}; whoever logs waits for standard error"));
    }
    start(settings);
}

pub fn start(settings: &LogSettings) {
    let (filter, filter_handle) = reload::Layer::new(filter(settings));
    let (output, output_handle) = reload::Layer::new(output(settings));
    match tracing_subscriber::registry().with(filter).with(output).try_init() {
        Ok(()) => {
            // The log starts once: nothing is there yet.
            let _first = HANDLES.set(Handles { filter: filter_handle, output: output_handle });
        }
        Err(error) => say(format_args!("logs are not started: {error}")),
    }
}

/// Writes from now on at this level and in this format. Without a log that was started here,
/// nothing happens.
pub fn change(settings: &LogSettings) {
    let Some(handles) = HANDLES.get() else { return };
    if let Err(error) = handles.filter.reload(filter(settings)) {
        say(format_args!("the level of the log stays: {error}"));
    }
    if let Err(error) = handles.output.reload(output(settings)) {
        say(format_args!("the format of the log stays: {error}"));
    }
}

/// Returns whether `SHELLAC_LOG` or `RUST_LOG` decides on what is logged, before `log.level`.
pub fn is_filtered_by_environment() -> bool {
    from_environment().is_some()
}

fn filter(settings: &LogSettings) -> EnvFilter {
    let level = match settings.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    from_environment().unwrap_or_else(|| EnvFilter::new(level))
}

/// Returns the directives of the first variable that is set and sound.
fn from_environment() -> Option<EnvFilter> {
    VARIABLES.into_iter().find_map(|name| {
        let is_set = std::env::var_os(name).is_some_and(|value| !value.is_empty());
        EnvFilter::try_from_env(name).ok().filter(|_| is_set)
    })
}

fn output(settings: &LogSettings) -> Output {
    let is_pretty = match settings.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let layer = fmt::layer().with_writer(|| Lines);
    if is_pretty { Box::new(layer.compact()) } else { Box::new(layer.json().flatten_event(true)) }
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

/// Hold directives that go before `log.level`.
const VARIABLES: [&str; 2] = ["SHELLAC_LOG", "RUST_LOG"];
