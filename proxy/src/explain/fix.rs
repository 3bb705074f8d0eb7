//! Snippets of configuration that would change the answer.

use std::fmt::Write as _;

use crate::cache::explanation::CacheExplanation;
use crate::reason::Reason;

/// Returns the settings that would let such a response be stored, where settings can.
pub(super) fn snippet(reason: Reason, explained: &CacheExplanation) -> Option<String> {
    let path = explained.head.target.original();
    let path = path.split('?').next().unwrap_or_default();
    let rule = |lines: &str| Some(format!("[[rule]]\npath = {}\n{lines}\n", quoted(path)));
    match reason {
        Reason::Cookie => {
            let names: Vec<String> =
                explained.bypass_cookies.iter().map(|name| quoted(name)).collect();
            let names = names.join(", ");
            rule(&format!(
                "cookies.drop = [{names}]     # if the page does not depend on them\n\
                 # cookies.vary_on = [{names}]  # if it does"
            ))
        }
        Reason::SetCookie => rule(
            "set_cookie = \"strip\"     # safe only if the cookie is not needed by anonymous visitors",
        ),
        Reason::NoFreshness | Reason::Status => {
            rule("ttl = \"1m\"                # how long it may be out of date without a purge")
        }
        Reason::NoStore | Reason::Private | Reason::NoCache | Reason::Authorization => rule(
            "ttl = \"1m\"\nforce = true              # only if the page is the same for everyone",
        ),
        Reason::Unclaimed => {
            let host = quoted(explained.head.target.host());
            Some(format!("[origin.NAME]\nservers = [\"HOST:PORT\"]\nhosts = [{host}]\n"))
        }
        _ => None,
    }
}

/// Writes text as a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _infallible = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_of_a_client_stays_within_its_string() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
    }
}
