//! `shellac store`: looks at a store's files, for people.

use std::path::PathBuf;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::{Args, Subcommand};

use crate::store::file::inspect::{InspectError, Inspection, Verification, inspect, verify};
use process::exit::Exit;
use process::terminal::{print, say};

#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Say what is in a store; it may be in use
    Inspect(PathArguments),
    /// Read everything in a store and compare it with its checksums; it must not be in use
    Verify(PathArguments),
}

#[derive(Debug, Args)]
struct PathArguments {
    /// The directory of the store: `storage.file.path`
    path: PathBuf,
}

/// Runs the command.
pub(super) fn store(arguments: &StoreArguments) -> ExitCode {
    match &arguments.command {
        StoreCommand::Inspect(arguments) => match inspect(&arguments.path) {
            Ok(inspection) => show(&describe(&inspection), Exit::Done),
            Err(error) => failed(&error),
        },
        StoreCommand::Verify(arguments) => match verify(&arguments.path) {
            Ok(found) if found.damaged.is_empty() => show(&report(&found), Exit::Done),
            Ok(found) => show(&report(&found), Exit::Io),
            Err(error) => failed(&error),
        },
    }
}

fn show(text: &str, exit: Exit) -> ExitCode {
    match print(&[text, "\n"].concat()) {
        Exit::Done => exit.into(),
        failed => failed.into(),
    }
}

fn failed(error: &InspectError) -> ExitCode {
    say(format_args!("shellac: {error}"));
    Exit::Io.into()
}

fn describe(inspection: &Inspection) -> String {
    let [free, open, complete] = inspection.segments;
    let state = match (inspection.is_in_use, inspection.is_clean) {
        (true, _) => "in use: the numbers change",
        (false, true) => "closed in order",
        (false, false) => {
            "not closed in order: its open segments are read record by record at the next start"
        }
    };
    let mut lines = vec![
        format!("state      {state}; opened {} times", inspection.openings),
        format!(
            "segments   {} of {}: {free} free, {open} open, {complete} complete",
            free + open + complete,
            ByteSize(inspection.segment_bytes)
        ),
        format!(
            "responses  {} in complete segments, {} dead",
            inspection.responses, inspection.dead
        ),
        format!("purges     {} things whose last purge is remembered", inspection.purged),
    ];
    for (log, next) in &inspection.positions {
        lines.push(format!("position   {log}: {next}"));
    }
    lines.join("\n")
}

fn report(found: &Verification) -> String {
    let mut lines = vec![format!(
        "{} responses and {} parts of large ones are sound: {}",
        found.responses,
        found.extents,
        ByteSize(found.bytes)
    )];
    for (segment, offset) in &found.damaged {
        lines.push(format!("damaged: segment {segment} at {offset}; it is a miss"));
    }
    lines.join("\n")
}
