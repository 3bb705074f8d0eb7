//! The output of the story: lines, and on a terminal one more below them that changes in place.

use std::io::{self, IsTerminal as _, Write as _};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(super) struct Screen {
    form: Form,
    /// The line that changes; empty when there is none.
    footer: Mutex<String>,
    closed: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Prints only a JSON document at the end.
    Document,
    Lines,
    Terminal,
}

impl Screen {
    pub(super) fn new(is_document: bool) -> Self {
        let form = match is_document {
            true => Form::Document,
            false if io::stdout().is_terminal() => Form::Terminal,
            false => Form::Lines,
        };
        Self { form, footer: Mutex::default(), closed: CancellationToken::new() }
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    pub(super) fn say(&self, line: &str) {
        let footer = self.footer.lock();
        match self.form {
            Form::Document => {}
            Form::Lines => self.write(&format!("{line}\n")),
            Form::Terminal => self.write(&format!("{CLEAR}{line}\n{CUT}{footer}{WRAP}")),
        }
    }

    /// Replaces the changing line, or prints it where lines cannot change.
    pub(super) fn show(&self, line: String) {
        match self.form {
            Form::Document => {}
            Form::Lines => self.say(&line),
            Form::Terminal => {
                let mut footer = self.footer.lock();
                *footer = line;
                self.write(&format!("{CLEAR}{CUT}{footer}{WRAP}"));
            }
        }
    }

    pub(super) fn finish(&self) {
        let footer = std::mem::take(&mut *self.footer.lock());
        if !footer.is_empty() {
            self.write("\n");
        }
    }

    pub(super) fn document(&self, document: &serde_json::Value) {
        if self.form == Form::Document {
            self.write(&format!("{document:#}\n"));
        }
    }

    /// Waits until the reader of the output is gone.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn write(&self, text: &str) {
        let mut output = io::stdout().lock();
        if output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_err() {
            self.closed.cancel();
        }
    }
}

/// To the line's begin, and nothing after it.
const CLEAR: &str = "\r\x1b[K";
/// Cuts off lines that are wider than the terminal: a second line could not be changed in place.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
