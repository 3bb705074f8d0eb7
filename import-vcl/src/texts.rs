//! The texts that a regular expression of VCL stands for, where they are few: names of cookies and
//! parameters, hosts, paths.

/// Stands for any characters.
const ANY: char = '\u{1}';
const START: char = '\u{2}';
const END: char = '\u{3}';

/// Returns the names of cookies or parameters that an expression finds, with `*` at the end where
/// it finds all that begin so. `None`: it is about something else.
pub(crate) fn names(regex: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for text in texts(regex)? {
        let text = text.trim_start_matches(START);
        let after = text.rsplit([';', '?', '&']).find(|part| !part.trim().is_empty())?.trim();
        let after = after.trim_start_matches(START);
        let (name, is_whole) = match after.split_once('=') {
            Some((name, _value)) => (name, true),
            None => (after.trim_end_matches(END), after.ends_with(END)),
        };
        let (name, is_prefix) = match name.split_once(ANY) {
            Some((before, _rest)) => (before, true),
            None => (name, !is_whole),
        };
        if name.is_empty() || !name.bytes().all(is_name_byte) {
            return None;
        }
        let name = if is_prefix { format!("{name}*") } else { name.to_owned() };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then_some(names)
}

/// Returns whether an expression on cookies wants a certain value.
pub(crate) fn has_value(regex: &str) -> bool {
    let values = texts(regex)
        .into_iter()
        .flatten()
        .filter_map(|text| text.split_once('=').map(|(_name, value)| value.to_owned()));
    values.into_iter().any(|value| value.chars().any(char::is_alphanumeric))
}

/// Returns the words, in small letters, one of which an expression finds.
pub(crate) fn words(regex: &str) -> Option<Vec<String>> {
    let regex = regex.strip_prefix("(?i)").unwrap_or(regex).replace("(?i:", "(?:");
    let word = |text: String| {
        let word = text.trim_matches([ANY, START, END]);
        let is_word = !word.is_empty() && !word.contains([ANY, START, END]);
        is_word.then(|| word.to_ascii_lowercase())
    };
    texts(&regex)?.into_iter().map(word).collect()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.~!$".contains(&byte)
}

/// Returns the names of parameters that an expression on a URL finds, with the value if it wants a
/// certain one.
pub(crate) fn parameters(regex: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    for text in texts(regex)? {
        let (before, after) = text.rsplit_once(['?', '&'])?;
        if before.chars().any(|it| ![ANY, START].contains(&it)) {
            return None; // a path, or another parameter, has to be there as well
        }
        let (name, value) = after.split_once('=').unwrap_or((after, ""));
        let is_value = !value.is_empty() && !value.contains(ANY);
        let value = if is_value { value.trim_end_matches(END) } else { "*" };
        if name.is_empty() || !name.bytes().all(is_name_byte) || !value.is_ascii() {
            return None;
        }
        let parameter = (name.to_owned(), value.to_owned());
        if !found.contains(&parameter) {
            found.push(parameter);
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Where in a URL a text of an expression is found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UrlPlace {
    /// From the start of the path on. It has a query where anything may stand.
    From(String),
    /// At the end.
    End,
    /// The name of a parameter, and its value, which may be `*`.
    Parameter(String, String),
    /// A word without punctuation.
    Word(String),
    Anywhere,
}

/// Returns where in a URL each text of an expression is found.
pub(crate) fn places(regex: &str) -> Option<Vec<UrlPlace>> {
    let place = |text: String| {
        let bare = text.trim_end_matches([ANY, END]).trim_start_matches(ANY);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_name_byte);
        if let Some(rest) = bare.strip_prefix(START) {
            return UrlPlace::From(rest.replace(ANY, "a?a"));
        }
        match bare.split_once('=') {
            Some((name, value)) if is_name(name) => {
                let is_open = value.is_empty() || value.contains(ANY);
                let value = if is_open { "*" } else { value };
                UrlPlace::Parameter(name.to_owned(), value.to_owned())
            }
            _ if text.ends_with(END) => UrlPlace::End,
            None if is_name(bare) && !bare.contains('.') => UrlPlace::Word(bare.to_owned()),
            _ => UrlPlace::Anywhere,
        }
    };
    Some(texts(regex)?.into_iter().map(place).collect())
}

/// Returns the alternatives of an expression, also of one that is a single group.
pub(crate) fn alternatives(regex: &str) -> Vec<&str> {
    let (mut depth, mut is_class, mut is_escaped) = (0_usize, false, false);
    let (mut parts, mut from, mut closed) = (Vec::new(), 0, None);
    for (at, letter) in regex.char_indices() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match letter {
            '\\' => is_escaped = true,
            '[' => is_class = true,
            ']' => is_class = false,
            _ if is_class => {}
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    closed = closed.or(Some(at));
                }
            }
            '|' if depth == 0 => {
                parts.extend(regex.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(regex.get(from..));
    let inside = regex.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    match inside {
        Some(inside) if closed == Some(regex.len() - 1) => {
            let inside = inside.strip_prefix("?:").unwrap_or(inside);
            if inside.starts_with('?') { parts } else { alternatives(inside) }
        }
        _ => parts,
    }
}

/// Returns the hosts that an expression finds: `example.com`, `*.example.com`.
pub(crate) fn hosts(regex: &str) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    for text in texts(regex.strip_prefix("(?i)").unwrap_or(regex))? {
        let text = text.split_once(':').map_or(text.as_str(), |(host, _port)| host);
        let is_from_start = text.starts_with(START);
        let bare = text.trim_start_matches(START).trim_end_matches(END);
        let below = bare.strip_prefix(ANY).unwrap_or(bare).strip_prefix('.');
        let is_host = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                && !host.contains("..")
                && !host.starts_with('.')
                && !host.ends_with('.')
        };
        let found = match below {
            Some(domain) if is_host(domain) => vec![format!("*.{domain}")],
            None if is_host(bare) && is_from_start => vec![bare.to_owned()],
            None if is_host(bare) => vec![bare.to_owned(), format!("*.{bare}")],
            _ => return None,
        };
        for host in found {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    (!hosts.is_empty()).then_some(hosts)
}

/// Returns an expression on a path as globs, if it is no more than that.
pub(crate) fn globs(regex: &str) -> Option<Vec<String>> {
    let mut globs = Vec::new();
    let mut endings = Vec::new();
    for text in texts(regex)? {
        let is_glob_free = !text.contains(['*', '{', '}', '?', '#', ' ', ',']);
        let is_sound =
            text.chars().all(|it| it.is_ascii_graphic() || [ANY, START, END].contains(&it));
        if !is_glob_free || !is_sound {
            return None;
        }
        if let Some(path) = text.strip_prefix(START) {
            let (path, is_whole) = match path.strip_suffix(END) {
                Some(path) => (path, true),
                None => (path, false),
            };
            let (path, is_whole) = match path.strip_suffix(ANY) {
                Some(path) => (path, false),
                None => (path, is_whole),
            };
            if !path.starts_with('/') || path.contains([ANY, START, END]) {
                return None;
            }
            match is_whole {
                true => globs.push(path.to_owned()),
                false if path.ends_with('/') => globs.push(format!("{path}**")),
                false => return None,
            }
        } else {
            let ending = text.strip_suffix(END)?.strip_prefix('.')?;
            if ending.is_empty() || !ending.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return None;
            }
            endings.push(ending.to_owned());
        }
    }
    match endings.as_slice() {
        [] => {}
        [one] => globs.push(format!("/**/*.{one}")),
        several => globs.push(format!("/**/*.{{{}}}", several.join(","))),
    }
    (!globs.is_empty()).then_some(globs)
}

/// Returns the texts that an expression from start to end stands for.
pub(crate) fn whole(regex: &str) -> Option<Vec<String>> {
    let inner = |text: String| {
        let inner = text.strip_prefix(START)?.strip_suffix(END)?;
        (!inner.contains([ANY, START, END])).then(|| inner.to_owned())
    };
    texts(regex)?.into_iter().map(inner).collect()
}

/// Returns the beginnings of texts that an expression from the start on stands for.
pub(crate) fn beginnings(regex: &str) -> Option<Vec<String>> {
    let inner = |text: String| {
        let inner = text.trim_start_matches(START).trim_end_matches([ANY, END]);
        (!inner.contains([ANY, START, END])).then(|| inner.to_owned())
    };
    texts(regex)?.into_iter().map(inner).collect()
}

/// Returns whether an expression is about punctuation alone: it tidies up after others.
pub(crate) fn is_punctuation(regex: &str) -> bool {
    let bare = regex.replace("\\s", "").replace("(?i)", "");
    !bare.chars().any(char::is_alphanumeric)
}

fn texts(regex: &str) -> Option<Vec<String>> {
    let mut reader = RegexReader { rest: regex.chars().collect::<Vec<_>>(), at: 0, depth: 0 };
    let texts = reader.alternatives()?;
    (reader.at == reader.rest.len()).then_some(texts)
}

struct RegexReader {
    rest: Vec<char>,
    at: usize,
    depth: usize,
}

impl RegexReader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn accept(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn alternatives(&mut self) -> Option<Vec<String>> {
        let mut all = self.sequence()?;
        while self.accept('|') {
            all.extend(self.sequence()?);
            if all.len() > TEXTS_MAX {
                return None;
            }
        }
        Some(all)
    }

    fn sequence(&mut self) -> Option<Vec<String>> {
        let mut texts = vec![String::new()];
        while let Some(letter) = self.peek().filter(|letter| !")|".contains(*letter)) {
            self.at += 1;
            let atom = self.atom(letter)?;
            let atom = self.quantified(atom)?;
            let mut longer = Vec::new();
            for text in &texts {
                for next in &atom {
                    let is_one = text.ends_with(ANY) && next.starts_with(ANY);
                    let next = if is_one { next.trim_start_matches(ANY) } else { next };
                    longer.push(format!("{text}{next}"));
                }
            }
            if longer.len() > TEXTS_MAX || longer.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
                return None;
            }
            texts = longer;
        }
        Some(texts)
    }

    fn atom(&mut self, letter: char) -> Option<Vec<String>> {
        let one = |letter: char| Some(vec![letter.to_string()]);
        match letter {
            '^' => one(START),
            '$' => one(END),
            '.' => one(ANY),
            '(' => self.group(),
            '[' => self.class(),
            '\\' => {
                let escaped = self.peek()?;
                self.at += 1;
                match escaped {
                    's' | 'b' => Some(vec![String::new()]),
                    'w' | 'd' | 'S' => one(ANY),
                    letter if letter.is_ascii_alphanumeric() => None,
                    letter => one(letter),
                }
            }
            '*' | '+' | '?' | '{' | '}' | ']' => None,
            letter if letter.is_ascii() && !letter.is_control() => one(letter),
            _ => None,
        }
    }

    fn group(&mut self) -> Option<Vec<String>> {
        if self.accept('?') && !self.accept(':') {
            return None;
        }
        if self.depth == GROUPS_MAX {
            return None;
        }
        self.depth += 1;
        let texts = self.alternatives()?;
        self.depth -= 1;
        self.accept(')').then_some(texts)
    }

    fn class(&mut self) -> Option<Vec<String>> {
        let is_negated = self.accept('^');
        let (mut letters, mut is_wide, mut is_first) = (Vec::new(), is_negated, true);
        loop {
            let letter = self.peek()?;
            self.at += 1;
            match letter {
                ']' if !is_first => break,
                '\\' => {
                    let escaped = self.peek()?;
                    self.at += 1;
                    match escaped {
                        's' => {}
                        letter if letter.is_ascii_alphanumeric() => is_wide = true,
                        letter => letters.push(letter),
                    }
                }
                '-' if !is_first && self.peek() != Some(']') => is_wide = true,
                ' ' => {}
                letter => letters.push(letter),
            }
            is_first = false;
        }
        if is_wide || letters.len() > CLASS_LETTERS_MAX {
            return Some(vec![ANY.to_string()]);
        }
        if letters.is_empty() {
            return Some(vec![String::new()]); // of spaces alone
        }
        Some(letters.into_iter().map(String::from).collect())
    }

    fn quantified(&mut self, atom: Vec<String>) -> Option<Vec<String>> {
        let is_space = atom.iter().all(|text| text.trim().is_empty());
        let mut atom = atom;
        match self.peek() {
            Some('?') => {
                self.at += 1;
                if is_space {
                    return Some(vec![String::new()]);
                }
                atom.push(String::new());
            }
            Some('*' | '+') => {
                self.at += 1;
                self.accept('?');
                return Some(vec![if is_space { String::new() } else { ANY.to_string() }]);
            }
            Some('{') => {
                while self.peek()? != '}' {
                    self.at += 1;
                }
                self.at += 1;
                return Some(vec![ANY.to_string()]);
            }
            _ => {}
        }
        Some(atom)
    }
}

const TEXTS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 256;
const CLASS_LETTERS_MAX: usize = 4;
const GROUPS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(read: fn(&str) -> Option<Vec<String>>, regex: &str) -> String {
        read(regex).map_or_else(|| "none".to_owned(), |found| found.join(" "))
    }

    #[test]
    fn names_are_found_in_what_vcl_writes_around_them() {
        for (regex, expected) in [
            ("(^|;\\s*)(_ga|_gid)=[^;]*", "_ga _gid"),
            ("(^|; ?)(__utm.|has_js)=[^;]*", "__utm* has_js"),
            ("wordpress_logged_in|comment_author", "wordpress_logged_in* comment_author*"),
            ("([?&])(utm_[a-z]+|gclid)=([A-z0-9_\\-\\.%25]+)", "utm_* gclid"),
            ("&(fbclid)=([A-z0-9_\\-\\.%25]+)", "fbclid"),
            (";(SESS[a-z0-9]+|NO_CACHE)=", "SESS* NO_CACHE"),
            ("^.*?X-Magento-Vary=([^;]+);*.*$", "none"),
            ("^PHPSESSID$", "PHPSESSID"),
            ("[a-z]+_session", "none"),
            ("(?=x)y", "none"),
        ] {
            assert_eq!(found(names, regex), expected, "{regex}");
        }
    }

    #[test]
    fn paths_become_globs_where_they_are_no_more() {
        for (regex, expected) in [
            ("^/wp-admin/", "/wp-admin/**"),
            ("^/(cart|checkout)/.*", "/cart/** /checkout/**"),
            ("^/(index\\.php)?$", "/index.php /"),
            ("\\.(css|js|woff2?)$", "/**/*.{css,js,woff2,woff}"),
            ("\\.ico$", "/**/*.ico"),
            ("^/admin", "none"),
            ("^/robots.txt$", "none"),
            ("wp-login", "none"),
        ] {
            assert_eq!(found(globs, regex), expected, "{regex}");
        }
    }

    #[test]
    fn hosts_are_found_with_and_without_their_subdomains() {
        for (regex, expected) in [
            ("^(www\\.)?example\\.com$", "www.example.com example.com"),
            ("(?i)^(.+\\.)?example\\.com(:[0-9]+)?$", "*.example.com example.com"),
            ("example\\.com$", "example.com *.example.com"),
            ("\\.example\\.com$", "*.example.com"),
            ("^a.example\\.com$", "none"),
        ] {
            assert_eq!(found(hosts, regex), expected, "{regex}");
        }
    }
}
