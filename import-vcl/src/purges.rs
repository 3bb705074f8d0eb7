//! Purges and bans: who may, and that the rest is built in.

use crate::draft::{ConfigDraft, add};
use crate::remark::StatementFate;
use crate::syntax::{VclAction, VclBranch, VclExpression, VclStatement};

/// Returns whether a branch is for a request that purges.
pub(crate) fn is_about(branch: &VclBranch) -> bool {
    branch.condition.as_ref().is_some_and(names_method)
}

fn names_method(condition: &VclExpression) -> bool {
    match condition {
        VclExpression::Any(parts) | VclExpression::All(parts) => parts.iter().any(names_method),
        VclExpression::Compare(left, operator, right) => {
            let name = left.name().unwrap_or_default();
            let is_method = name == "req.method" || name == "req.request";
            let is_purge = |text: &str| METHODS.iter().any(|method| text.contains(method));
            is_method && !operator.starts_with('!') && right.text().is_some_and(is_purge)
        }
        _ => false,
    }
}

/// Reads a branch: its ACLs are `purge.allow`, and its statements are built in.
pub(crate) fn read(branch: &VclBranch, draft: &mut ConfigDraft) {
    let mut names = Vec::new();
    acls(branch, &mut names);
    let mut is_whole = !names.is_empty();
    for name in &names {
        match draft.networks.get(name).cloned().flatten() {
            Some(networks) => add(&mut draft.general.purge_allow, &networks),
            None => is_whole = false,
        }
    }
    let fate = if is_whole {
        StatementFate::Translated
    } else if names.is_empty() {
        StatementFate::NotTranslated(
            "anybody might purge: name your networks in `purge.allow`, or use the admin listener"
                .to_owned(),
        )
    } else {
        StatementFate::NotTranslated(
            "its ACL was not translated whole: see `purge.allow`".to_owned(),
        )
    };
    draft.note(branch.line, &branch.text, fate);
    for statement in branch.body.iter().flat_map(VclStatement::leaves) {
        let (line, text) = (statement.line, statement.text.as_str());
        let why = match &statement.action {
            VclAction::Return { .. } => "PURGE, and 405 for others",
            VclAction::Invoke { function, .. } if function == "ban" || function == "std.ban" => {
                "BAN as plugins send it: docs/purging.md#plugins-for-other-caches"
            }
            VclAction::Invoke { function, .. } if function.starts_with("xkey.") => {
                "tags: `xkey-purge`, `xkey-softpurge`, `xkey`"
            }
            VclAction::Invoke { function, .. } if function.starts_with("purge.") => {
                "`Shellac-Purge: soft`, or Fastly-Soft-Purge"
            }
            VclAction::Invoke { function, .. } if function == "synthetic" => "the answer counts",
            VclAction::Set { target, .. } if target.starts_with("req.http.n-gone") => {
                "the answer counts"
            }
            VclAction::Set { value: VclExpression::Call(function, _), .. }
                if function.starts_with("xkey.") =>
            {
                "tags: `xkey-purge`, `xkey-softpurge`, `xkey`"
            }
            _ => {
                draft.not_translated(line, text, "inside of a purge");
                continue;
            }
        };
        draft.built_in(line, text, why);
    }
}

fn acls(branch: &VclBranch, names: &mut Vec<String>) {
    if let Some(condition) = &branch.condition {
        compared_with(condition, names);
    }
    for statement in &branch.body {
        if let VclAction::If(branches) = &statement.action {
            for branch in branches {
                acls(branch, names);
            }
        }
    }
}

fn compared_with(condition: &VclExpression, names: &mut Vec<String>) {
    match condition {
        VclExpression::Any(parts) | VclExpression::All(parts) => {
            for part in parts {
                compared_with(part, names);
            }
        }
        VclExpression::Not(inner) => compared_with(inner, names),
        VclExpression::Compare(_, operator, right) if operator.ends_with('~') => {
            if let VclExpression::Name(name) = &**right {
                add(names, std::slice::from_ref(name));
            }
        }
        _ => {}
    }
}

const METHODS: [&str; 6] = ["PURGE", "BAN", "FULLBAN", "REFRESH", "XKEY", "INVALIDATE"];
