//! Keeps tokens out of problems, which show the lines around a fault.

/// Returns the text with everything after `token =` blacked out, byte for byte, up to the end of
/// its line.
///
/// It works on the text and not on the tree, so that a file that cannot be parsed keeps its
/// secrets.
pub(super) fn without_tokens(text: &str) -> String {
    text.split_inclusive('\n').map(without_token).collect()
}

fn without_token(line: &str) -> String {
    match token_start(line).and_then(|start| line.split_at_checked(start)) {
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
    let mut ends = lower.match_indices("token").map(|(start, word)| start + word.len());
    ends.find_map(|end| {
        let rest = lower.get(end..)?.trim_start_matches(['"', '\'', ' ', '\t']);
        let value = rest.strip_prefix('=')?.trim_start();
        Some(lower.len() - value.len())
    })
}

/// Returns whether this is just a `${...}`, which tells no secret.
fn is_reference(token: &str) -> bool {
    token.trim_start_matches(['"', '\'']).starts_with("${")
}

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
            ("# the token is a secret\ntokens = 3\n", "# the token is a secret\ntokens = 3\n"),
        ] {
            assert_eq!(without_tokens(text), shown);
        }
    }
}
