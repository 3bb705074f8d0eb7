//! `shellac-purger version`: what was built.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::print;

#[derive(Debug, Args)]
pub(super) struct BuildArguments {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn version(arguments: &BuildArguments) -> ExitCode {
    let text = if arguments.json {
        format!("{}\n", document())
    } else {
        format!("shellac-purger {}\n", env!("CARGO_PKG_VERSION"))
    };
    print(&text).into()
}

/// Describes the build. The revision is known where the build was told of it.
fn document() -> Value {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    json!({
        "name": "shellac-purger",
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("SHELLAC_REVISION"),
        "minimum_rust": env!("CARGO_PKG_RUST_VERSION"),
        "librdkafka": librdkafka,
        "architecture": std::env::consts::ARCH,
        "system": std::env::consts::OS,
        "debug": cfg!(debug_assertions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_library_that_speaks_to_kafka() {
        let document = document();
        assert_eq!(document["name"], "shellac-purger");
        assert!(document["librdkafka"].as_str().unwrap().starts_with("2."), "{document}");
    }
}
