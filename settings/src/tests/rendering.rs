//! Problems as a terminal without colours shows them.

use insta::assert_snapshot;
use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{Config, Flags, Sources, from_file, load, with};

fn shown(sources: &Sources) -> String {
    let errors = Config::load(sources).unwrap_err();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let mut shown = String::new();
    for problem in errors.problems() {
        handler.render_report(&mut shown, problem).unwrap();
    }
    shown
}

#[test]
fn five_problems_are_reported_at_once() {
    let file = r#"[origin.app]
servers = ["10.0.0.1:3000", "10.0.0.2"]
conect_timeout = "1s"
[storage]
kind = "files"
[cache]
grace = "1h"
keep = 10
"#;
    assert_eq!(load(file).unwrap_err().to_string(), "the configuration has 5 problems");
    assert_snapshot!(shown(&from_file(file)), @r##"
     × `origin.app.servers[1]` must be host:port, and `10.0.0.2` is none
      ╭─[config.toml:2:29]
    1 │ [origin.app]
    2 │ servers = ["10.0.0.1:3000", "10.0.0.2"]
      ·                             ─────┬────
      ·                                  ╰── not host:port
    3 │ conect_timeout = "1s"
      ╰────
     help: did you mean "10.0.0.2:80"?
     × unknown key `origin.app.conect_timeout`
      ╭─[config.toml:3:1]
    2 │ servers = ["10.0.0.1:3000", "10.0.0.2"]
    3 │ conect_timeout = "1s"
      · ───────┬──────
      ·        ╰── not a setting of this table
    4 │ [storage]
      ╰────
     help: did you mean `connect_timeout`?
     × `storage.kind` must be one of "memory", "file", "tiered"
      ╭─[config.toml:5:8]
    4 │ [storage]
    5 │ kind = "files"
      ·        ───┬───
      ·           ╰── unknown value
    6 │ [cache]
      ╰────
     help: did you mean "file"?
     × `cache.grace` is Varnish's name
      ╭─[config.toml:7:1]
    6 │ [cache]
    7 │ grace = "1h"
      · ──┬──
      ·   ╰── not a setting
    8 │ keep = 10
      ╰────
     help: here this is two settings of [cache]:
           stale_while_revalidate = "1h"   (origin healthy)
           stale_if_error = "1h"           (origin failing)
     × `cache.keep` must be a duration, and `10` is none
      ╭─[config.toml:8:8]
    7 │ grace = "1h"
    8 │ keep = 10
      ·        ─┬
      ·         ╰── a number without a unit
      ╰────
     help: did you mean "10s"?
    "##);
}

#[test]
fn without_an_origin_it_says_how_to_write_one() {
    assert_snapshot!(shown(&Sources::default()), @r##"
    × there is no origin: nowhere to get responses from
    help: two lines are enough:
          [origin.app]
          servers = ["127.0.0.1:3000"]
          or a flag: --origin http://127.0.0.1:3000
    "##);
}

#[test]
fn variables_are_shown_like_files() {
    let variables = [
        ("SHELLAC__CACHE__DEFALT_TTL", "2m"),
        ("SHELLAC__LIMITS__MAX_BODY", "10"),
        ("SHELLAC__PURGE__ALLOW", "[\"10.0.0.0/33\"]"),
        ("SHELLAC____", ""),
        ("SHELLAC__CACHE__KEEP__X", "1"),
    ];
    let sources = with("[cache]\nkeep = \"1s\"\n", &variables, Flags::default());
    assert_snapshot!(shown(&sources), @r##"
     × unknown key `cache.defalt_ttl`
      ╭─[environment:1:1]
    1 │ SHELLAC__CACHE__DEFALT_TTL
      · ─────────────┬────────────
      ·              ╰── not a setting of this table
      ╰────
     help: did you mean `default_ttl`?
     × `limits.max_body` must be a size, and `10` is none
      ╭─[environment:1:27]
    1 │ SHELLAC__LIMITS__MAX_BODY=10
      ·                           ─┬
      ·                            ╰── a number without a unit
      ╰────
     help: did you mean "10MiB"?
     × `purge.allow[0]` must be a CIDR block, and `10.0.0.0/33` is none
      ╭─[environment:1:24]
    1 │ SHELLAC__PURGE__ALLOW=["10.0.0.0/33"]
      ·                        ──────┬──────
      ·                              ╰── invalid IP address syntax
      ╰────
     help: "10.0.0.0/8" or "fd00::/8"
     × `SHELLAC____` names no setting
      ╭─[environment:1:1]
    1 │ SHELLAC____=
      · ─────┬─────
      ·      ╰── not a setting
      ╰────
     help: SHELLAC__SECTION__KEY, for example SHELLAC__CACHE__DEFAULT_TTL
     × `cache.keep.x` cannot be set: `keep` is no table
      ╭─[environment:1:1]
    1 │ SHELLAC__CACHE__KEEP__X=1
      · ───────────┬───────────
      ·            ╰── not a setting
      ╰────
    "##);
}

#[test]
fn flags_are_shown_like_files() {
    let flags = Flags {
        listen: vec!["8080".to_owned()],
        origin: Some("ftp://app".to_owned()),
        ttl: Some("2 weeks".to_owned()),
        ..Flags::default()
    };
    assert_snapshot!(shown(&with("", &[], flags)), @r##"
     × `listen[0].address` must be an IP address with a port, and `8080` is none
      ╭─[command line:1:10]
    1 │ --listen 8080
      ·          ──┬─
      ·            ╰── invalid socket address syntax
      ╰────
     help: did you mean "0.0.0.0:8080"?
     × `origin.app.servers[0]` must be host:port, and `ftp://app` is none
      ╭─[command line:1:10]
    1 │ --origin ftp://app
      ·          ────┬────
      ·              ╰── a URL
      ╰────
     help: origins are reached by HTTP
     × `cache.default_ttl` must be a duration, and `2 weeks` is none
      ╭─[command line:1:7]
    1 │ --ttl 2 weeks
      ·       ───┬───
      ·          ╰── `weeks` is no unit
      ╰────
     help: units are ms, s, m, h and d
    "##);
}

#[test]
fn problems_show_no_tokens() {
    let text = "[admin]\ntoken = \"hunter2\"\ntoken = \"hunter2\"\nlisen = 1\n";
    let sources = with(
        text,
        &[("SHELLAC__PURGE__TOKEN", "hunter2 "), ("SHELLAC__PURGE__TOKN", "hunter2")],
        Flags::default(),
    );
    let shown = format!("{}{:?}", shown(&sources), Config::load(&sources).unwrap_err());
    assert!(shown.contains("lisen") && shown.contains("SHELLAC__PURGE__TOKEN"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn no_secret_is_shown_whatever_is_wrong_with_it() {
    for text in [
        "[admin]\ntoken = hunter2\n",
        "[admin]\ntoken = \"hunter2 \"\n",
        "[admin]\ntokn = \"hunter2\"\n",
        "[admin]\ntoken = [\"hunter2\"]\n",
        "admin.token = \"\"\"\nhunter2\"\"\"\n",
        "[tracing]\nheaders = \"authorization=hunter2\"\n",
        "[tracing]\nheaders.authorization = [\"hunter2\"]\n",
        "[tracing.headers]\n\"a b\" = \"hunter2\"\n",
        "[tracing]\nendpoint = \"http://u:hunter2@c/\"\n",
        "[kafka]\nbrokers = [\"kafka://u:hunter2@k:9092\"]\n",
        "[kafka]\npassword = 7 # hunter2\n",
        "[[rule]]\nrequest_headers = { set = { authorization = \"hunter2 \" } }\n",
    ] {
        let sources = with(text, &[], Flags::default());
        let shown = format!("{}{:?}", shown(&sources), Config::load(&sources).unwrap_err());
        assert!(shown.contains("**") && !shown.contains("hunter2"), "{text}\n{shown}");
    }
}
