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
