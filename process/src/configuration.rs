//! Loading the configuration for a command.

use settings::{Config, Flags, Sources};

use crate::exit::Exit;
use crate::terminal::say;

/// Loads the configuration, and writes problems and warnings to standard error.
pub fn load(flags: Flags) -> Result<Config, Exit> {
    let sources = Sources::of_process(flags).map_err(|error| {
        say(format_args!("cannot read the configuration: {error}"));
        Exit::Io
    })?;
    match Config::load(&sources) {
        Ok(config) => {
            for warning in &config.warnings {
                say(format_args!("{:?}", miette::Report::new(warning.clone())));
            }
            Ok(config)
        }
        Err(errors) => {
            say(format_args!("{:?}", miette::Report::new(errors)));
            Err(Exit::Config)
        }
    }
}
