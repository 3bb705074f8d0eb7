//! Whole files: those in `samples`, with what is made of them beside them.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{ProptestConfig, any, prop, proptest};
use settings::{Config, Sources};

use crate::{ImportError, Imported, StatementFate, VCL_BYTES_MAX, import};

fn sample(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

fn samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let names =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| Path::new(name).extension() == Some("vcl".as_ref())).collect();
    names.sort();
    names
}

fn loaded(text: &str) -> Result<Config, String> {
    let file = Some(("config.toml".to_owned(), text.to_owned()));
    Config::load(&Sources { file, ..Sources::default() }).map_err(|errors| errors.rendered())
}

fn imported(vcl: &str) -> Imported {
    import("default.vcl", vcl).unwrap()
}

/// With `SHELLAC_UPDATE=1` the files are written anew.
#[test]
fn a_file_becomes_the_configuration_beside_it() {
    assert!(samples().len() >= 8);
    for name in samples() {
        let (path, vcl) = sample(&name);
        let Imported { config, remarks } = import(&name, &vcl).unwrap();
        let report: Vec<String> = remarks
            .iter()
            .map(|remark| {
                let fate = match &remark.fate {
                    StatementFate::Translated => "translated    ",
                    StatementFate::Differs(_) => "nearly        ",
                    StatementFate::BuiltIn(_) => "built in      ",
                    StatementFate::NotTranslated(_) => "NOT TRANSLATED",
                };
                format!("{fate}  {remark}\n")
            })
            .collect();
        let report = report.concat();
        for (ending, text) in [("toml", &config), ("report", &report)] {
            let beside = path.with_extension(ending);
            if std::env::var_os("SHELLAC_UPDATE").is_some() {
                fs::write(&beside, text).unwrap();
            }
            assert_eq!(&fs::read_to_string(&beside).unwrap(), text, "{name}: {ending}");
        }
        loaded(&config).unwrap();
    }
}

