//! placeholder
use std::process::ExitCode;
#[derive(Debug, clap::Args)]
pub(super) struct DemoArguments {}
pub(super) fn demo(_arguments: &DemoArguments) -> ExitCode {
    ExitCode::SUCCESS
}
