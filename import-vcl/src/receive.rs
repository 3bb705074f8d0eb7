//! `vcl_recv` and `vcl_hash`: rules for requests.

use crate::answers;
use crate::conditions::{Guard, VclConditions, all, always, is_always, negated};
use crate::cookies::{self, CookieTest};
use crate::draft::{ConfigDraft, DraftRule, PendingRule};
use crate::guard::guard;
use crate::purges;
use crate::query;
use crate::remark::StatementFate;
use crate::syntax::{VclAction, VclBranch, VclExpression, VclFile, VclStatement};
use crate::toml;

pub(crate) fn read(file: &VclFile, draft: &mut ConfigDraft) {
    for subroutine in &file.subroutines {
        match subroutine.name.as_str() {
            "vcl_recv" => block(file, &subroutine.body, (&always(), 0), draft),
            "vcl_hash" => hash(&subroutine.body, draft),
            _ => {}
        }
    }
    draft.directed.reverse(); // the last assignment decides in VCL, the first rule here
    pass_of_builtin(file, draft);
    end(draft);
}

/// Adds what Varnish does where `vcl_recv` comes to its end: it passes what has `Authorization`.
/// For cookies, `[cookies]` does the same.
fn pass_of_builtin(file: &VclFile, draft: &mut ConfigDraft) {
    let own = file.subroutines.iter().rfind(|it| it.name == "vcl_recv");
    let last = own.and_then(|own| own.body.last()).map(|last| &last.action);
    let conditions = VclConditions::entry("header", "authorization", vec!["*".to_owned()]);
    let has_pass = |rule: &DraftRule| {
        rule.conditions == conditions && rule.settings.iter().any(|(key, _)| key == "bypass")
    };
    if file.subroutines.is_empty()
        || matches!(last, Some(VclAction::Return { .. }))
        || draft.received.iter().any(has_pass)
    {
        return;
    }
    let settings = vec![("bypass".to_owned(), "true".to_owned())];
    draft.received.push(DraftRule { line: 0, conditions, settings, is_end: false });
}

/// Takes out rules that only end the list where nothing after them would answer or change a
/// request, and notes what could not end it.
fn end(draft: &mut ConfigDraft) {
    let changes = |rule: &DraftRule| {
        let is_change = |(key, _): &(String, String)| {
            ["respond", "redirect", "rewrite.path"].contains(&key.as_str())
                || key.starts_with("request_headers")
        };
        rule.settings.iter().any(is_change)
    };
    let last = draft.received.iter().rposition(changes);
    for (line, text, before) in std::mem::take(&mut draft.unended) {
        if last.is_none_or(|last| last < before) {
            continue;
        }
        for remark in draft.remarks.iter_mut().filter(|it| it.line == line) {
            let is_it = remark.text == toml::comment(&text);
            let more = "later answers, rewrites and fields are for these requests, too";
            remark.fate = match &remark.fate {
                StatementFate::Translated | StatementFate::BuiltIn(_) if is_it => {
                    StatementFate::Differs(more.to_owned())
                }
                StatementFate::Differs(how) if is_it && !how.ends_with(more) => {
                    StatementFate::Differs(format!("{how}; {more}"))
                }
                fate => fate.clone(),
            };
        }
    }
    let mut place = 0;
    draft.received.retain(|rule| {
        place += 1;
        !rule.is_end || last.is_some_and(|last| last >= place)
    });
}

fn block(file: &VclFile, body: &[VclStatement], at: (&Guard, usize), draft: &mut ConfigDraft) {
    let (guard, depth) = at;
    let mut pending = PendingRule::default();
    for statement in body {
        draft.steps += 1;
        if draft.is_full() {
            draft.not_translated(statement.line, &statement.text, "too much to follow");
            return;
        }
        match &statement.action {
            VclAction::If(branches) => {
                flush(&mut pending, guard, draft);
                conditional(file, branches, at, draft);
            }
            VclAction::Call(name) => {
                flush(&mut pending, guard, draft);
                let called = file.subroutines.iter().filter(|it| it.name == *name);
                let bodies: Vec<_> = called.map(|subroutine| &subroutine.body).collect();
                if bodies.is_empty() || depth == CALLS_MAX {
                    let why = "there is no such subroutine, or it calls itself";
                    draft.not_translated(statement.line, &statement.text, why);
                    continue;
                }
                draft.note(statement.line, &statement.text, StatementFate::Translated);
                for body in bodies {
                    block(file, body, (guard, depth + 1), draft);
                }
            }
            _ => leaf(file, statement, (guard, &mut pending), draft),
        }
    }
    flush(&mut pending, guard, draft);
}

