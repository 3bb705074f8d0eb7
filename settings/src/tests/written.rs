//! What differs between two configurations, as an operator wrote it.

use super::{Config, Flags, MINIMAL, from_file, with};
use crate::WrittenSettings;

fn written(text: &str) -> WrittenSettings {
    Config::load_written(&from_file(&format!("{MINIMAL}{text}")), |_| Vec::new()).unwrap().1
}

fn changes(before: &str, after: &str) -> Vec<String> {
    written(before).changes_to(&written(after)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_change_names_the_setting_and_both_values() {
    assert_eq!(changes("", ""), [""; 0]);
    assert_eq!(
        changes("[cache]\nkeep = \"1h\"\n", "[cache]\nkeep = \"2h\"\n[limits]\nmax_headers = 7\n"),
        ["cache.keep: 1h → 2h", "limits.max_headers: (default) → 7"]
    );
    assert_eq!(
        changes(
            "[[listen]]\naddress = \"127.0.0.1:80\"\n",
            "[[listen]]\naddress = \"127.0.0.1:81\"\n[[listen]]\naddress = \"127.0.0.1:82\"\n",
        ),
        [
            "listen[0].address: 127.0.0.1:80 → 127.0.0.1:81",
            "listen[1].address: (default) → 127.0.0.1:82"
        ]
    );
    assert_eq!(
        changes("", "[purge]\nallow = [\"10.0.0.0/8\", \"fd00::/8\"]\n"),
        ["purge.allow: (default) → [10.0.0.0/8, fd00::/8]"]
    );
}

#[test]
fn a_secret_that_changes_is_named_and_not_shown() {
    let [one, other] = ["[admin]\ntoken = \"hunter2\"\n", "[admin]\ntoken = \"hunter3\"\n"];
    assert_eq!(changes(one, other), ["admin.token: *** → ***"]);
    assert_eq!(changes(one, one), [""; 0]);
    assert_eq!(written(one).hash(), written(other).hash());
    assert!(!format!("{:?}", written(one)).contains("hunter2"));
}

#[test]
fn the_admin_listener_is_found_in_a_file_that_is_wrong_elsewhere() {
    let admin = "[admin]\nlisten = [\"127.0.0.1:9\"]\ntoken = \"x\"\n";
    for wrong in ["[cache]\nkep = 1\n", "[cache\n", "[limits]\nmax_url = \"7 parsecs\"\n"] {
        let sources = from_file(&format!("{admin}{wrong}"));
        assert!(Config::load(&sources).is_err());
        let found = Config::load_admin(&sources).unwrap();
        assert_eq!(found.listen[0].to_string(), "127.0.0.1:9", "{wrong}");
        assert!(found.token.unwrap().matches(b"x"));
    }
    assert!(Config::load_admin(&from_file("[admin]\nlisten = [\"nonsense\"]\n")).is_none());
}

#[test]
fn the_hash_tells_settings_apart_and_not_layers() {
    let hash = written("[cache]\nkeep = \"2h\"\n").hash();
    assert_eq!(hash.len(), 16);
    assert_ne!(hash, written("[cache]\nkeep = \"1h\"\n").hash());
    let sources = with("", &[("SHELLAC__CACHE__KEEP", "2h")], Flags::default());
    assert_eq!(Config::load_written(&sources, |_| Vec::new()).unwrap().1.hash(), hash);
}

#[test]
fn each_setting_has_a_value_and_a_source_and_secrets_have_none() {
    let mut sources = from_file(&format!(
        "{MINIMAL}[cache]\nkeep = \"2h\"\n[admin]\ntoken = \"hunter22hunter22\"\n"
    ));
    sources.environment.push(("SHELLAC__LIMITS__MAX_HEADERS".to_owned(), "7".to_owned()));
    sources.flags = Flags { ttl: Some("3m".to_owned()), ..Flags::default() };
    let (_, written) = Config::load_written(&sources, |_| Vec::new()).unwrap();
    let effective = written.effective();
    let of = |path: &str| {
        let found = effective.iter().find(|one| one.setting == path).unwrap();
        (found.value.clone(), found.source.clone())
    };
    let lines = MINIMAL.lines().count();
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(of("cache.keep"), pair("2h", &format!("config.toml:{}", lines + 2)));
    assert_eq!(of("limits.max_headers"), pair("7", "SHELLAC__LIMITS__MAX_HEADERS"));
    assert_eq!(of("cache.default_ttl"), pair("3m", "--ttl"));
    assert_eq!(of("purge.default_mode"), pair("hard", "default"));
    assert_eq!(of("admin.token").0, "***");
    assert_eq!(of("purge.token"), pair("(unset)", "default"));
    assert!(effective.iter().all(|one| !one.value.contains("hunter22")));
}

#[test]
fn no_secret_of_a_rule_or_a_url_is_printed() {
    let text = format!(
        "{MINIMAL}[[rule]]\npath = \"/a/*\"\nrequest_headers.set.authorization = \"hunter2\"\n\
         request_headers.set.accept = \"a\"\n[kafka.properties]\n\"a.url\" = \"http://u:hunter2@p\"\n"
    );
    let (config, written) = Config::load_written(&from_file(&text), |_| Vec::new()).unwrap();
    let effective = written.effective();
    assert!(effective.iter().all(|one| !one.value.contains("hunter2")), "{effective:?}");
    let rule = &config.rules[0];
    assert_eq!(
        rule.written("request_headers.authorization"),
        "request_headers.set.authorization = ***"
    );
    assert_eq!(rule.written("request_headers.accept"), "request_headers.set.accept = a");
}
