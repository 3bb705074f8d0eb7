//! The floors of the house: a file names only modules that stand lower than its own.

use std::collections::BTreeSet;

use super::modules::Modules;
use super::report::Report;

/// The modules of `proxy/src`, the highest floor first. Crates of the workspace are the ground.
const PROXY: [&[&str]; 21] = [
    &["testing"],
    &["cli"],
    &["upgrade"],
    &["server"],
    &["admin"],
    &["app"],
    &["log", "explain", "spans"],
    &["front"],
    &["cache"],
    &["purge"],
    &["response"],
    &["fetch"],
    &["lookup"],
    &["store", "listener", "request"],
    &["policy"],
    &["freshness", "origins"],
    &["invalidation", "client"],
    &["key", "framing", "compression"],
    &["tls", "live"],
    &["field", "metrics", "transport", "limit"],
    &["reason"],
];

/// The modules of `purger/src`.
const PURGER: [&[&str]; 10] = [
    &["cli"],
    &["app"],
    &["admin"],
    &["delivery"],
    &["intake"],
    &["dead_letter", "receipt", "settle"],
    &["kafka"],
    &["partition"],
    &["event"],
    &["backoff", "instance", "memory", "metrics"],
];

/// What may not be named at all, whatever its floor: pure modules know no clock and no socket.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("proxy/src/framing/", &["tokio", "hyper::"]),
    ("proxy/src/freshness/", &["tokio", "hyper::", "process::clock", "settings::"]),
    ("proxy/src/store/", &["hyper::", "settings::"]),
    ("proxy/src/key/", &["hyper::", "settings::"]),
];

#[test]
fn a_file_names_only_what_stands_lower() {
    let modules = Modules::read();
    let mut report = Report::new("floors");
    for (krate, floors) in [("proxy", PROXY.as_slice()), ("purger", PURGER.as_slice())] {
        check(&modules, krate, floors, &mut report);
    }
    report.assert_empty();
}

fn check(modules: &Modules, krate: &str, floors: &[&[&str]], report: &mut Report) {
    let floor_of = |name: &str| floors.iter().position(|floor| floor.contains(&name));
    for module in modules.all.iter().filter(|module| module.krate == krate) {
        let Some(own) = module.path.first() else { continue };
        let Some(floor) = floor_of(own) else {
            report.add(module.group.clone(), format!("{}: stands on no floor", module.file));
            continue;
        };
        let used: BTreeSet<(&str, String)> = module
            .names
            .iter()
            .filter_map(|name| Some((name.path.first()?.as_str(), name.path.join("::"))))
            .filter(|(top, _)| top != own)
            .filter(|(top, _)| floor_of(top).is_none_or(|other| other <= floor))
            .collect();
        for (_, path) in used {
            report.add(module.group.clone(), format!("{}: {path}", module.file));
        }
    }
    let built: BTreeSet<&str> = modules
        .all
        .iter()
        .filter(|module| module.krate == krate)
        .filter_map(|module| module.path.first().map(String::as_str))
        .collect();
    for name in floors.iter().copied().flatten().filter(|name| !built.contains(**name)) {
        report.add(format!("{krate}/src"), format!("{name}: a floor without a module"));
    }
}

#[test]
fn pure_modules_know_no_clock_and_no_socket() {
    let mut report = Report::new("pure modules");
    for module in Modules::read().all {
        for (folder, words) in FORBIDDEN {
            for word in words.iter().filter(|word| module.code.contains(**word)) {
                if module.file.starts_with(folder) {
                    report.add(module.group.clone(), format!("{}: uses {word}", module.file));
                }
            }
        }
    }
    report.assert_empty();
}
