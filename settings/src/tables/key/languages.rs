//! `key.languages`: the languages that a site has.

use crate::value::Fault;

/// Reads a language tag (RFC 5646).
pub(super) fn language(text: &str) -> Result<String, Fault> {
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if begins && text.len() <= TAG_BYTES_MAX && text.split('-').all(is_subtag) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("must be a language tag, and `{text}` is none"), "no language");
    Err(if text.contains('_') {
        fault.help(format!("did you mean \"{}\"?", text.replace('_', "-")))
    } else {
        fault.help("\"de\" or \"fr-CA\"")
    })
}

const TAG_BYTES_MAX: usize = 35;
