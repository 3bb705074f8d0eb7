//! Flag before environment before file before default.

use std::time::Duration;

use super::{Config, Flags, MINIMAL, Sources, load, load_with, with};

fn default_ttl(environment: &[(&str, &str)], flag: Option<&str>) -> Duration {
    let flags = Flags { ttl: flag.map(str::to_owned), ..Flags::default() };
    let sources = with("[cache]\ndefault_ttl = \"1s\"\n", environment, flags);
    Config::load(&sources).unwrap().cache.default_ttl
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let variable = [("SHELLAC__CACHE__DEFAULT_TTL", "2s")];
    assert_eq!(load(MINIMAL).unwrap().cache.default_ttl, Duration::ZERO);
    assert_eq!(default_ttl(&[], None), Duration::from_secs(1));
    assert_eq!(default_ttl(&variable, None), Duration::from_secs(2));
    assert_eq!(default_ttl(&variable, Some("3s")), Duration::from_secs(3));
}

#[test]
fn a_variable_is_what_its_setting_needs() {
    let config = load_with(
        "",
        &[
            ("SHELLAC__WORKERS", "3"),
            ("SHELLAC__CACHE__COLLAPSE", "false"),
            ("SHELLAC__CACHE__KEEP", "\"2m\""),
            ("SHELLAC__PURGE__ALLOW", "[\"10.0.0.0/8\"]"),
            ("SHELLAC__ADMIN__TOKEN", "12345"),
            ("SHELLAC__LISTEN", "[{ address = \"127.0.0.1:0\", backlog = 7 }]"),
            ("SHELLAC__ORIGIN__APP__RETRIES", "0"),
            ("SHELLAC_LOG", "no setting"),
        ],
    )
    .unwrap();
    assert_eq!(config.workers, 3);
    assert!(!config.cache.collapse);
    assert_eq!(config.cache.keep, Duration::from_mins(2));
    assert_eq!(config.purge.allow.len(), 1);
    assert_eq!(config.admin.token.unwrap().expose(), "12345");
    assert_eq!(config.listen[0].backlog, 7);
    assert_eq!(config.origins[0].retries, 0);
}

#[test]
fn flags_alone_are_enough() {
    let flags = Flags {
        listen: vec!["127.0.0.1:0".to_owned(), "[::1]:81".to_owned()],
        origin: Some("http://app.internal:3000/".to_owned()),
        admin: Some("127.0.0.1:82".to_owned()),
        ..Flags::default()
    };
    let config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
    let names: Vec<&str> = config.listen.iter().map(|listen| listen.name.as_str()).collect();
    assert_eq!(names, ["main", "[::1]:81"]);
    assert_eq!(config.origins[0].name, "app");
    assert_eq!(config.origins[0].servers[0].address.to_string(), "app.internal:3000");
    assert_eq!(config.admin.listen[0].to_string(), "127.0.0.1:82");
}

#[test]
fn the_origin_flag_replaces_servers_and_nothing_else() {
    let file = "[origin.web]\nservers = [\"a:1\", \"b:2\"]\nretries = 7\n";
    let flags = Flags { origin: Some("c:3".to_owned()), ..Flags::default() };
    let sources = Sources { flags, ..super::from_file(file) };
    let origin = &Config::load(&sources).unwrap().origins[0];
    assert_eq!(origin.name, "web");
    assert_eq!(origin.servers.len(), 1);
    assert_eq!(origin.servers[0].address.to_string(), "c:3");
    assert_eq!(origin.retries, 7);
}

#[test]
fn references_are_resolved_in_every_layer() {
    let environment = [
        ("TOKEN", "hunter2"),
        ("SHELLAC__PURGE__TOKEN", "${TOKEN}"),
        ("SHELLAC__PURGE__ALLOW", "[\"${NET:-10.0.0.0/8}\"]"),
    ];
    let config = load_with("[admin]\ntoken = \"${TOKEN}\"\n", &environment).unwrap();
    assert_eq!(config.admin.token, config.purge.token);
    assert_eq!(config.purge.allow[0].to_string(), "10.0.0.0/8");
}

#[test]
fn an_empty_token_is_none() {
    let config = load_with("[admin]\ntoken = \"${UNSET:-}\"\n", &[]).unwrap();
    assert_eq!(config.admin.token, None);
}

#[test]
fn the_summary_is_one_line() {
    let config = load_with("[storage.memory]\ncapacity = \"1GiB\"\n", &[]).unwrap();
    let expected =
        "✓ 1 origin (app: 127.0.0.1:3000), 1 listener, memory 1.0 GiB, admin 127.0.0.1:8081";
    assert_eq!(config.check_summary(), expected);

    let config = load_with("[origin.api]\nservers = [\"a:1\"]\n", &[]).unwrap();
    assert!(config.check_summary().starts_with("✓ 2 origins (app, api), 1 listener, "));
}
