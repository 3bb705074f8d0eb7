//! `shellac-purger`: parses arguments and runs a command, whose exit code it returns.

use std::process::ExitCode;

use clap::Parser as _;
use process::stderr;
use shellac_purger::cli::Arguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _flushed = stderr::flush_at_end();
    Arguments::parse().run()
}
