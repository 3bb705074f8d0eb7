//! Keeps tokens out of problems, which show the lines around a fault.

/// Returns the text with everything after `token =`, and the values of `[tracing.headers]`, blacked
/// out, byte for byte, up to the end of the line.
///
/// It works on the text and not on the tree, so that a file that cannot be parsed keeps its
/// secrets.
pub(super) fn without_tokens(text: &str) -> String {
    let mut is_secret_table = false;
    let line = |line: &str| {
        if line.trim_start().starts_with('[') {
            let name: String = line.chars().filter(|char| !char.is_whitespace()).collect();
            is_secret_table = name.to_ascii_lowercase().starts_with("[tracing.headers]");
        }
        let start = if is_secret_table { line.find('=').map(|at| at + 1) } else { None };
        without_token(line, start.or_else(|| token_start(line)))
    };
    text.split_inclusive('\n').map(line).collect()
}

fn without_token(line: &str, start: Option<usize>) -> String {
    match start.and_then(|start| line.split_at_checked(start)) {
        Some((before, token)) if !is_reference(token) => {
            let blacked: String = token.chars().map(blacked).collect();
            format!("{before}{blacked}")
        }
        _ => line.to_owned(),
    }
}

/// Returns the start of the value of a `token`, in a file or in an environment variable.
fn token_start(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    // `headers = {...}`, or `SHELLAC__TRACING__HEADERS__NAME=...`.
    let of_headers = || {
        if lower.starts_with(HEADER_VARIABLE) {
            return lower.find('=').map(|at| at + 1);
        }
        let (_, rest) = lower.split_once("headers")?;
        let table = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('{')?;
        Some(lower.len() - table.len())
    };
    if let Some(start) = of_headers() {
        return Some(start);
    }
    let mut ends = lower.match_indices("token").map(|(start, word)| start + word.len());
    ends.find_map(|end| {
        let rest = lower.get(end..)?.trim_start_matches(['"', '\'', ' ', '\t']);
        let value = rest.strip_prefix('=')?.trim_start();
        Some(lower.len() - value.len())
    })
}

/// Returns whether this is just a `${...}`, which tells no secret.
fn is_reference(token: &str) -> bool {
    token.trim_start_matches(['"', '\'', ' ']).starts_with("${")
}

const HEADER_VARIABLE: &str = "shellac__tracing__headers";

fn blacked(char: char) -> String {
    if char == '\n' { char.to_string() } else { "*".repeat(char.len_utf8()) }
}

#[cfg(test)]
mod tests {
    use super::without_tokens;

    #[test]
    fn only_what_follows_a_token_is_blacked_out() {
        for (text, shown) in [
            ("a = 1\ntoken = \"x\"\nb = 2\n", "a = 1\ntoken = ***\nb = 2\n"),
            ("SHELLAC__ADMIN__TOKEN=hunter2", "SHELLAC__ADMIN__TOKEN=*******"),
            ("admin = { \"token\" = 'é' }", "admin = { \"token\" = ******"),
            ("token = \"${file:/run/x}\"", "token = \"${file:/run/x}\""),
            ("headers = { a = \"x\" }\n", "headers = {**********\n"),
            ("headers = [\"accept\"]\n", "headers = [\"accept\"]\n"),
            (
                "[tracing.headers]\na = \"x\"\nb = \"${file:/y}\"\n[key]\nc = 1\n",
                "[tracing.headers]\na =****\nb = \"${file:/y}\"\n[key]\nc = 1\n",
            ),
            ("SHELLAC__TRACING__HEADERS__A=x", "SHELLAC__TRACING__HEADERS__A=*"),
            ("# the token is a secret\ntokens = 3\n", "# the token is a secret\ntokens = 3\n"),
        ] {
            assert_eq!(without_tokens(text), shown);
        }
    }
}
