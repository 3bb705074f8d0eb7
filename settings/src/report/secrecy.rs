//! Keeps secrets out of problems, which show the lines around a fault.
//!
//! It works on the text and not on the tree, so that a file that cannot be parsed keeps its
//! secrets. Where the text is no TOML, it blacks out rather too much.

use super::nearest;
use crate::secrets::{SECRET_WORDS, blacked, is_secret, without_userinfo};

/// Returns a file's text with the values of secrets blacked out, byte for byte.
pub(super) fn without_secrets(text: &str) -> String {
    let text = without_userinfo(text);
    let mut scanner = Scanner::new(&text);
    scanner.document();
    scanner.shown
}

/// Returns `NAME=value` without the value, if it is a secret.
pub(super) fn without_secret_of_variable(variable: &str) -> String {
    let Some((name, value)) = variable.split_once('=') else { return variable.to_owned() };
    let path = name.to_ascii_lowercase().replace("__", ".");
    let path = path.strip_prefix("shellac.").unwrap_or(&path);
    let value = if may_be_secret(path) { blacked(value) } else { without_userinfo(value) };
    format!("{name}={value}")
}

/// Returns whether this is a secret, or might be one under its right name.
fn may_be_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let is_of_tracing = TRACING.iter().any(|start| path.starts_with(start));
    is_secret(path)
        || nearest(name, SECRET_WORDS).is_some()
        || is_of_tracing && path.split('.').any(|key| key.starts_with("header"))
}

#[derive(Debug)]
struct Scanner<'t> {
    rest: &'t str,
    shown: String,
    /// The path of the table of the last header.
    table: String,
}

