//! `vcl_backend_response`, `vcl_fetch` and `vcl_deliver`: rules for responses.

use crate::backends::duration;
use crate::conditions::{Guard, all, always, is_always, negated};
use crate::draft::{ConfigDraft, DraftRule, Overrides, PendingRule};
use crate::guard::guard;
use crate::protected;
use crate::receive::not_translated;
use crate::remark::StatementFate;
use crate::syntax::{VclAction, VclBranch, VclExpression, VclFile, VclStatement};
use crate::toml;

pub(crate) fn read(file: &VclFile, draft: &mut ConfigDraft) {
    for subroutine in &file.subroutines {
        note_overrides(&subroutine.body, &mut draft.overrides);
    }
    let (mut fetched, mut delivered) = (Vec::new(), Vec::new());
    for subroutine in &file.subroutines {
        match subroutine.name.as_str() {
            "vcl_backend_response" | "vcl_fetch" => {
                block(file, &subroutine.body, (&always(), 0), &mut fetched, draft);
            }
            "vcl_deliver" => block(file, &subroutine.body, (&always(), 0), &mut delivered, draft),
            "vcl_backend_fetch" => request(&subroutine.body, draft),
            "vcl_recv" | "vcl_hash" | "vcl_init" => {}
            name if name.starts_with("vcl_") => others(name, &subroutine.body, draft),
            _ => {}
        }
    }
    // The last assignment decides in VCL, the first rule here.
    fetched.reverse();
    delivered.reverse();
    draft.fetched = fetched;
    draft.delivered = delivered;
}

fn block(
    file: &VclFile,
    body: &[VclStatement],
    (outer, depth): (&Guard, usize),
    rules: &mut Vec<DraftRule>,
    draft: &mut ConfigDraft,
) {
    let mut guard = outer.clone();
    let mut pending = PendingRule::default();
    let is_uncacheable = body.iter().any(says_uncacheable);
    for statement in body {
        draft.steps += 1;
        if draft.is_full() || rules.len() > RULES_MAX {
            draft.not_translated(statement.line, &statement.text, "too much to follow");
            return;
        }
        match &statement.action {
            VclAction::If(branches) => {
                rules.extend(draft.rules_of(std::mem::take(&mut pending), &guard));
                guard = chain(file, branches, (&guard, depth), rules, draft);
            }
            VclAction::Call(name) if depth < CALLS_MAX => {
                rules.extend(draft.rules_of(std::mem::take(&mut pending), &guard));
                draft.note(statement.line, &statement.text, StatementFate::Translated);
                for called in file.subroutines.iter().filter(|it| it.name == *name) {
                    block(file, &called.body, (&guard, depth + 1), rules, draft);
                }
            }
            _ => leaf(statement, (&guard, &mut pending), is_uncacheable, draft),
        }
    }
    rules.extend(draft.rules_of(pending, &guard));
}

fn note_overrides(body: &[VclStatement], overrides: &mut Overrides) {
    let is_uncacheable = body.iter().any(says_uncacheable);
    for statement in body {
        match &statement.action {
            VclAction::If(branches) => {
                for branch in branches {
                    note_overrides(&branch.body, overrides);
                }
            }
            VclAction::Set { target, .. }
                if target.eq_ignore_ascii_case("beresp.ttl") && !is_uncacheable =>
            {
                overrides.lifetimes.push(statement.line);
            }
            VclAction::Unset(target) if target.eq_ignore_ascii_case("beresp.http.set-cookie") => {
                overrides.cookies.push(statement.line);
            }
            _ => {}
        }
    }
}

fn says_uncacheable(statement: &VclStatement) -> bool {
    match &statement.action {
        VclAction::Set { target, .. } => target == "beresp.uncacheable",
        VclAction::Return { action, .. } => is_pass(action),
        _ => false,
    }
}

fn is_pass(action: &str) -> bool {
    ["pass", "hit_for_pass"].contains(&action)
}

