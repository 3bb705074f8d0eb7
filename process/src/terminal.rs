//! What commands write: answers to standard output, messages for whoever started them to standard
//! error.

use std::io::{ErrorKind, Write as _};

use crate::exit::Exit;
use crate::stderr;

/// Writes an answer. A reader that has seen enough, as `head` has, is no failure.
pub fn print(text: &str) -> Exit {
    print_more(text).map_or_else(|exit| exit, |_is_read| Exit::Done)
}

/// Writes a part of an answer, and says whether more of it is read.
pub fn print_more(text: &str) -> Result<bool, Exit> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(_error) => Err(Exit::Io),
    }
}

/// Writes a line to standard error; nobody can be told when that fails.
pub fn say(line: std::fmt::Arguments<'_>) {
    stderr::write(format!("{line}\n").as_bytes());
}
