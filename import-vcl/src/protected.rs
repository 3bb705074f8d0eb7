//! The conditions under which no response is stored, whatever the configuration says.

use crate::draft::Overrides;
use crate::syntax::VclExpression;
use crate::texts;

/// Returns what is left of a condition without the alternatives under which no response is stored;
/// `None` where nothing is. `end` is the line where their branch ends: what VCL does later would
/// have them stored here.
pub(crate) fn without(
    condition: &VclExpression,
    overrides: &Overrides,
    end: usize,
) -> Option<VclExpression> {
    if let VclExpression::Any(parts) = condition {
        let left = parts.iter().filter_map(|part| without(part, overrides, end));
        let mut left: Vec<VclExpression> = left.collect();
        return match left.len() {
            0 | 1 => left.pop(),
            _ => Some(VclExpression::Any(left)),
        };
    }
    (!is_protected(condition, overrides, end)).then(|| condition.clone())
}

fn is_protected(condition: &VclExpression, overrides: &Overrides, end: usize) -> bool {
    let is_later = |lines: &[usize]| lines.iter().any(|line| *line > end);
    match condition {
        VclExpression::Any(parts) => parts.iter().all(|it| is_protected(it, overrides, end)),
        VclExpression::All(parts) => parts.iter().any(|it| is_protected(it, overrides, end)),
        VclExpression::Name(_) => match condition.name().as_deref() {
            Some("bereq.uncacheable") => true,
            Some("beresp.http.set-cookie") => !is_later(&overrides.cookies),
            _ => false,
        },
        VclExpression::Compare(left, operator, right) => {
            let all_of = |words: &[&str]| match (operator.as_str(), right.text()) {
                ("~", Some(regex)) => texts::words(regex)
                    .is_some_and(|found| found.iter().all(|it| words.contains(&it.as_str()))),
                ("==", Some(text)) => words.contains(&text.to_ascii_lowercase().as_str()),
                _ => false,
            };
            match left.name().as_deref() {
                Some("beresp.ttl") => {
                    let number = right.literal().unwrap_or_default();
                    let is_zero = number.trim_end_matches(char::is_alphabetic).trim() == "0";
                    is_zero
                        && ["<=", "<", "=="].contains(&operator.as_str())
                        && !is_later(&overrides.lifetimes)
                }
                Some("beresp.http.cache-control") => all_of(&["private", "no-store", "no-cache"]),
                Some("beresp.http.surrogate-control") => all_of(&["no-store"]),
                Some("beresp.http.vary") => all_of(&["*"]),
                Some("beresp.http.set-cookie") => operator == "~" && !is_later(&overrides.cookies),
                _ => false,
            }
        }
        _ => false,
    }
}
