//! `[[rule]]`: what can be written, and what is said about what cannot be meant.

use std::time::Duration;

use insta::assert_snapshot;

use super::problems::lines;
use super::{MINIMAL, load};
use crate::{
    Config, EffectiveSettings, Expected, OtherCookies, QueryParameters, RuleOrigin, SetCookie,
};

fn with_rules(rules: &str) -> Config {
    load(&format!("{MINIMAL}{rules}")).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn problems(rules: &str) -> String {
    lines(load(&format!("{MINIMAL}{rules}")).unwrap_err().problems())
}

#[test]
fn a_rule_has_conditions_and_actions_of_both_halves() {
    let config = with_rules(
        r#"
[[rule]]
name = "shop"
host = ["shop.example", "*.shop.example"]
path = "/{de,en}/p/*"
method = ["GET", "HEAD"]
query = { preview = "" }
header = { X-Kind = ["a", "b"] }
cookie = { ab = "*" }
client = "10.0.0.0/8"
device = "mobile"
not = { path = "/de/p/old-*" }
key.query.drop = ["session_*"]
cookies.otherwise = "drop"
collapse = false
request_headers = { set = { X-Site = "shop" }, add = { X-More = "1" }, remove = ["x-middleware-*", "Cookie"] }
rewrite.path = "/p/$1"
origin = "none"
ttl = "1h"
set_cookie = "strip"
tags = ["product-$1", "$(response:x-section)"]
last = true
"#,
    );
    let [rule] = config.rules.as_slice() else { panic!("{:?}", config.rules) };
    assert_eq!((rule.name.as_str(), rule.index, rule.last, rule.force), ("shop", 0, true, false));
    assert_eq!(rule.matches.hosts.len(), 2);
    assert_eq!(rule.matches.query, [("preview".to_owned(), vec![Expected::Absent])]);
    assert!(rule.not.is_some() && rule.looks_beyond_the_path());
    let actions = &rule.actions;
    assert_eq!(actions.request.origin, Some(RuleOrigin::OnlyStored));
    assert_eq!(actions.request.request_headers.remove_all, ["x-middleware-"]);
    assert_eq!(actions.response.ttl, Some(Duration::from_hours(1)));
    assert_eq!(actions.response.set_cookie, Some(SetCookie::Strip));
    let set: Vec<_> = actions.settings.settings().map(|(path, _)| path).collect();
    assert_eq!(set, ["collapse", "cookies.otherwise", "key.query.drop"]);
}

#[test]
fn a_rule_stands_over_the_tables_and_changes_nothing_else() {
    let config = with_rules(
        "[cookies]\nvary_on = [\"ab\"]\n[[rule]]\npath = \"/a\"\nkey.query.keep = [\"q\"]\ncookies.otherwise = \"drop\"\n",
    );
    let tables = EffectiveSettings::of(&config);
    let mut ruled = tables.clone();
    config.rules[0].actions.settings.apply(&mut ruled);
    assert!(matches!(ruled.key.query.parameters, QueryParameters::Keep(_)));
    assert_eq!(ruled.cookies.otherwise, OtherCookies::Drop);
    assert_eq!(ruled.cookies.vary_on, tables.cookies.vary_on);
    assert_eq!(ruled.cache, tables.cache);
}

#[test]
fn a_rule_sets_lifetimes_of_silent_responses_and_what_head_becomes() {
    let config = with_rules(
        "[cache]\nheuristic = \"off\"\nttl_by_status = { 404 = \"1s\", 410 = \"1m\" }\n\
         [[rule]]\npath = \"/a\"\nttl_by_status = { 404 = \"9s\" }\nconvert_head = false\n\
         max_stale_while_revalidate = \"5m\"\n\
         [[rule]]\npath = \"/b\"\nheuristic = { share = \"20%\" }\n",
    );
    let tables = EffectiveSettings::of(&config);
    let [mut one, mut other] = [tables.clone(), tables.clone()];
    config.rules[0].actions.settings.apply(&mut one);
    config.rules[1].actions.settings.apply(&mut other);
    assert_eq!(one.cache.ttl_by_status.len(), 1, "it stands for the table's, not beside it");
    assert_eq!(one.cache.ttl_by_status[0].1.as_secs(), 9);
    assert_eq!(one.cache.max_stale_while_revalidate.as_secs(), 300);
    assert!(!one.cache.convert_head && one.cache.heuristic.is_none());
    assert_eq!(other.cache.heuristic.map(|heuristic| heuristic.share), Some(20));
    assert_eq!(other.cache.ttl_by_status, tables.cache.ttl_by_status);
    let refused = problems("[[rule]]\npath = \"/a\"\nttl_by_status = { 4040 = \"9s\" }\n");
    assert!(refused.contains("ttl_by_status"), "{refused}");
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_with_its_remedy() {
    let rules = r#"
[[rule]]
path = "/p/*"
rewrite.path = "/q/$2"
[[rule]]
name = "empty"
path = "/x"
[[rule]]
name = "empty"
ttl = "1h"
paht = "/y"
[[rule]]
name = "late"
status = 404
bypass = true
[[rule]]
path_regex = "(a"
origin = "other"
request_headers.remove = "content-*"
request_headers.set = { Host = "x" }
[[rule]]
redirect.to = "//$1"
respond.status = 503
not = {}
"#;
    assert_snapshot!(problems(rules), @r##"
    6:1: `rule[0].rewrite` asks for $2, and the rule's path leaves 1 open (more than there are) -> each `*` and `**` of every pattern in `path` is one, or each group of `path_regex`
    7:1: the rule `empty` does nothing (conditions without an action)
    11:8: `rule[2].name` names two rules `empty` (the second one)
    13:1: unknown key `rule[2].paht` (not a setting of this table) -> did you mean `path`?
    14:1: the rule `late` has conditions on the response, and acts on the request (there is no response yet when it would act) -> write two rules, one for the request and one for its response
    19:14: `rule[4].path_regex` must be a regular expression, and `(a` is none (unclosed group) -> no backreferences, no look-around; `\\` in TOML's "..." is one `\`
    21:26: `rule[4].request_headers.remove` must name fields, and `content-*` names none (fields of others begin so, too) -> "x-middleware-*": more of the name
    22:23: `rule[4].request_headers.set` cannot change `host` (it is written from the request's URL and its client)
    24:15: `rule[5].redirect.to` must be a URL or a path (`//` begins a host)
    26:7: `rule[5].not` must hold a condition (nothing would match)
    "##);
}

#[test]
fn a_rule_names_an_origin_of_the_file() {
    assert_snapshot!(problems("[[rule]]\norigin = \"other\"\n"), @r##"
    4:10: the rule `rule 1` names the origin `other` (there is no such origin) -> write [origin.other], or "none" for what is stored only
    "##);
}

#[test]
fn a_rule_without_effect_and_one_that_shares_are_warned_of() {
    let config = with_rules(
        r#"
[[rule]]
name = "all"
ttl = "1h"
key.query = "none"
[[rule]]
name = "pages"
path = "/p/**"
ttl = "1m"
[[rule]]
name = "missing"
status = 404
ttl = "1s"
[[rule]]
name = "admin"
host = "*.example"
path = "/admin/**"
bypass = true
last = true
[[rule]]
name = "users"
host = "a.example"
path = "/admin/users"
bypass = false
[[rule]]
name = "account"
force = true
set_cookie = "store"
not = { path = "/x" }
[[rule]]
name = "kit"
host = "kit.example"
preset = "sveltekit"
"#,
    );
    assert_snapshot!(lines(&config.warnings), @r##"
    4:1: the rule `all` decides `key.query` before `kit/assets`, whose preset needs its parameters (the first rule decides) -> write it after `kit`
    4:1: the rule `all` decides `key.query` before `kit/data`, whose preset needs its parameters (the first rule decides) -> write it after `kit`
    8:1: the rule `pages` has no effect: `all` decided all that it sets (the first rule that sets a thing decides it) -> write the narrower rule first
    22:1: the rule `users` never matches: `admin` is for all its requests, and is the last one for them (never reached) -> write it before `admin`, or take it out
    27:1: the rule `account` forces: what is stored by it may be one client's own (`private`, `no-store`, `no-cache` and `Authorization` are ignored) -> be sure that these responses are the same for everybody
    27:1: the rule `account` gives every client the cookie of one (a session would be everybody's) -> `set_cookie = "strip"` gives it to nobody
    "##);
}