/// The bytes that end a value without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Line,
    Brackets,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text, shown: String::with_capacity(text.len()), table: String::new() }
    }

    fn document(&mut self) {
        loop {
            self.show_while(char::is_whitespace);
            match self.peek() {
                None => return,
                Some('#') => self.comment(false),
                Some('[') => self.header(),
                Some(_) => {
                    let path = self.key(&self.table.clone());
                    self.entry(&path);
                }
            }
        }
    }

    /// Shows `[a.b]`. What follows on the line is read as an entry.
    fn header(&mut self) {
        let line = self.line();
        let name = line.trim_start_matches('[');
        let end = name.find(']').map_or_else(
            || name_length(name, ' '),
            |end| {
                let after = name.get(end..).unwrap_or_default();
                name.len() - after.trim_start_matches(']').len()
            },
        );
        self.table = path_of(name.get(..end).unwrap_or_default().trim_end_matches(']'));
        self.show(line.len() - name.len() + end);
    }

    /// Shows a key with the `=` after it, and returns its path. A name that follows without a dot
    /// is a value whose `=` is missing.
    fn key(&mut self, table: &str) -> String {
        let mut end = 0;
        let mut has_name = false;
        let text = self.line();
        while let Some(char) = text.get(end..).and_then(|rest| rest.chars().next()) {
            end += match char {
                space if space.is_whitespace() => space.len_utf8(),
                '.' => {
                    has_name = false;
                    1
                }
                '=' | ':' | ',' | '{' | '}' | '[' | ']' | '#' => break,
                _ if has_name => break,
                quote => {
                    has_name = true;
                    name_length(text.get(end..).unwrap_or_default(), quote)
                }
            };
        }
        let name = path_of(text.get(..end).unwrap_or_default());
        self.show(end);
        if matches!(self.peek(), Some('=' | ':')) {
            self.show(1);
        }
        if table.is_empty() { name } else { format!("{table}.{name}") }
    }

    fn entry(&mut self, path: &str) {
        let is_hidden = may_be_secret(path);
        self.show_while(|char| matches!(char, ' ' | '\t'));
        let is_empty = ["\"\"", "''", "{}", "[]"].iter().any(|none| self.rest.starts_with(none))
            && !["\"\"\"", "'''"].iter().any(|text| self.rest.starts_with(text));
        self.value(path, is_hidden, Within::Line, 0);
        if self.is_at_line_start() {
            return;
        }
        // The rest of the line is a comment, or a value that goes on where it should not.
        while let Some(char) = self.peek().filter(|char| *char != '\n') {
            match char {
                '#' => return self.comment(is_hidden && !is_empty),
                _ if is_hidden => self.value(path, true, Within::Line, 0),
                _ => self.show(char.len_utf8()),
            }
        }
    }

    fn value(&mut self, path: &str, is_hidden: bool, within: Within, depth: usize) {
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        if let Some(quote) = quotes.into_iter().find(|quote| self.rest.starts_with(quote)) {
            return self.text(quote, is_hidden);
        }
        match self.peek() {
            Some('[') if depth < DEPTH_MAX => self.list(path, is_hidden, depth + 1),
            Some('{') if depth < DEPTH_MAX => self.inline_table(path, is_hidden, depth + 1),
            _ => self.bare(is_hidden, within),
        }
    }

    /// Shows text in quotes. One that is not closed ends with the line; but a secret of several
    /// lines with the file.
    fn text(&mut self, quote: &str, is_hidden: bool) {
        self.show(quote.len());
        let all = if quote.len() == 1 { self.line() } else { self.rest };
        let end = match closing(all, quote) {
            Some(end) => end,
            None if is_hidden => all.len(),
            None => self.line().len(),
        };
        let content = all.get(..end).unwrap_or(all);
        if is_hidden {
            self.shown.push_str(&blacked(content));
        } else {
            content.split_inclusive('\n').for_each(|line| self.show_prose(line));
        }
        self.rest = self.rest.get(end..).unwrap_or_default();
        if self.rest.starts_with(quote) {
            self.show(quote.len());
        }
    }

    fn list(&mut self, path: &str, is_hidden: bool, depth: usize) {
        self.show(1);
        while self.go_on(']') {
            if matches!(self.peek(), Some(',' | '}')) {
                self.show(1);
            } else if self.is_at_line_start() && self.is_at_entry() {
                return;
            } else {
                self.value(path, is_hidden, Within::Brackets, depth);
            }
        }
    }

    fn inline_table(&mut self, path: &str, is_hidden: bool, depth: usize) {
        self.show(1);
        while self.go_on('}') {
            if matches!(self.peek(), Some(',' | ']')) {
                self.show(1);
                continue;
            }
            let start = self.rest;
            let key = self.key(path);
            let is_nameless = start.len() == self.rest.len();
            let is_hidden = is_hidden || may_be_secret(&key);
            self.show_while(|char| matches!(char, ' ' | '\t'));
            while let Some(char) = self.peek().filter(|char| !",}\n".contains(*char)) {
                match char {
                    '#' => self.comment(is_hidden),
                    ' ' | '\t' | ']' => self.show(1),
                    _ => self.value(&key, is_hidden, Within::Brackets, depth),
                }
            }
            if is_nameless && start.len() == self.rest.len() {
                self.show_char();
            }
        }
    }

    /// Shows white space and comments; returns whether something follows that does not close the
    /// bracket, nor begins a table.
    fn go_on(&mut self, closing: char) -> bool {
        loop {
            self.show_while(char::is_whitespace);
            match self.peek() {
                None => return false,
                Some('#') => self.comment(false),
                Some(char) if char == closing => {
                    self.show(1);
                    return false;
                }
                Some('[') if self.is_at_line_start() && is_header(self.line()) => return false,
                Some(_) => return true,
            }
        }
    }

    /// Shows a value without quotes.
    fn bare(&mut self, is_hidden: bool, within: Within) {
        let ends = match within {
            Within::Line => "#",
            Within::Brackets => ",]}#",
        };
        let line = self.line();
        let mut end = line.find(|char| ends.contains(char)).unwrap_or(line.len());
        if is_hidden && line.starts_with("${") {
            end = line.find('}').map_or(end, |closed| end.max(closed + 1));
        }
        if end == 0 {
            return self.show_char();
        }
        let value = line.get(..end).unwrap_or(line);
        if is_hidden {
            let (value, space) = value.split_at(value.trim_end().len());
            self.shown.push_str(&blacked(value));
            self.shown.push_str(space);
        } else {
            self.shown.push_str(value);
        }
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    fn comment(&mut self, is_hidden: bool) {
        let line = self.line();
        if is_hidden {
            self.shown.push('#');
            self.shown.push_str(&blacked(line.get(1..).unwrap_or_default()));
        } else {
            self.show_prose(line);
        }
        self.rest = self.rest.get(line.len()..).unwrap_or_default();
    }

    /// Shows a line that may hold anything: what follows the name of a secret is blacked out.
    fn show_prose(&mut self, line: &str) {
        let starts = line.match_indices(['=', ':']).map(|(at, _)| at);
        let start = starts.into_iter().find(|at| {
            let before = line.get(..*at).unwrap_or_default().trim_end_matches(NAME_ENDS);
            let is_of_name = |char: char| char.is_alphanumeric() || "_-.".contains(char);
            let name = before.trim_end_matches(is_of_name);
            let name = before.get(name.len()..).unwrap_or(before).to_ascii_lowercase();
            !name.is_empty()
                && (is_secret(&name) || !self.table.is_empty() && is_secret(&self.path_in(&name)))
        });
        let (before, secret) = line.split_at(start.map_or(line.len(), |start| start + 1));
        let space = secret.len() - secret.trim_start().len();
        self.shown.push_str(before);
        self.shown.push_str(secret.get(..space).unwrap_or_default());
        self.shown.push_str(&blacked(secret.get(space..).unwrap_or_default()));
    }

    fn path_in(&self, name: &str) -> String {
        format!("{}.{name}", self.table)
    }

    fn is_at_line_start(&self) -> bool {
        self.shown.trim_end_matches([' ', '\t']).ends_with('\n')
    }

    /// Returns whether the line is an entry or a header, where a list was not closed.
    fn is_at_entry(&self) -> bool {
        let line = self.line();
        let after =
            line.trim_start_matches(|char: char| char.is_alphanumeric() || "_-. \t".contains(char));
        after.len() < line.len() && after.starts_with('=')
    }

    fn line(&self) -> &'t str {
        self.rest.split(['\n']).next().unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn show_char(&mut self) {
        self.show(self.peek().map_or(0, char::len_utf8));
    }

    fn show_while(&mut self, is_shown: impl Fn(char) -> bool) {
        self.show(self.rest.len() - self.rest.trim_start_matches(is_shown).len());
    }

    /// Shows the next bytes as they are.
    fn show(&mut self, bytes: usize) {
        if let Some((shown, rest)) = self.rest.split_at_checked(bytes) {
            self.shown.push_str(shown);
            self.rest = rest;
        }
    }
}