fn flush(pending: &mut PendingRule, guard: &Guard, draft: &mut ConfigDraft) {
    let rules = draft.rules_of(std::mem::take(pending), guard);
    draft.received.extend(rules);
}

fn conditional(
    file: &VclFile,
    branches: &[VclBranch],
    at: (&Guard, usize),
    draft: &mut ConfigDraft,
) {
    let leaves: Vec<&VclStatement> =
        branches.iter().flat_map(|it| &it.body).flat_map(VclStatement::leaves).collect();
    if !leaves.is_empty() && leaves.iter().all(|leaf| query::is_stripping(leaf)) {
        for leaf in leaves {
            self::leaf(file, leaf, (at.0, &mut PendingRule::default()), draft);
        }
        return;
    }
    if !leaves.is_empty() && leaves.iter().all(|leaf| is_of_encodings(leaf)) {
        for leaf in leaves {
            let why = "codings are brought to one form: docs/compression.md";
            draft.built_in(leaf.line, &leaf.text, why);
        }
        return;
    }
    let is_cookie_test = |branch: &VclBranch| match &branch.condition {
        Some(condition) => match cookies::test(condition) {
            Some(CookieTest::Empty) => !branch.body.iter().any(cookies::is_pass),
            test => test.is_some(),
        },
        None => true,
    };
    if leaves.iter().all(|leaf| cookies::is_about(leaf)) && branches.iter().all(is_cookie_test) {
        for branch in branches {
            of_cookies(file, branch, at, draft);
        }
        return;
    }
    chain(file, branches, at, draft);
}

fn is_of_encodings(statement: &VclStatement) -> bool {
    let is_field = |name: &str| name.eq_ignore_ascii_case("req.http.accept-encoding");
    match &statement.action {
        VclAction::Set { target, .. } | VclAction::Unset(target) => is_field(target),
        _ => false,
    }
}

/// Reads statements under "there are cookies" and "none is left".
fn of_cookies(file: &VclFile, branch: &VclBranch, at: (&Guard, usize), draft: &mut ConfigDraft) {
    let test = branch.condition.as_ref().and_then(cookies::test);
    let mut rest = Vec::new();
    for statement in &branch.body {
        let is_return = matches!(statement.action, VclAction::Return { .. });
        if cookies::is_pass(statement) {
            draft.unended(&[(statement.line, statement.text.clone())]);
        }
        if is_return || test == Some(CookieTest::Empty) {
            for leaf in statement.leaves() {
                let why =
                    "a request without cookies is cached, and one with others bypasses the cache";
                draft.built_in(leaf.line, &leaf.text, why);
            }
        } else {
            rest.push(statement);
        }
    }
    for statement in rest {
        block(file, std::slice::from_ref(statement), at, draft);
    }
}

/// Reads branches one after the other. Later ones are for what the earlier ones are not for.
fn chain(file: &VclFile, branches: &[VclBranch], at: (&Guard, usize), draft: &mut ConfigDraft) {
    let (outer, depth) = at;
    let mut rest = Ok(outer.clone());
    for branch in branches {
        if purges::is_about(branch) {
            purges::read(branch, draft);
            continue;
        }
        let own = match &branch.condition {
            Some(condition) => guard(condition, &draft.networks),
            None => Ok(always()),
        };
        let both = rest.clone().and_then(|rest| own.clone().and_then(|own| all(&rest, &own)));
        match both {
            Ok(both) if both.is_empty() => {
                for leaf in branch.body.iter().flat_map(VclStatement::leaves) {
                    draft.built_in(leaf.line, &leaf.text, "there is no restart, and no ESI");
                }
            }
            Ok(both) => block(file, &branch.body, (&both, depth), draft),
            Err(why) => not_translated(branch, &why, draft),
        }
        // A branch that ends bypasses the cache, answers, or is the last rule.
        let is_exclusive = branch.ends() && own.is_ok();
        if !is_exclusive {
            let others = own.and_then(|own| negated(&own));
            rest = rest.and_then(|rest| others.and_then(|others| all(&rest, &others)));
            rest = rest.map_err(|why| format!("a branch after one that cannot be excluded: {why}"));
        }
    }
}