/// Reads branches, and returns the guard of what comes after them: branches that end are left out.
fn chain(
    file: &VclFile,
    branches: &[VclBranch],
    (outer, depth): (&Guard, usize),
    rules: &mut Vec<DraftRule>,
    draft: &mut ConfigDraft,
) -> Guard {
    let mut rest = Ok(outer.clone());
    let mut after = outer.clone();
    let mut found: Vec<Vec<DraftRule>> = Vec::new();
    for (place, branch) in branches.iter().enumerate() {
        let left = match (&branch.condition, end_of_keeping_out(branch)) {
            (Some(condition), Some(end)) => protected::without(condition, &draft.overrides, end),
            (condition, _) => condition.clone(),
        };
        let why = match &branch.condition {
            Some(_) if left.is_none() => Some(
                "what the response forbids is not stored, and remembered for cache.uncacheable_for",
            ),
            _ => built_in(branch),
        };
        if let Some(why) = why {
            for leaf in branch.body.iter().flat_map(VclStatement::leaves) {
                draft.built_in(leaf.line, &leaf.text, why);
            }
            continue;
        }
        let own = match &left {
            Some(condition) => guard(condition, &draft.networks),
            None => Ok(always()),
        };
        let earlier = branches.get(..place).unwrap_or_default();
        if rest.is_err() && earlier.iter().all(|earlier| sets_all_of(earlier, branch)) {
            rest = Ok(outer.clone()); // of what both set, the rule that comes first decides
        }
        let mut own_rules = Vec::new();
        match rest.clone().and_then(|rest| own.clone().and_then(|own| all(&rest, &own))) {
            Ok(both) if both.is_empty() => {
                for leaf in branch.body.iter().flat_map(VclStatement::leaves) {
                    draft.built_in(leaf.line, &leaf.text, "there is no restart, and no ESI");
                }
            }
            Ok(both) => block(file, &branch.body, (&both, depth), &mut own_rules, draft),
            Err(why) => not_translated(branch, &why, draft),
        }
        found.push(own_rules);
        let is_known = own.is_ok();
        let others = own.and_then(|own| negated(&own));
        if branch.ends() {
            let shorter = others.clone().and_then(|others| all(&after, &others));
            match shorter {
                Ok(shorter) => after = shorter,
                Err(_none) if !is_known => {}
                Err(_none) => draft.note(
                    branch.line,
                    &branch.text,
                    StatementFate::Differs(
                        "VCL ends here; later rules are for these responses, too".into(),
                    ),
                ),
            }
        }
        rest = rest.and_then(|rest| others.and_then(|others| all(&rest, &others)));
        rest = rest.map_err(|why| format!("a branch after one that cannot be excluded: {why}"));
    }
    // The list is turned over when all is read: then the first branch comes first.
    rules.extend(found.into_iter().rev().flatten());
    after
}

/// Returns whether all that a branch sets, another one sets as well.
fn sets_all_of(other: &VclBranch, branch: &VclBranch) -> bool {
    let targets = |branch: &VclBranch| -> Option<Vec<String>> {
        let of = |statement: &VclStatement| match &statement.action {
            VclAction::Set { target, .. } | VclAction::Unset(target) => {
                Some(target.to_ascii_lowercase())
            }
            _ => None,
        };
        branch.body.iter().map(of).collect()
    };
    match (targets(other), targets(branch)) {
        (Some(others), Some(own)) => own.iter().all(|target| others.contains(target)),
        _ => false,
    }
}

/// Returns the last line of a branch that does nothing but keep responses out of the cache.
fn end_of_keeping_out(branch: &VclBranch) -> Option<usize> {
    let leaves: Vec<_> = branch.body.iter().flat_map(VclStatement::leaves).collect();
    let forbids = |leaf: &&VclStatement| match &leaf.action {
        VclAction::Set { target, .. } => {
            target == "beresp.uncacheable" || target == "beresp.ttl" || target == "beresp.grace"
        }
        VclAction::Return { .. } => true,
        _ => false,
    };
    let is_meant = leaves.iter().all(forbids) && branch.body.iter().any(says_uncacheable);
    let end = leaves.iter().map(|leaf| leaf.line).max();
    end.filter(|_| is_meant)
}

