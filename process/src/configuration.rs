//! Loading the configuration for a command.

use settings::{Config, Finding, Flags, Sources, WrittenSettings};

use crate::exit::Exit;
use crate::terminal::say;

/// Loads the configuration, and writes problems and warnings to standard error.
pub fn load(flags: Flags) -> Result<Config, Exit> {
    load_inspected(flags, |_| Vec::new())
}

/// The same; `inspect` looks at what the settings name, such as files.
pub fn load_inspected(
    flags: Flags,
    inspect: impl FnOnce(&Config) -> Vec<Finding>,
) -> Result<Config, Exit> {
    load_with_sources(flags, inspect).map(|(config, _sources, _written)| config)
}

/// The same; returns also what was read, and what was written there.
pub fn load_with_sources(
    flags: Flags,
    inspect: impl FnOnce(&Config) -> Vec<Finding>,
) -> Result<(Config, Sources, WrittenSettings), Exit> {
    let sources = Sources::of_process(flags).map_err(|error| {
        say(format_args!("cannot read the configuration: {error}"));
        Exit::Io
    })?;
    match Config::load_written(&sources, inspect) {
        Ok((config, written)) => {
            for warning in &config.warnings {
                say(format_args!("{:?}", miette::Report::new(warning.clone())));
            }
            Ok((config, sources, written))
        }
        Err(errors) => Err(refused(errors)),
    }
}

/// Writes what is wrong to standard error.
pub fn refused(errors: settings::ConfigErrors) -> Exit {
    say(format_args!("{:?}", miette::Report::new(errors)));
    Exit::Config
}