/// Notes a branch whose condition has no equivalent, with everything in it.
pub(crate) fn not_translated(branch: &VclBranch, why: &str, draft: &mut ConfigDraft) {
    draft.not_translated(branch.line, &branch.text, why);
    for leaf in branch.body.iter().flat_map(VclStatement::leaves) {
        draft.not_translated(leaf.line, &leaf.text, "under a condition that was not translated");
    }
}

fn leaf(
    file: &VclFile,
    statement: &VclStatement,
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    match &statement.action {
        VclAction::Set { target, value, .. } => set(statement, target, value, at, draft),
        VclAction::Unset(target) if target.eq_ignore_ascii_case(cookies::COOKIE) => {
            cookies::unset(statement, at, draft);
        }
        VclAction::Unset(target) => match target.to_ascii_lowercase().strip_prefix("req.http.") {
            Some(field) if WRITTEN.contains(&field) => {
                draft.built_in(line, text, "written from the connection, whatever the client sent");
            }
            Some(field) => at.1.does(statement, "request_headers.remove", field.to_owned()),
            None => draft.not_translated(line, text, "no equivalent"),
        },
        VclAction::Return { action, arguments } => match action.as_str() {
            "pass" | "pipe" => {
                at.1.does(statement, "bypass", "true".to_owned());
                at.1.settings.push(("last".to_owned(), "true".to_owned()));
            }
            "hash" | "lookup" | "" if is_always(at.0) && draft.general.are_others_dropped => {
                draft.built_in(line, text, "what no rule says otherwise is looked up");
            }
            "hash" | "lookup" | "" if is_always(at.0) => {
                let how = "in VCL with any cookie; here cookies that [cookies] does not name bypass \
                     the cache, unless `otherwise = \"drop\"`";
                draft.note(line, text, StatementFate::Differs(how.to_owned()));
            }
            "hash" | "lookup" | "" => at.1.does(statement, "last", "true".to_owned()),
            "synth" => answers::read(file, statement, arguments, at, draft),
            "purge" => draft.built_in(line, text, "PURGE"),
            _ => draft.not_translated(line, text, "no equivalent"),
        },
        VclAction::Invoke { function, arguments } if function.starts_with("cookie.") => {
            cookies::invoked(statement, (function, arguments), at, draft);
        }
        VclAction::Invoke { function, .. } => match function.as_str() {
            "std.collect" => draft.built_in(line, text, "several lines of a field are one"),
            "std.log" | "std.syslog" | "std.timestamp" => {
                draft.not_translated(line, text, "what is logged: docs/observability.md");
            }
            "ban" => draft.not_translated(line, text, "bans are purges: docs/purging.md"),
            _ => draft.not_translated(line, text, "no equivalent"),
        },
        _ => draft.not_translated(line, text, "no equivalent"),
    }
}

