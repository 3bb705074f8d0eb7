//! `shellac`: the proxy's program. Parses arguments and runs a command; its exit code is the
//! command's.

use std::process::ExitCode;

use clap::Parser as _;
use process::stderr;
use shellac::cli::{self, Arguments};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _flushed = stderr::flush_at_end();
    cli::launcher().unwrap_or_else(|| Arguments::parse().run())
}