/// Says why a branch changes nothing: the cache does it by itself.
fn built_in(branch: &VclBranch) -> Option<&'static str> {
    let variables = branch.condition.as_ref()?.variables();
    let leaves: Vec<_> = branch.body.iter().flat_map(VclStatement::leaves).collect();
    let is_shown = |leaf: &&VclStatement| match &leaf.action {
        VclAction::Set { target, .. } => {
            target.to_ascii_lowercase().starts_with("resp.http.x-cache")
        }
        VclAction::Unset(target) => target.to_ascii_lowercase().starts_with("resp.http.x-cache"),
        _ => false,
    };
    if variables.iter().any(|name| name == "obj.hits" || name == "resp.http.x-varnish")
        && leaves.iter().all(is_shown)
    {
        return Some("Cache-Status says it");
    }
    let is_of_edge_side = |leaf: &&VclStatement| match &leaf.action {
        VclAction::Set { target, .. } => target == "beresp.do_esi",
        VclAction::Unset(target) => target.eq_ignore_ascii_case("beresp.http.surrogate-control"),
        _ => false,
    };
    if variables.iter().any(|name| name.contains("surrogate-control"))
        && leaves.iter().all(is_of_edge_side)
    {
        return Some("Surrogate-Control is read, and there is no ESI");
    }
    None
}

fn leaf(
    statement: &VclStatement,
    (guard, pending): (&Guard, &mut PendingRule),
    is_uncacheable: bool,
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    match &statement.action {
        VclAction::Set { target, is_plain, value } => {
            let target = target.to_ascii_lowercase();
            match field(&target) {
                Some(field) => set_field(statement, (field, value), pending, draft),
                None if !is_plain => {
                    draft.not_translated(line, text, "lifetimes are not calculated");
                }
                None => set(statement, (&target, value), (guard, pending), is_uncacheable, draft),
            }
        }
        VclAction::Unset(target) => match field(&target.to_ascii_lowercase()) {
            Some("set-cookie") if target.to_ascii_lowercase().starts_with("resp.") => {
                let why = "`set_cookie = \"strip\"` would have these responses stored as well";
                draft.not_translated(line, text, why);
            }
            Some("set-cookie") => pending.does(statement, "set_cookie", "\"strip\"".to_owned()),
            Some("cache-control" | "expires" | "pragma") => draft.built_in(
                line,
                text,
                "`ttl` holds whatever they say, and `browser_ttl` tells clients another lifetime",
            ),
            Some(name) if SHOWN.contains(&name) => {
                draft.built_in(
                    line,
                    text,
                    "tags, Via and Age are taken off or written by the proxy",
                );
            }
            Some(name) => pending.does(statement, "response_headers.remove", name.to_owned()),
            None => draft.not_translated(line, text, "no equivalent"),
        },
        VclAction::Return { action, .. } => match action.as_str() {
            "deliver" | "" => draft.built_in(line, text, "delivered"),
            action if is_pass(action) => pending.does(statement, "uncacheable", "true".to_owned()),
            "retry" | "restart" => {
                draft.not_translated(line, text, "`retries` and `retry_on` of [origin.NAME]");
            }
            _ => draft.not_translated(line, text, "no equivalent"),
        },
        VclAction::Invoke { function, .. } if function == "std.collect" => {
            draft.built_in(line, text, "several lines of a field are one");
        }
        _ => draft.not_translated(line, text, "no equivalent"),
    }
}

fn field(target: &str) -> Option<&str> {
    target.strip_prefix("beresp.http.").or_else(|| target.strip_prefix("resp.http."))
}

fn set(
    statement: &VclStatement,
    (target, value): (&str, &VclExpression),
    (guard, pending): (&Guard, &mut PendingRule),
    is_uncacheable: bool,
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    let lifetime = value.literal().as_deref().and_then(duration);
    match (target, lifetime) {
        ("beresp.ttl", _) if is_uncacheable => {
            draft.built_in(
                line,
                text,
                "what is uncacheable is remembered for cache.uncacheable_for",
            );
        }
        ("beresp.ttl", Some(lifetime)) => pending.does(statement, "ttl", lifetime),
        ("beresp.grace", Some(lifetime)) => {
            pending.settings.push(("stale_while_revalidate".to_owned(), lifetime.clone()));
            pending.does(statement, "stale_if_error", lifetime);
        }
        ("beresp.keep", Some(lifetime)) if is_always(guard) => {
            draft.general.keep = Some(lifetime);
            draft.note(line, text, StatementFate::Translated);
        }
        ("beresp.keep", Some(lifetime)) => pending.does(statement, "keep", lifetime),
        ("beresp.uncacheable", _) => pending.does(statement, "uncacheable", "true".to_owned()),
        ("beresp.do_gzip", _) => {
            draft.general.is_compressed = true;
            draft.note(
                line,
                text,
                StatementFate::Differs("[compression] is for all texts".to_owned()),
            );
        }
        ("beresp.do_stream", _) => draft.built_in(line, text, "responses are streamed"),
        ("beresp.do_esi", _) => draft.not_translated(line, text, "there is no ESI"),
        ("beresp.storage" | "beresp.storage_hint", _) => {
            draft.not_translated(line, text, "there is one store: [storage]");
        }
        _ => draft.not_translated(line, text, "no equivalent"),
    }
}