fn set(
    statement: &VclStatement,
    target: &str,
    value: &VclExpression,
    at: (&Guard, &mut PendingRule),
    draft: &mut ConfigDraft,
) {
    let (line, text) = (statement.line, statement.text.as_str());
    match target.to_ascii_lowercase().as_str() {
        "req.url" => query::set(statement, value, at, draft),
        cookies::COOKIE => cookies::set(statement, value, at, draft),
        "req.backend_hint" | "req.backend" => direct(statement, value, at.0, draft),
        "req.http.host" => match value {
            VclExpression::Call(function, arguments)
                if function.starts_with("regsub")
                    && arguments.get(2).and_then(VclExpression::text) == Some("")
                    && arguments
                        .get(1)
                        .and_then(VclExpression::text)
                        .is_some_and(|regex| regex.starts_with(':')) =>
            {
                draft.built_in(line, text, "the port is brought to one form");
            }
            _ => draft.not_translated(
                line,
                text,
                "the key has the client's host; servers may be told \
                 another one: host_header of [origin.NAME]",
            ),
        },
        "req.hash_ignore_busy" => at.1.does(statement, "collapse", "false".to_owned()),
        "req.hash_always_miss" => {
            draft.not_translated(line, text, "a soft purge fetches again: docs/purging.md");
        }
        "req.grace" | "req.ttl" => {
            draft.not_translated(line, text, "`stale_while_revalidate` and `stale_if_error` hold");
        }
        "req.http.surrogate-capability" => draft.not_translated(line, text, "there is no ESI"),
        "req.http.accept-encoding" => {
            draft.built_in(line, text, "codings are brought to one form: docs/compression.md");
        }
        name => match name.strip_prefix("req.http.") {
            Some(field) if WRITTEN.contains(&field) => {
                draft.built_in(line, text, "written from the connection: listen.trusted_proxies");
            }
            Some(field) => match value.literal() {
                Some(value) => {
                    let line = format!("{} = {}", toml::key(field), toml::text(&value));
                    at.1.does(statement, "request_headers.set", line);
                }
                None => draft.not_translated(line, text, "fields are set to texts only"),
            },
            None => draft.not_translated(line, text, "no equivalent"),
        },
    }
}

/// Reads `set req.backend_hint = ...`.
fn direct(statement: &VclStatement, value: &VclExpression, guard: &Guard, draft: &mut ConfigDraft) {
    let (line, text) = (statement.line, statement.text.as_str());
    let name = match value {
        VclExpression::Name(name) => name.as_str(),
        VclExpression::Call(function, _) => function.strip_suffix(".backend").unwrap_or(function),
        _ => "",
    };
    let Some(origin) = draft.origin_of.get(name).cloned() else {
        draft.not_translated(line, text, "there is no such origin");
        return;
    };
    let is_first = draft.origins.first().is_some_and(|first| first.name == origin);
    if is_always(guard) && is_first && draft.directed.is_empty() {
        draft.note(line, text, StatementFate::Translated);
        return;
    }
    let pending = PendingRule {
        settings: vec![("origin".to_owned(), toml::text(&origin))],
        statements: vec![(line, text.to_owned())],
    };
    let rules = draft.rules_of(pending, guard);
    draft.directed.extend(rules);
}

fn hash(body: &[VclStatement], draft: &mut ConfigDraft) {
    for leaf in body.iter().flat_map(VclStatement::leaves) {
        let (line, text) = (leaf.line, leaf.text.as_str());
        let value = match &leaf.action {
            VclAction::Invoke { function, arguments } if function == "hash_data" => {
                arguments.first()
            }
            VclAction::Set { target, value, .. } if target == "req.hash" => Some(value),
            VclAction::Return { .. } => {
                draft.built_in(line, text, "scheme, host, path and query are the key");
                continue;
            }
            _ => None,
        };
        let Some(value) = value else {
            draft.not_translated(line, text, "no setting of [key] says this");
            continue;
        };
        match value.name().as_deref() {
            Some("req.url" | "req.http.host" | "server.ip") => {
                draft.built_in(line, text, "scheme, host, path and query are the key");
            }
            Some("req.http.x-forwarded-proto" | "req.http.https" | "req.http.ssl-offloaded") => {
                draft.built_in(line, text, "the scheme is in the key: listen.trusted_proxies");
            }
            Some(name) if name.strip_prefix("req.http.").is_some_and(|it| it != "cookie") => {
                let field = name.trim_start_matches("req.http.").to_owned();
                draft.general.key_headers.push((line, field));
                draft.note(line, text, StatementFate::Translated);
            }
            _ => match cookies::hashed(value) {
                Some(names) => {
                    crate::draft::add(&mut draft.general.cookie_vary, &names);
                    draft.note(line, text, StatementFate::Translated);
                }
                None => draft.not_translated(line, text, "no setting of [key] says this"),
            },
        }
    }
}

/// Fields that the proxy writes itself.
const WRITTEN: [&str; 6] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "x-varnish"];
const CALLS_MAX: usize = 8;
