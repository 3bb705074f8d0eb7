//! Collects faults while the configuration is read, and turns them into problems with their places.

mod foreign;
mod nearest;
mod problem;
mod secrecy;
mod unknown;

use std::sync::Arc;

use miette::{NamedSource, Severity};

pub(crate) use self::nearest::nearest;
pub use self::problem::{ConfigErrors, Problem};
use self::secrecy::{without_secret_of_variable, without_secrets};
use self::unknown::UnknownKey;
use crate::secrets::without_userinfo;
use crate::tree::Location;

/// Everything found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sources: Vec<SourceText>,
    drafts: Vec<ProblemBuilder>,
    /// Sources and lines with syntax errors.
    broken_lines: Vec<(usize, usize)>,
    /// Known settings: the table's path and the key.
    known: Vec<(String, &'static str)>,
    unknown: Vec<UnknownKey>,
    /// Paths of settings with wrong values.
    faulty: Vec<String>,
}

/// A text that settings were read from.
#[derive(Debug)]
struct SourceText {
    name: String,
    text: String,
}

/// A problem that does not know its source's text yet.
#[derive(Debug)]
pub(crate) struct ProblemBuilder {
    severity: Severity,
    message: String,
    label: String,
    help: Option<String>,
    place: Option<Location>,
    is_syntax: bool,
}

/// The name of the sources that are variables, one each.
pub(crate) const ENVIRONMENT: &str = "environment";
/// The name of the sources that are flags.
pub(crate) const COMMAND_LINE: &str = "command line";

impl Report {
    /// Adds a text that settings are read from; returns its index.
    pub(crate) fn add_source(&mut self, name: &str, text: &str) -> usize {
        let text = match name {
            ENVIRONMENT => without_secret_of_variable(text),
            COMMAND_LINE => without_userinfo(text),
            _file => without_secrets(text),
        };
        self.sources.push(SourceText { name: name.to_owned(), text });
        self.sources.len() - 1
    }

    /// Returns what is shown of a place.
    pub(crate) fn shown(&self, place: &Location) -> &str {
        let text = self.sources.get(place.source).map(|source| source.text.as_str());
        text.and_then(|text| text.get(place.start..place.end)).unwrap_or_default()
    }

    /// Adds a problem.
    pub(crate) fn add(&mut self, draft: ProblemBuilder) {
        self.drafts.push(draft);
    }

    /// Adds a problem of the setting at this path.
    pub(crate) fn add_fault(&mut self, path: &str, draft: ProblemBuilder) {
        self.faulty.push(path.to_owned());
        self.drafts.push(draft);
    }

    /// Returns whether a setting below this top-level key has a wrong value.
    pub(crate) fn has_fault_in(&self, section: &str) -> bool {
        self.faulty.iter().any(|path| path.split(['.', '[']).next() == Some(section))
    }

    /// Returns whether an error was found so far; an unknown key is one.
    pub(crate) fn has_errors(&self) -> bool {
        !self.unknown.is_empty() || self.drafts.iter().any(ProblemBuilder::is_error)
    }

    /// Adds several problems.
    pub(crate) fn extend(&mut self, drafts: Vec<ProblemBuilder>) {
        self.drafts.extend(drafts);
    }

    /// Adds a syntax error.
    pub(crate) fn add_syntax_error(&mut self, draft: ProblemBuilder) {
        self.drafts.push(ProblemBuilder { is_syntax: true, ..draft });
    }

    /// Notes a line, from 0, that could not be parsed. Other problems of that line may follow from
    /// that.
    pub(crate) fn add_broken_line(&mut self, source: usize, line: usize) {
        self.broken_lines.push((source, line));
    }

    /// Notes a setting that exists, whether it was written or not.
    pub(crate) fn know(&mut self, table: &str, key: &'static str) {
        self.known.push((table.to_owned(), key));
    }

    /// Adds an unknown key. Its likely meaning is looked for when all settings are known.
    pub(crate) fn add_unknown(&mut self, table: &str, key: &str, place: &Location) {
        self.hide_variable(place);
        let (table, key) = (table.to_owned(), key.to_owned());
        self.unknown.push(UnknownKey { table, key, place: place.clone() });
    }

    /// Hides the value of a variable that is no setting, which may be a misspelt token.
    fn hide_variable(&mut self, name: &Location) {
        if let Some(source) = self.sources.get_mut(name.source)
            && source.name == ENVIRONMENT
        {
            source.text.truncate(name.end);
        }
    }

    /// Returns the name of a place: a line of the file, a variable, or a flag.
    pub(crate) fn place_name(&self, place: &Location) -> String {
        let Some(SourceText { name, text }) = self.sources.get(place.source) else {
            return String::new();
        };
        match name.as_str() {
            ENVIRONMENT => text.split('=').next().unwrap_or_default().to_owned(),
            COMMAND_LINE => text.split(' ').next().unwrap_or_default().to_owned(),
            file => format!("{file}:{}", line_of(text, place.start) + 1),
        }
    }

    /// Returns all settings: the table's path and the key.
    #[cfg(test)]
    pub(crate) fn known(&self) -> &[(String, &'static str)] {
        &self.known
    }

    /// Returns the errors and the warnings, in the order of the sources.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>) {
        let unknown = self.unknown.iter().map(|key| key.explain(&self.known));
        self.drafts.extend(unknown.collect::<Vec<_>>());
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.retain(|draft| !self.follows_from_syntax(draft));
        drafts.sort_by(|one, other| one.order().cmp(&other.order()));
        let texts: Vec<_> = self.sources.iter().map(SourceText::named).collect();
        let problems = drafts.into_iter().map(|draft| draft.into_problem(&texts));
        problems.partition(Problem::is_error)
    }

    /// Returns whether a problem may be the mere consequence of a syntax error.
    fn follows_from_syntax(&self, draft: &ProblemBuilder) -> bool {
        if draft.is_syntax || self.broken_lines.is_empty() {
            return false;
        }
        let Some(place) = &draft.place else { return true };
        let Some(source) = self.sources.get(place.source) else { return false };
        self.broken_lines.contains(&(place.source, line_of(&source.text, place.start)))
    }
}

impl SourceText {
    fn named(&self) -> NamedSource<Arc<str>> {
        NamedSource::new(&self.name, Arc::from(self.text.as_str()))
    }
}

impl ProblemBuilder {
    fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Returns an error with a message and a few words for the place.
    pub(crate) fn error(message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            label: label.into(),
            help: None,
            place: None,
            is_syntax: false,
        }
    }

    /// Returns a warning.
    pub(crate) fn warning(message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, label) }
    }

    /// Adds advice.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds the place.
    pub(crate) fn at(self, place: &Location) -> Self {
        Self { place: Some(place.clone()), ..self }
    }

    /// A missing setting has no place and sorts last.
    fn order(&self) -> (bool, Option<&Location>) {
        (self.place.is_none(), self.place.as_ref())
    }

    fn into_problem(self, sources: &[NamedSource<Arc<str>>]) -> Problem {
        let source = self.place.as_ref().and_then(|place| sources.get(place.source)).cloned();
        Problem {
            severity: self.severity,
            message: without_userinfo(&self.message),
            label: without_userinfo(&self.label),
            help: self.help.as_deref().map(without_userinfo),
            span: self.place.map_or(0..0, |place| place.start..place.end),
            source,
        }
    }
}

/// Returns the number of the line that this byte is in, from 0.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
