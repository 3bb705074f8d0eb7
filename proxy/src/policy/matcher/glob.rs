//! Globs without braces as regular expressions.

/// Splits a glob into the characters before its first `*`, and the rest.
pub(super) fn split(glob: &str) -> (&str, &str) {
    let end = glob.find('*').unwrap_or(glob.len());
    glob.split_at_checked(end).unwrap_or((glob, ""))
}

/// Writes the rest of a glob as the regular expression of the rest of a path.
pub(super) fn regex(rest: &str) -> String {
    let mut regex = String::from("(?s-u)");
    let mut rest = rest;
    while let Some(first) = rest.chars().next() {
        let (length, meaning) = match first {
            '*' if rest.starts_with("**/") => (3, "(?:[^/]*/)*"),
            '*' if rest.starts_with("**") => (2, ".*"),
            '*' => (1, "[^/]*"),
            literal => {
                if !literal.is_ascii_alphanumeric() && literal != '/' {
                    regex.push('\\');
                }
                regex.push(literal);
                (literal.len_utf8(), "")
            }
        };
        regex.push_str(meaning);
        rest = rest.get(length..).unwrap_or_default();
    }
    regex.push_str(r"\z");
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_is_split_before_what_stands_for_anything() {
        assert_eq!(split("/a/*.js"), ("/a/", "*.js"));
        assert_eq!(split("/a"), ("/a", ""));
        assert_eq!(split("/**"), ("/", "**"));
    }

    #[test]
    fn stars_stay_in_a_segment_and_two_of_them_do_not() {
        assert_eq!(regex("*.js"), r"(?s-u)[^/]*\.js\z");
        assert_eq!(regex("**/a"), r"(?s-u)(?:[^/]*/)*a\z");
        assert_eq!(regex("*/**"), r"(?s-u)[^/]*/.*\z");
        assert_eq!(regex("x{*,"), r"(?s-u)x\{[^/]*\,\z");
    }
}
