//! Reads Rust text as far as the checks need it: without comments, literals and tests.

/// The text with comments, the content of literals and what is only compiled for tests blanked
/// out. Lines stay where they are.
pub(super) fn production(text: &str) -> String {
    let mut code: Vec<char> = without_comments(text);
    blank_tests(&mut code);
    code.into_iter().collect()
}

/// Modules that are declared for tests only: `#[cfg(test)] mod name;`.
pub(super) fn test_modules(text: &str) -> Vec<String> {
    let code: String = without_comments(text).into_iter().collect();
    code.split("#[cfg(test)]")
        .skip(1)
        .filter_map(|after| {
            let words: Vec<&str> = after.split_whitespace().take(4).collect();
            let at = words.iter().position(|word| *word == "mod")?;
            words.get(at + 1)?.strip_suffix(';').map(ToOwned::to_owned)
        })
        .collect()
}

fn without_comments(text: &str) -> Vec<char> {
    let mut code: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < code.len() {
        let next = code.get(at + 1).copied().unwrap_or(' ');
        let end = match (code[at], next) {
            ('/', '/') => line_end(&code, at),
            ('/', '*') => comment_end(&code, at),
            ('"', _) => string_end(&code, at),
            ('r', '"' | '#') if !is_word_before(&code, at) => match raw_string_end(&code, at) {
                Some(end) => end,
                None => at,
            },
            ('\'', _) => char_end(&code, at),
            _ => at,
        };
        for letter in &mut code[at..end] {
            if *letter != '\n' {
                *letter = ' ';
            }
        }
        at = end.max(at + 1);
    }
    code
}

fn is_word_before(code: &[char], at: usize) -> bool {
    at > 0 && (code[at - 1].is_alphanumeric() || code[at - 1] == '_')
}

fn line_end(code: &[char], at: usize) -> usize {
    (at..code.len()).find(|at| code[*at] == '\n').unwrap_or(code.len())
}

fn comment_end(code: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at + 1 < code.len() {
        match (code[at], code[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

fn string_end(code: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < code.len() && code[at] != '"' {
        at += if code[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(code.len())
}

fn raw_string_end(code: &[char], at: usize) -> Option<usize> {
    let hashes = code[at + 1..].iter().take_while(|letter| **letter == '#').count();
    let mut inside = at + 1 + hashes;
    if code.get(inside) != Some(&'"') {
        return None;
    }
    loop {
        inside += 1;
        if *code.get(inside)? == '"'
            && (1..=hashes).all(|hash| code.get(inside + hash) == Some(&'#'))
        {
            return Some(inside + hashes + 1);
        }
    }
}

/// The end of a character; a lifetime has none.
fn char_end(code: &[char], at: usize) -> usize {
    match (code.get(at + 1), code.get(at + 2)) {
        (Some('\\'), _) => {
            (at + 3..code.len()).find(|at| code[*at] == '\'').map_or(code.len(), |end| end + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

fn blank_tests(code: &mut [char]) {
    let marks: [Vec<char>; 2] =
        ["#[cfg(test)]", "#[cfg(all(test"].map(|mark| mark.chars().collect());
    let mut at = 0;
    while at < code.len() {
        if !marks.iter().any(|mark| code[at..].starts_with(mark)) {
            at += 1;
            continue;
        }
        let end = item_end(code, at);
        for letter in &mut code[at..end] {
            if *letter != '\n' {
                *letter = ' ';
            }
        }
        at = end;
    }
}

/// The end of the item, statement or field that the attribute at `at` is put before.
fn item_end(code: &[char], at: usize) -> usize {
    let mut depth = 0_i32;
    let mut at = at;
    loop {
        // attributes
        while at < code.len() && code[at].is_whitespace() {
            at += 1;
        }
        if code.get(at) != Some(&'#') {
            break;
        }
        while at < code.len() {
            depth += i32::from(code[at] == '[') - i32::from(code[at] == ']');
            at += 1;
            if depth == 0 && code[at - 1] == ']' {
                break;
            }
        }
    }
    let head: String = code[at..(at + 40).min(code.len())].iter().collect();
    let is_field = head
        .trim_start_matches("pub(crate) ")
        .trim_start_matches("pub(super) ")
        .trim_start_matches("pub ")
        .split_once(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .is_some_and(|(_, rest)| head.contains(':') && rest.is_empty() || head.starts_with(':'));
    let mut depth = 0_i32;
    while at < code.len() {
        match code[at] {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth <= 0 {
                    return at + usize::from(depth == 0);
                }
            }
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && is_field => return at + 1,
            _ => {}
        }
        at += 1;
    }
    code.len()
}

/// A word or a sign of code.
pub(super) fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = if is_word(first) {
            rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())
        } else if rest.starts_with("::") || rest.starts_with("->") || rest.starts_with("=>") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}
