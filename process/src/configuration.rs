//! Loading the configuration for a command.

use settings::{
    Config, ConfigErrors, Finding, Flags, LogFormat, LogSettings, Problem, Sources, WrittenSettings,
};

use crate::exit::Exit;
use crate::logging;
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

/// Loads the configuration of a program that is about to serve, and starts its log: if every line
/// of that has to be JSON, so is every problem and warning, whatever else is wrong.
pub fn load_to_serve(
    program: &'static str,
    flags: Flags,
    inspect: impl FnOnce(&Config) -> Vec<Finding>,
) -> Result<(Config, Sources, WrittenSettings), Exit> {
    let sources = Sources::of_process(flags.clone()).map_err(|error| {
        let log = Config::load_log(&Sources::without_file(flags));
        if log.format == LogFormat::Json {
            logging::start(&log);
        }
        logging::say_failure(&log, program, &error);
        Exit::Io
    })?;
    let (config, written) = Config::load_written(&sources, inspect)
        .map_err(|errors| refused_to_serve(&Config::load_log(&sources), errors))?;
    logging::serve(&config.log);
    for warning in &config.warnings {
        if config.log.format == LogFormat::Json {
            let (at, help) = place_and_advice(warning);
            tracing::warn!(problem = %warning, at, help, "the configuration has a risk");
        } else {
            say(format_args!("{:?}", miette::Report::new(warning.clone())));
        }
    }
    Ok((config, sources, written))
}

fn refused_to_serve(log: &LogSettings, errors: ConfigErrors) -> Exit {
    if log.format != LogFormat::Json {
        return refused(errors);
    }
    logging::start(log);
    for problem in errors.problems() {
        let (at, help) = place_and_advice(problem);
        tracing::error!(%problem, at, help, "the configuration cannot be used");
    }
    Exit::Config
}

fn place_and_advice(problem: &Problem) -> (Option<String>, Option<&str>) {
    (problem.location(), problem.advice())
}

/// Writes what is wrong to standard error.
pub fn refused(errors: ConfigErrors) -> Exit {
    say(format_args!("{:?}", miette::Report::new(errors)));
    Exit::Config
}