#[test]
fn each_statement_is_in_the_report_once() {
    for name in samples() {
        let (_, vcl) = sample(&name);
        let Imported { remarks, .. } = imported(&vcl);
        for (number, line) in vcl.lines().enumerate() {
            let is_statement = ["set ", "unset ", "call ", "hash_data("]
                .iter()
                .any(|word| line.trim_start().starts_with(word));
            if !is_statement || name == "hostile.vcl" {
                continue;
            }
            let count = remarks.iter().filter(|remark| remark.line == number + 1).count();
            assert!(count > 0, "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn what_a_purge_of_everybody_would_allow_is_not_translated() {
    let vcl = |acl: &str| {
        format!(
            "vcl 4.1; backend b {{ .host = \"127.0.0.1\"; }} acl p {{ {acl} }}
             sub vcl_recv {{ if (req.method == \"PURGE\") {{
               if (client.ip !~ p) {{ return (synth(405)); }} return (purge); }} }}"
        )
    };
    let allowed = |vcl: &str| loaded(&imported(vcl).config).unwrap().purge.allow.len();
    assert_eq!(allowed(&vcl("\"10.0.0.0\"/8; \"127.0.0.1\";")), 2);
    assert_eq!(allowed(&vcl("\"10.0.0.0\"/8; ! \"10.6.6.6\";")), 0, "an exception");
    assert_eq!(allowed(&vcl("\"10.0.0.0\"/8; \"host.example\";")), 0, "a name");
    let open = "vcl 4.1; backend b { .host = \"127.0.0.1\"; }
                sub vcl_recv { if (req.method == \"PURGE\") { return (purge); } }";
    assert_eq!(allowed(open), 0);
    let remarks = imported(open).remarks;
    let warns = |fate: &StatementFate| matches!(fate, StatementFate::NotTranslated(why) if why.contains("anybody"));
    assert!(remarks.iter().any(|remark| warns(&remark.fate)), "{remarks:?}");
}

#[test]
fn a_condition_that_is_not_translated_takes_its_branches_along() {
    let Imported { config, remarks } = imported(
        "vcl 4.1; backend b { .host = \"127.0.0.1\"; }
         sub vcl_recv {
           if (req.http.X ~ \"a.c\") { set req.http.Y = \"1\"; }
           elsif (req.url ~ \"^/a/\") { set req.http.Y = \"2\"; }
           else { set req.http.Y = \"3\"; }
           return (hash);
         }",
    );
    assert!(!config.contains("[[rule]]"), "{config}");
    let lost = remarks.iter().filter(|it| matches!(it.fate, StatementFate::NotTranslated(_)));
    let lines: Vec<usize> = lost.map(|remark| remark.line).collect();
    assert_eq!(lines, [3, 3, 4, 4, 5, 5]);
}

#[test]
fn the_last_lifetime_holds_and_a_branch_that_ends_keeps_its_own() {
    let config = loaded(
        &imported(
            "vcl 4.1; backend b { .host = \"127.0.0.1\"; }
             sub vcl_backend_response {
               set beresp.ttl = 1m;
               if (bereq.url ~ \"^/a/\") { set beresp.ttl = 2m; return (deliver); }
               if (bereq.url ~ \"^/a/b/\") { set beresp.ttl = 3m; }
               if (bereq.url ~ \"^/c/\") { set beresp.ttl = 4m; }
             }",
        )
        .config,
    )
    .unwrap();
    let lifetime = |path: &str| {
        let matching = config.rules.iter().find(|rule| {
            let paths = |it: &settings::RuleMatch| {
                it.paths.is_empty() || it.paths.iter().any(|pattern| pattern.matches(path))
            };
            let not = rule.not.as_ref().is_some_and(paths);
            rule.actions.response.ttl.is_some() && paths(&rule.matches) && !not
        });
        matching.unwrap().actions.response.ttl.unwrap().as_secs() / 60
    };
    for (path, minutes) in [("/", 1), ("/a/x", 2), ("/a/b/x", 2), ("/c/x", 4)] {
        assert_eq!(lifetime(path), minutes, "{path}");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_and_one_without_sense_is_reported() {
    let large = " ".repeat(VCL_BYTES_MAX + 1);
    assert_eq!(import("x", &large), Err(ImportError::TooLarge));
    for text in ["", "}", "{{{{", "sub vcl_recv {", "\"", "GIF89a\0\0", "if (", "backend x {"] {
        loaded(&imported(text).config).unwrap();
    }
    let deep = format!("sub vcl_recv {{ {} }}", "if (a) {".repeat(10_000));
    loaded(&imported(&deep).config).unwrap();
    let long = format!("sub vcl_recv {{ set req.http.x = {} \"b\"; }}", "\"a\" +".repeat(50_000));
    loaded(&imported(&long).config).unwrap();
    let negated = format!("sub vcl_recv {{ if ({}a) {{ return (pass); }} }}", "!".repeat(50_000));
    loaded(&imported(&negated).config).unwrap();
}

#[test]
fn a_subroutine_that_nothing_calls_is_in_the_report() {
    let vcl = "sub one { set req.http.x = \"1\"; } sub two { unset req.http.y; }
               sub vcl_recv { if (req.url ~ \"^/a/\") { call two; } }";
    let remarks = imported(vcl).remarks;
    let lost = remarks.iter().filter(|it| matches!(it.fate, StatementFate::NotTranslated(_)));
    assert_eq!(lost.map(|remark| remark.text.as_str()).collect::<Vec<_>>(), ["sub one"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_read_what_is_written_is_a_configuration(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..24, "[ -~\n]{0,12}"), 0..6),
    ) {
        let names = samples();
        let (_, mut vcl) = sample(which.get(names.as_slice()).as_str());
        for (at, length, text) in edits {
            let at = at.index(vcl.len());
            let end = (at + length).min(vcl.len());
            if vcl.is_char_boundary(at) && vcl.is_char_boundary(end) {
                vcl.replace_range(at..end, &text);
            }
        }
        loaded(&imported(&vcl).config).unwrap();
    }
}

#[test]
fn subroutines_that_call_each_other_again_and_again_are_given_up() {
    let calls = |name: &str| format!("call {name}; ").repeat(50);
    let vcl = format!(
        "sub a {{ {} }} sub b {{ {} }} sub c {{ {} }} sub vcl_recv {{ {} }} sub vcl_deliver {{ {} }}",
        calls("b"),
        calls("c"),
        "if (req.url ~ \"^/x/\") { return (pass); }".repeat(50),
        calls("a"),
        calls("a"),
    );
    let Imported { config, remarks } = imported(&vcl);
    loaded(&config).unwrap();
    let gives_up = |fate: &StatementFate| matches!(fate, StatementFate::NotTranslated(why) if why.contains("too much"));
    assert!(remarks.iter().any(|remark| gives_up(&remark.fate)));
}

fn received(body: &str) -> Imported {
    let origin = "vcl 4.1; backend b { .host = \"127.0.0.1\"; }";
    imported(&format!("{origin} sub vcl_recv {{ {body} return (hash); }}"))
}

fn answered(body: &str) -> Imported {
    let origin = "vcl 4.1; backend b { .host = \"127.0.0.1\"; }";
    imported(&format!(
        "{origin}\nsub vcl_backend_response {{\n{body}\n}} sub vcl_recv {{ return (hash); }}"
    ))
}

/// The rules alone, without their names.
fn rules(imported: &Imported) -> String {
    let (_, rules) = imported.config.split_once("[[rule]]").unwrap_or_default();
    let lines = rules.lines().filter(|line| !line.starts_with("name =") && !line.is_empty());
    lines.collect::<Vec<_>>().join("; ").replace("[[rule]]", "--")
}

fn lost(imported: &Imported) -> usize {
    let is_lost = |fate: &StatementFate| matches!(fate, StatementFate::NotTranslated(_));
    imported.remarks.iter().filter(|it| is_lost(&it.fate)).count()
}

#[test]
fn a_pass_by_authorization_is_a_rule_and_so_is_that_of_varnish_itself() {
    for (condition, expected) in [("", "*"), ("!", "")] {
        let found =
            received(&format!("if ({condition}req.http.Authorization) {{ return (pass); }}"));
        let header =
            format!("header = {{ authorization = \"{expected}\" }}; bypass = true; last = true");
        assert_eq!(rules(&found), header);
    }
    let own = "vcl 4.1; backend b { .host = \"a\"; } sub vcl_recv { unset req.http.x; }";
    let expected =
        "request_headers.remove = [\"x\"]; --; header = { authorization = \"*\" }; bypass = true";
    assert_eq!(rules(&imported(own)), expected);
    assert_eq!(rules(&received("")), "", "VCL looks up whatever has Authorization");
}

#[test]
fn a_condition_that_needs_no_rule_needs_one_where_it_is_turned_round() {
    for (condition, expected) in [
        ("req.http.Cookie", ""),
        ("!req.http.Cookie", "header = { cookie = \"\" }; bypass = true; last = true"),
        (
            "!req.http.Cookie || req.http.Cookie == \"\"",
            "header = { cookie = \"\" }; bypass = true; last = true",
        ),
        ("req.http.Upgrade ~ \"websocket\"", ""),
        (
            "req.http.Upgrade !~ \"websocket\"",
            "header = { upgrade = \"\" }; bypass = true; last = true",
        ),
        ("req.method != \"GET\" && req.method != \"HEAD\"", ""),
        ("req.method == \"HEAD\"", "method = \"HEAD\"; bypass = true; last = true"),
    ] {
        let found = received(&format!("if ({condition}) {{ return (pass); }}"));
        assert_eq!(rules(&found), expected, "{condition}");
    }
}

#[test]
fn what_is_sought_in_a_url_is_sought_in_its_query_too_or_reported() {
    for (regex, expected) in [
        (
            "wp-admin|preview=true|add-to-cart",
            "path_regex = \"wp-admin|add-to-cart\" | query = { wp-admin = \"*\" } \
             | query = { preview = \"true\" } | query = { add-to-cart = \"*\" }",
        ),
        (
            "(cart|[?&]preview=true)",
            "path_regex = \"cart\" | query = { cart = \"*\" } | query = { preview = \"true\" }",
        ),
        ("^/wp-(admin|login)", "path_regex = \"^/wp-(admin|login)\""),
        ("^/cart/|/checkout|\\.php$", "path_regex = '^/cart/|/checkout|\\.php$'"),
        ("^/search\\?q=", "none"),
        ("(a|b=1)c", "none"),
        ("(?=x)y=1", "none"),
    ] {
        let found = received(&format!("if (req.url ~ \"{regex}\") {{ return (pass); }}"));
        let all =
            rules(&found).replace("; bypass = true; last = true", "").replace("; --; ", " | ");
        assert_eq!(if lost(&found) > 0 { "none" } else { &all }, expected, "{regex}");
    }
}

#[test]
fn what_else_a_url_may_hold_is_said() {
    for (regex, expected) in [
        ("^/wp-(admin|login)", false),
        ("^/v[0-9]+/private/", false),
        ("^/.*preview", true),
        ("/checkout", true),
        ("preview=true", true),
        ("[?&]preview=true", false),
        ("\\.(css|js)(\\?.*)?$", false),
    ] {
        let found = received(&format!("if (req.url ~ \"{regex}\") {{ return (pass); }}"));
        let differs = |fate: &StatementFate| matches!(fate, StatementFate::Differs(_));
        let count = found.remarks.iter().filter(|it| it.text.contains("pass") && differs(&it.fate));
        assert_eq!(count.count() == 1, expected, "{regex}");
    }
}

#[test]
fn nothing_after_a_pass_answers_its_requests() {
    let config = loaded(
        &received(
            "if (req.method == \"POST\") { return (pass); }
             if (req.url ~ \"^/a/\") { return (pass); }
             if (req.url ~ \"^/a/b/\") { return (synth(403, \"No\")); }",
        )
        .config,
    )
    .unwrap();
    let lasts: Vec<bool> = config.rules.iter().map(|rule| rule.last).collect();
    assert_eq!(lasts, [true, true, false]);
    let found = received(
        "if (req.http.Cookie ~ \"session\") { return (pass); }
         if (req.url ~ \"^/a/\") { return (synth(403, \"No\")); }",
    );
    let says = |fate: &StatementFate| matches!(fate, StatementFate::Differs(how) if how.contains("later answers"));
    assert!(found.remarks.iter().any(|it| says(&it.fate)), "{:?}", found.remarks);
}

#[test]
fn only_what_is_never_stored_is_built_in_to_be_uncacheable() {
    for (condition, expected) in [
        ("beresp.http.Cache-Control ~ \"private|no-store\"", Some("")),
        ("beresp.http.Cache-Control ~ \"(?i:no-cache|private)\"", Some("")),
        ("beresp.http.Vary == \"*\" || beresp.ttl <= 0s || beresp.http.Set-Cookie", Some("")),
        ("beresp.http.Cache-Control !~ \"public\"", None),
        ("beresp.http.Cache-Control ~ \"max-age=0\"", None),
        ("beresp.http.Vary ~ \"User-Agent\"", None),
        ("beresp.http.Pragma ~ \"no-cache\"", None),
        ("!beresp.http.Cache-Control", Some("response_header = { cache-control = \"\" }")),
        (
            "beresp.http.Set-Cookie || !beresp.http.Cache-Control",
            Some("response_header = { cache-control = \"\" }"),
        ),
        ("beresp.ttl < 60s", None),
    ] {
        let found = answered(&format!(
            "if ({condition}) {{ set beresp.ttl = 120s;\nset beresp.uncacheable = true; return (deliver); }}"
        ));
        let all = rules(&found).replace("; uncacheable = true", "");
        assert_eq!((lost(&found) == 0).then_some(all.as_str()), expected, "{condition}");
    }
}

#[test]
fn what_vcl_stores_later_is_kept_out_before() {
    let keeps_out = "set beresp.uncacheable = true; return (deliver); }";
    for (body, expected) in [
        (
            format!("if (beresp.http.Set-Cookie) {{ {keeps_out}\nunset beresp.http.Set-Cookie;"),
            "response_header = { set-cookie = \"\" }; set_cookie = \"strip\"; \
             --; response_header = { set-cookie = \"*\" }; uncacheable = true",
        ),
        (
            format!(
                "if (beresp.http.Set-Cookie ~ \"sid=\") {{ {keeps_out}\nunset beresp.http.Set-Cookie;"
            ),
            "set_cookie = \"strip\"; --; response_header = { set-cookie = \"sid=*\" }; uncacheable = true",
        ),
        (
            format!("unset beresp.http.Set-Cookie;\nif (beresp.http.Set-Cookie) {{ {keeps_out}"),
            "set_cookie = \"strip\"",
        ),
        (format!("set beresp.ttl = 1h;\nif (beresp.ttl <= 0s) {{ {keeps_out}"), "ttl = \"1h\""),
    ] {
        let found = answered(&body);
        assert_eq!((rules(&found).as_str(), lost(&found)), (expected, 0), "{body}");
    }
    let later = answered(&format!("if (beresp.ttl <= 0s) {{ {keeps_out}\nset beresp.ttl = 1h;"));
    assert!(lost(&later) > 0, "{:?}", later.remarks);
}

#[test]
fn a_cookie_that_is_hidden_on_delivery_does_not_have_its_response_stored() {
    let found = imported(
        "vcl 4.1; backend b { .host = \"127.0.0.1\"; } sub vcl_recv { return (hash); }
         sub vcl_deliver { unset resp.http.Set-Cookie; unset resp.http.Server; }",
    );
    assert_eq!(
        (rules(&found).as_str(), lost(&found)),
        ("response_headers.remove = [\"server\"]", 1)
    );
}
