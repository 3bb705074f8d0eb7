//! Templates of rules, written out for one request.

use settings::{RuleMatch, RuleTemplate, TemplatePiece};

use super::super::matcher::without_query;

/// Writes a template out: captures are those of the rule's path, whose path this is. `None` where a
/// field of a response is asked for.
pub(super) fn of_request(
    template: &RuleTemplate,
    rule: &RuleMatch,
    host: &str,
    target: &str,
) -> Option<String> {
    let (path, query) = without_query(target);
    let text = template.render(&rule.captures(path), |piece| match piece {
        TemplatePiece::Host => Some(host.as_bytes()),
        TemplatePiece::Path => Some(path.as_bytes()),
        TemplatePiece::Query => Some(query.unwrap_or_default().as_bytes()),
        _ => None,
    })?;
    String::from_utf8(text).ok()
}