/// Returns the keys of a name, without quotes and spaces, with dots between them.
fn path_of(name: &str) -> String {
    let plain = |char: &char| !matches!(char, '"' | '\'' | ' ' | '\t');
    name.chars().filter(plain).collect::<String>().to_ascii_lowercase()
}

/// Returns the bytes of one part of a key.
fn name_length(text: &str, first: char) -> usize {
    if matches!(first, '"' | '\'') {
        let inner = text.get(1..).unwrap_or_default();
        let mut quote = [0; 4];
        return closing(inner, first.encode_utf8(&mut quote)).map_or(text.len(), |end| end + 2);
    }
    text.find(|char: char| char.is_whitespace() || "=:.,{}[]#\"'".contains(char))
        .unwrap_or(text.len())
}

/// Returns the place of the quote that closes a text.
fn closing(text: &str, quote: &str) -> Option<usize> {
    if quote.starts_with('\'') {
        return text.find(quote);
    }
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let end = rest.find(quote)?;
        match rest.find('\\').filter(|escape| *escape < end) {
            Some(escape) => {
                let escaped = rest.get(escape + 1..)?.chars().next()?;
                from += escape + 1 + escaped.len_utf8();
            }
            None => return Some(from + end),
        }
    }
}

/// Returns whether a line that begins with a bracket names a table, and no list.
fn is_header(line: &str) -> bool {
    let name = line.trim_start_matches('[');
    let is_named = name.starts_with(|char: char| char.is_alphabetic());
    let word = name.split(|char: char| !char.is_alphanumeric()).next().unwrap_or_default();
    is_named && !matches!(word, "true" | "false" | "inf" | "nan") && name.contains(']')
}

