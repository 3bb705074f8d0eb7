//! Messages of commands for whoever started them.

use std::io::Write as _;

/// Writes a line to standard error; nobody can be told when that fails.
pub fn say(line: std::fmt::Arguments<'_>) {
    let _written = writeln!(std::io::stderr(), "{line}");
}