fn set_field(
    statement: &VclStatement,
    (field, value): (&str, &VclExpression),
    pending: &mut PendingRule,
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    let variables = value.variables();
    let names_url =
        |name: &String| ["bereq.url", "bereq.http.host", "req.url"].contains(&name.as_str());
    if field.starts_with("x-cache") || variables.iter().any(|name| name == "obj.hits") {
        draft.built_in(line, text, "Cache-Status says it");
        return;
    }
    if !variables.is_empty() && variables.iter().all(names_url) {
        draft.built_in(line, text, "purges by URL and host need no field of the response");
        return;
    }
    let Some(value) = value.literal() else {
        draft.not_translated(line, text, "fields are set to texts only");
        return;
    };
    if field == "cache-control" {
        let age = value.split(',').find_map(|part| part.trim().strip_prefix("max-age="));
        let is_plain = !value.contains("no-") && !value.contains("private");
        match age.and_then(|age| age.parse::<u32>().ok()).filter(|_| is_plain) {
            Some(age) => pending.does(statement, "browser_ttl", format!("\"{age}s\"")),
            None => draft.not_translated(line, text, "`browser_ttl` tells clients a lifetime only"),
        }
        return;
    }
    let setting = format!("{} = {}", toml::key(field), toml::text(&value));
    pending.does(statement, "response_headers.set", setting);
}

/// `vcl_backend_fetch`: what only the origin sees.
fn request(body: &[VclStatement], draft: &mut ConfigDraft) {
    for leaf in body.iter().flat_map(VclStatement::leaves) {
        let why = "what the origin sees, the cache sees, too: `request_headers`";
        match leaf.action {
            VclAction::Return { .. } => draft.built_in(leaf.line, &leaf.text, "fetched"),
            _ => draft.not_translated(leaf.line, &leaf.text, why),
        }
    }
}

/// Subroutines whose usual content is what the proxy does anyway.
fn others(name: &str, body: &[VclStatement], draft: &mut ConfigDraft) {
    for leaf in body.iter().flat_map(VclStatement::leaves) {
        let (line, text) = (leaf.line, leaf.text.as_str());
        let usual = ["deliver", "fetch", "miss", "pass", "pipe", "ok", "synth", "lookup", ""];
        match (&leaf.action, name) {
            (VclAction::Return { action, .. }, _) if usual.contains(&action.as_str()) => {
                draft.built_in(line, text, "the usual way");
            }
            (VclAction::Set { target, .. }, "vcl_pipe") if target.starts_with("bereq.http.") => {
                draft.built_in(line, text, "tunnels are closed with their connection");
            }
            (VclAction::Set { target, .. }, "vcl_synth" | "vcl_error") if is_redirect(target) => {
                draft.built_in(line, text, "of the redirects where `synth` is called");
            }
            (_, "vcl_synth" | "vcl_error" | "vcl_backend_error") => {
                let why = "error pages are the proxy's own; `stale_if_error` serves a page instead";
                draft.not_translated(line, text, why);
            }
            (_, "vcl_hit") => {
                let why = "stale pages: `stale_while_revalidate` and `stale_if_error`";
                draft.not_translated(line, text, why);
            }
            _ => draft.not_translated(line, text, "no equivalent"),
        }
    }
}

fn is_redirect(target: &str) -> bool {
    ["resp.status", "obj.status", "resp.http.location", "obj.http.location"]
        .iter()
        .any(|name| target.eq_ignore_ascii_case(name))
}

/// Fields that the proxy takes off, or writes itself.
const SHOWN: &[&str] = &[
    "age",
    "via",
    "x-varnish",
    "surrogate-key",
    "surrogate-control",
    "xkey",
    "cache-tags",
    "x-cache-tags",
    "x-magento-tags",
    "x-drupal-cache-tags",
    "purge-cache-tags",
];
const CALLS_MAX: usize = 8;
const RULES_MAX: usize = 400;