/// Names that the table for a collector may have.
const TRACING: [&str; 4] = ["trac", "otlp", "otel", "telemetry"];
/// The bytes that may stand between a name and its `=`.
const NAME_ENDS: [char; 4] = ['"', '\'', ' ', '\t'];
/// Deeper lists and tables than anybody writes.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Before and after; what stays the same is written once.
    const CASES: [(&str, &str); 43] = [
        ("a = 1\ntoken = \"x\"\nb = 2\n", "a = 1\ntoken = \"*\"\nb = 2\n"),
        // Keys: with dots, in quotes, with spaces, by their table.
        ("admin.token = 'é'", "admin.token = '**'"),
        ("\"admin\" . \"token\"=\"x\"", "\"admin\" . \"token\"=\"*\""),
        ("tracing.headers.authorization = \"B x\"", "tracing.headers.authorization = \"***\""),
        ("[tracing]\nheaders.x-team = \"k\"", "[tracing]\nheaders.x-team = \"*\""),
        (
            "[tracing.headers]\na = \"x\"\n[key]\nc = 1",
            "[tracing.headers]\na = \"*\"\n[key]\nc = 1",
        ),
        ("[ tracing . \"headers\" ]\na=\"x\"", "[ tracing . \"headers\" ]\na=\"*\""),
        ("[key]\nheaders = [\"accept\"]", ""),
        (
            "[kafka.properties]\n\"sasl.password\" = \"x\"",
            "[kafka.properties]\n\"sasl.password\" = \"*\"",
        ),
        (
            "[[rule]]\nrequest_headers.set.cookie = \"x\"",
            "[[rule]]\nrequest_headers.set.cookie = \"*\"",
        ),
        ("[kafka]\ntoken_file = \"/run/x\"", ""),
        // Tables within a line, and over several.
        (
            "admin = { token = \"x\", listen = [\"a\"] }",
            "admin = { token = \"*\", listen = [\"a\"] }",
        ),
        (
            "tracing = { headers = { a = \"x\", b = 'y' }, queue = 9 }",
            "tracing = { headers = { a = \"*\", b = '*' }, queue = 9 }",
        ),
        (
            "tracing.headers = {\n  a = \"x\",\n  b = \"y\",\n}\nc = 1",
            "tracing.headers = {\n  a = \"*\",\n  b = \"*\",\n}\nc = 1",
        ),
        (
            "[tracing]\nheaders = \"authorization=x,k=y\"",
            "[tracing]\nheaders = \"*******************\"",
        ),
        // Lists.
        ("token = [\"x\", 'y']", "token = [\"*\", '*']"),
        (
            "token = [\n  \"x\", # y\n  z,\n]\na = \"b\"",
            "token = [\n  \"*\", # y\n  *,\n]\na = \"b\"",
        ),
        (
            "tracing.headers = [{ name = \"n\", value = \"x\" }]",
            "tracing.headers = [{ name = \"*\", value = \"*\" }]",
        ),
        (
            "list = [\n  [\"a\"],\n[admin]\ntoken = \"x\"",
            "list = [\n  [\"a\"],\n[admin]\ntoken = \"*\"",
        ),
        ("list = [\"a\",\ntoken = \"x\"", "list = [\"a\",\ntoken = \"*\""),
        // Values over several lines.
        ("token = \"\"\"\nx\ny\"\"\"\na = \"b\"", "token = \"\"\"\n*\n*\"\"\"\na = \"b\""),
        ("token = '''x\r\ny'''\na = \"b\"", "token = '''*\r\n*'''\na = \"b\""),
        ("token = \"\"\"x\\\"\"\"\"y\"\"\" # z", "token = \"\"\"***\"\"\"**** #**"),
        ("token = \"\"\"x\ny = \"z\"\n", "token = \"\"\"*\n*******\n"),
        ("body = \"\"\"\ntoken = x\n\"\"\"", "body = \"\"\"\ntoken = *\n\"\"\""),
        ("body = \"\"\"a\ntoken = \"x\"", "body = \"\"\"a\ntoken = \"*\""),
        // References.
        ("token = \"${file:/run/x}\" ", ""),
        ("token = \"Bearer ${NAME}\"", "token = \"*******${NAME}\""),
        ("token = \"${NAME:-x}\"", "token = \"${NAME:-*}\""),
        ("token = ${NAME}", ""),
        (
            "tracing.headers = { a = \"${A}\", b = \"x\" }",
            "tracing.headers = { a = \"${A}\", b = \"*\" }",
        ),
        // Comments.
        ("# the token is a secret\n", ""),
        ("#token = \"x\"", "#token = ***"),
        ("a = 1 # before: token = x", "a = 1 # before: token = *"),
        ("token = \"${A}\" # x", "token = \"${A}\" #**"),
        ("token = \"\" # by default", ""),
        // No TOML.
        ("token = x y # z", "token = *** #**"),
        ("token: x", "token: *"),
        ("token \"x\"", "token \"*\""),
        ("token = \"x\na = \"b\"", "token = \"*\na = \"b\""),
        ("token = \"x\"y\"z\"", "token = \"*\"****"),
        ("[admin] token = \"x\"", "[admin] token = \"*\""),
        ("[admin\ntokn = \"x\"", "[admin\ntokn = \"*\""),
    ];

    #[test]
    fn a_secret_is_blacked_out_however_it_is_written() {
        for (text, shown) in CASES {
            let shown = if shown.is_empty() { text } else { shown };
            assert_eq!(without_secrets(text), shown);
            assert_eq!(without_secrets(shown), shown, "a second time");
        }
    }

    #[test]
    fn a_misspelt_secret_is_one() {
        for near in ["admin.tokn", "kafka.pasword", "traces.headers", "tracing.header.x"] {
            assert!(may_be_secret(near) && !is_secret(near), "{near}");
        }
        assert!(!may_be_secret("cache.keep") && !may_be_secret("tracing.endpoint"));
    }

    #[test]
    fn the_secret_of_a_variable_is_blacked_out() {
        for (text, shown) in [
            ("SHELLAC__ADMIN__TOKEN=x y\nz", "SHELLAC__ADMIN__TOKEN=***\n*"),
            ("SHELLAC__TRACING__HEADERS__A=x", "SHELLAC__TRACING__HEADERS__A=*"),
            ("SHELLAC__TRACING__HEADERS=a=x", "SHELLAC__TRACING__HEADERS=***"),
            ("SHELLAC__PURGE__TOKEN=${file:/x}", "SHELLAC__PURGE__TOKEN=${file:/x}"),
            ("SHELLAC__KEY__HEADERS=[\"accept\"]", "SHELLAC__KEY__HEADERS=[\"accept\"]"),
            ("SHELLAC__KAFKA__BROKERS=a://u:p@b", "SHELLAC__KAFKA__BROKERS=a://***@b"),
            ("SHELLAC__X", "SHELLAC__X"),
        ] {
            assert_eq!(without_secret_of_variable(text), shown);
        }
    }

    #[test]
    fn the_shipped_file_is_shown_as_it_is() {
        let shipped = include_str!("../../../config.toml");
        for (line, shown) in shipped.lines().zip(without_secrets(shipped).lines()) {
            let is_example = line.contains("uthorization");
            assert!(is_example || line == shown, "{line}\n{shown}");
        }
    }

    proptest! {
        /// Places are bytes of the text: what is shown has the same lines and lengths.
        #[test]
        fn any_text_keeps_its_length_and_its_lines(text in r#"([a-c#=.:\[\]{},"'\\é \n]|token = |[a-c#{]|headers|\$\{|"""|://|@){0,60}"#) {
            let shown = without_secrets(&text);
            prop_assert_eq!(shown.len(), text.len());
            let ends = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            prop_assert_eq!(ends(&shown), ends(&text));
        }

        /// Whatever stands around it.
        #[test]
        fn a_complete_entry_never_shows_its_secret(before in r#"([a-c#=.:\[\]{},'" ]{0,12}\n){0,4}"#) {
            let shown = without_secrets(&format!("{before}\n[admin]\ntoken = \"hunter2\"\n"));
            prop_assert!(!shown.contains("hunter2"), "{}", shown);
        }
    }
}
