//! `synth` and `error`: answers and redirects of our own.

use crate::conditions::{Guard, is_always};
use crate::draft::{ConfigDraft, PendingRule};
use crate::syntax::{VclAction, VclExpression, VclFile, VclStatement};
use crate::toml;

/// Reads `return (synth(status, reason))`.
pub(crate) fn read(
    file: &VclFile,
    statement: &VclStatement,
    arguments: &[VclExpression],
    (guard, pending): (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    if is_always(guard) {
        draft.not_translated(line, text, "every request would be answered so");
        return;
    }
    let number = arguments.first().and_then(VclExpression::literal);
    let status: u16 = number.and_then(|number| number.parse().ok()).unwrap_or(0);
    let reason = arguments.get(1);
    let setting = match status {
        301 | 302 | 303 | 307 | 308 => reason.and_then(template).map(|to| redirect(status, &to)),
        200..=599 if ![204, 205, 206, 304].contains(&status) => {
            let body = reason.and_then(VclExpression::literal).unwrap_or_default();
            let body = toml::text(&body);
            Some(("respond".to_owned(), format!("{{ status = {status}, body = {body} }}")))
        }
        _ => of_number(file, status, reason),
    };
    match setting {
        Some(setting) => {
            pending.settings.push(setting);
            pending.statements.push((line, text.to_owned()));
        }
        None => draft.not_translated(line, text, "neither `respond` nor `redirect` says this"),
    }
}

fn redirect(status: u16, to: &str) -> (String, String) {
    let to = toml::text(to);
    ("redirect".to_owned(), format!("{{ to = {to}, status = {status} }}"))
}

/// Looks for what `vcl_synth` makes of a number that is no status, such as 750.
fn of_number(
    file: &VclFile,
    number: u16,
    reason: Option<&VclExpression>,
) -> Option<(String, String)> {
    let is_answer = |name: &str| name == "vcl_synth" || name == "vcl_error";
    let bodies = file.subroutines.iter().filter(|it| is_answer(&it.name));
    let branches = bodies.flat_map(|it| &it.body).filter_map(|statement| match &statement.action {
        VclAction::If(branches) => Some(branches),
        _ => None,
    });
    let branch = branches.flatten().find(|branch| {
        let Some(VclExpression::Compare(_, operator, right)) = &branch.condition else {
            return false;
        };
        operator == "==" && right.literal().is_some_and(|text| text == number.to_string())
    })?;
    let (mut status, mut to) = (None, None);
    for statement in &branch.body {
        let VclAction::Set { target, value, .. } = &statement.action else { continue };
        match target.to_ascii_lowercase().as_str() {
            "resp.status" | "obj.status" => status = value.literal()?.parse().ok(),
            "resp.http.location" | "obj.http.location" => {
                let is_reason = value
                    .name()
                    .is_some_and(|name| name == "resp.reason" || name == "obj.response");
                to = template(if is_reason { reason? } else { value });
            }
            _ => {}
        }
    }
    let status = status.filter(|status| [301, 302, 303, 307, 308].contains(status));
    Some(redirect(status?, &to?))
}

/// Returns texts, the host and the URL of the request as a template.
fn template(expression: &VclExpression) -> Option<String> {
    match expression {
        VclExpression::Sum(parts) => parts.iter().map(template).collect(),
        VclExpression::Text(text) => Some(text.replace('$', "$$")),
        VclExpression::Name(_) => match expression.name()?.as_str() {
            "req.http.host" => Some("$(host)".to_owned()),
            "req.url" => Some("$(path)?$(query)".to_owned()),
            _ => None,
        },
        _ => None,
    }
}
