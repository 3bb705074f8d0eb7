//! The command `version` of each program: what was built.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::terminal::print;

#[derive(Debug, Args)]
pub struct VersionArguments {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints a document that [`document`] has begun.
pub fn version(document: &Value, arguments: &VersionArguments) -> ExitCode {
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let line = if arguments.json {
        format!("{document}\n")
    } else {
        format!("{} {}\n", text("name"), text("version"))
    };
    print(&line).into()
}

/// Describes the build of a program. The revision is known where the build was told of it.
pub fn document(name: &str) -> Value {
    json!({
        "name": name,
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("SHELLAC_REVISION"),
        "minimum_rust": env!("CARGO_PKG_RUST_VERSION"),
        "architecture": std::env::consts::ARCH,
        "system": std::env::consts::OS,
        "debug": cfg!(debug_assertions),
    })
}
