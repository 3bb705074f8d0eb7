//! A type is where its name is, and a name means one type.

use std::collections::BTreeMap;

use super::code::tokens;
use super::modules::Modules;
use super::report::Report;

const SHARED_NAMES_MAX: usize = 29;
const STORE_METHODS_MAX: usize = 9;

#[test]
fn a_type_has_its_inherent_methods_in_the_file_that_defines_it() {
    let modules = Modules::read();
    let mut report = Report::new("types with methods in another file");
    for module in &modules.all {
        let tokens = tokens(&module.code);
        let defined = defined(&tokens);
        for name in inherent(&tokens) {
            if !defined.contains(&name) {
                report.add(module.group.clone(), format!("{}: impl {name}", module.file));
            }
        }
    }
    report.assert_empty();
}

#[test]
fn few_names_mean_two_types() {
    let modules = Modules::read();
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let tokens: Vec<(String, Vec<&str>)> =
        modules.all.iter().map(|module| (module.file.clone(), tokens(&module.code))).collect();
    for (file, tokens) in &tokens {
        for name in defined(tokens) {
            places.entry(name).or_default().push(file.clone());
        }
    }
    let total = places.len();
    let mut report = Report::new("names defined twice or more");
    for (name, files) in places.into_iter().filter(|(_, files)| files.len() > 1) {
        report.add(format!("{} times", files.len()), format!("{name}: {}", files.join(", ")));
    }
    println!("{} of {total} type names are defined twice or more", report.len());
    report.assert_at_most(SHARED_NAMES_MAX);
}

#[test]
fn an_engine_has_few_methods_to_write() {
    let modules = Modules::read();
    let mut report = Report::new("methods of `trait Store`");
    for module in modules.all.iter().filter(|module| module.file.starts_with("proxy/src/store/")) {
        let tokens = tokens(&module.code);
        let Some(at) = tokens.windows(2).position(|pair| pair == ["trait", "Store"]) else {
            continue;
        };
        let mut depth = 0;
        for (at, token) in tokens.iter().enumerate().skip(at) {
            depth += i32::from(*token == "{") - i32::from(*token == "}");
            if *token == "fn" && depth == 1 {
                report.add(module.file.clone(), tokens[at + 1].to_owned());
            }
            if *token == "}" && depth == 0 {
                break;
            }
        }
    }
    assert!(report.len() > 0, "there is no `trait Store`");
    report.assert_at_most(STORE_METHODS_MAX);
}

fn defined<'code>(tokens: &[&'code str]) -> Vec<&'code str> {
    tokens
        .windows(2)
        .filter(|pair| ["struct", "enum", "union", "trait", "type"].contains(&pair[0]))
        .filter(|pair| pair[1].starts_with(char::is_uppercase))
        .map(|pair| pair[1])
        .zip(associated(tokens))
        .filter(|(_, is_associated)| !is_associated)
        .map(|(name, _)| name)
        .collect()
}

/// For each definition in the same order, whether it is a `type` inside of a trait or `impl`.
fn associated(tokens: &[&str]) -> Vec<bool> {
    let mut depth = 0;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        depth += i32::from(*token == "{") - i32::from(*token == "}");
        if ["struct", "enum", "union", "trait", "type"].contains(token)
            && tokens.get(at + 1).is_some_and(|name| name.starts_with(char::is_uppercase))
        {
            found.push(*token == "type" && depth > 0);
        }
    }
    found
}

/// The types that `impl` blocks without a trait are written for.
fn inherent<'code>(tokens: &[&'code str]) -> Vec<&'code str> {
    let mut found = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| **token == "impl") {
        let starts_item = at == 0 || ["}", ";", "]", "{", "unsafe", ")"].contains(&tokens[at - 1]);
        let Some(head) = tokens
            .get(at + 1..)
            .and_then(|rest| rest.iter().position(|token| *token == "{").map(|end| &rest[..end]))
        else {
            continue;
        };
        if !starts_item || head.contains(&"for") && !head.contains(&"where") {
            continue;
        }
        let mut depth = 0;
        let name = head.iter().find(|token| {
            depth += i32::from(**token == "<") - i32::from(**token == ">");
            depth == 0 && token.starts_with(char::is_uppercase)
        });
        found.extend(name.copied());
    }
    found
}
