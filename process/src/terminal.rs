//! What commands write: answers to standard output, messages for whoever started them to standard
//! error.

use std::io::Write as _;

use crate::exit::Exit;
use crate::stderr;

/// Writes an answer.
pub fn print(text: &str) -> Exit {
    let mut output = std::io::stdout();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    if written.is_ok() { Exit::Done } else { Exit::Io }
}

/// Writes a line to standard error; nobody can be told when that fails.
pub fn say(line: std::fmt::Arguments<'_>) {
    stderr::write(format!("{line}\n").as_bytes());
}
