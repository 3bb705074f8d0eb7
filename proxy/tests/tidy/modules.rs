//! The modules of the crates, and the names that each takes from others.

use std::collections::{BTreeMap, BTreeSet};

use super::code;
use super::sources::{self, Source};

/// Crates without a library: their root is `main.rs`.
const PROGRAMS: [&str; 1] = ["demo"];

/// A file that is a module of production code.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) krate: &'static str,
    /// Below the crate's root, which is empty.
    pub(super) path: Vec<String>,
    pub(super) file: String,
    pub(super) group: String,
    pub(super) code: String,
    /// Absolute paths that this module names, and the name that each has here.
    pub(super) names: Vec<Name>,
}

/// A path that a module names.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) here: Option<String>,
    pub(super) path: Vec<String>,
}

/// All modules of the crates.
#[derive(Debug)]
pub(super) struct Modules {
    pub(super) all: Vec<Module>,
    by_path: BTreeMap<(&'static str, Vec<String>), usize>,
}

impl Modules {
    pub(super) fn read() -> Self {
        let sources = sources::all();
        let tests = test_paths(&sources);
        let mut all: Vec<Module> = sources
            .iter()
            .filter_map(module)
            .filter(|module| {
                !(1..=module.path.len())
                    .any(|end| tests.contains(&(module.krate, module.path[..end].to_vec())))
            })
            .collect();
        let by_path: BTreeMap<_, _> = all
            .iter()
            .enumerate()
            .map(|(index, module)| ((module.krate, module.path.clone()), index))
            .collect();
        for module in &mut all {
            module.names = names(module, &by_path);
        }
        Self { all, by_path }
    }

    /// The module in which the name stands that `path` leads to, through `use` declarations.
    pub(super) fn resolve(&self, krate: &'static str, path: &[String], depth: usize) -> usize {
        let mut module = self.by_path[&(krate, Vec::new())];
        for (at, segment) in path.iter().enumerate() {
            let here = &self.all[module];
            let mut child = here.path.clone();
            child.push(segment.clone());
            if let Some(index) = self.by_path.get(&(krate, child)) {
                module = *index;
                continue;
            }
            let used = here.names.iter().find(|name| name.here.as_ref() == Some(segment));
            return match used {
                Some(used) if depth > 0 => {
                    let mut whole = used.path.clone();
                    whole.extend_from_slice(&path[at + 1..]);
                    self.resolve(krate, &whole, depth - 1)
                }
                _ => module,
            };
        }
        module
    }
}

fn test_paths(sources: &[Source]) -> BTreeSet<(&'static str, Vec<String>)> {
    let mut paths = BTreeSet::new();
    for source in sources {
        let Some((krate, inner)) = source.in_crate() else { continue };
        let path = module_path(inner);
        for test in code::test_modules(&source.text) {
            let mut path = path.clone();
            path.push(test);
            paths.insert((krate, path));
        }
    }
    paths
}

fn module_path(inner: &str) -> Vec<String> {
    let inner = inner.trim_end_matches(".rs");
    let mut path: Vec<String> = inner.split('/').map(ToOwned::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        path.pop();
    }
    path
}

fn module(source: &Source) -> Option<Module> {
    let (krate, inner) = source.in_crate()?;
    let is_program = inner == "main.rs" && !PROGRAMS.contains(&krate);
    if is_program || inner.starts_with("bin/") {
        return None;
    }
    Some(Module {
        krate,
        path: module_path(inner),
        file: source.path.clone(),
        group: source.group(),
        code: code::production(&source.text),
        names: Vec::new(),
    })
}

fn names(module: &Module, by_path: &BTreeMap<(&'static str, Vec<String>), usize>) -> Vec<Name> {
    let tokens = code::tokens(&module.code);
    let mut names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            let end = (at..tokens.len()).find(|at| tokens[*at] == ";").unwrap_or(tokens.len());
            use_tree(&tokens[at + 1..end], &[], &mut names);
            at = end;
        } else if ["crate", "super", "self"].contains(&tokens[at])
            && tokens.get(at + 1) == Some(&"::")
        {
            let mut path = vec![tokens[at].to_owned()];
            while tokens.get(at + 1) == Some(&"::")
                && tokens.get(at + 2).is_some_and(|token| is_word(token))
            {
                path.push(tokens[at + 2].to_owned());
                at += 2;
            }
            names.push(Name { here: None, path });
        }
        at += 1;
    }
    names.retain_mut(|name| absolute(module, by_path, &mut name.path));
    names
}

fn is_word(token: &str) -> bool {
    token.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// Unfolds `a::{b, c as d}`.
fn use_tree(tokens: &[&str], prefix: &[String], names: &mut Vec<Name>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            "{" => {
                let inside = &tokens[at + 1..tokens.len() - 1];
                let mut depth = 0;
                for branch in inside.split(|token| {
                    depth += i32::from(*token == "{") - i32::from(*token == "}");
                    *token == "," && depth == 0
                }) {
                    use_tree(branch, &path, names);
                }
                return;
            }
            "as" => {
                let here = tokens.get(at + 1).map(|token| (*token).to_owned());
                names.push(Name { here, path });
                return;
            }
            "::" => {}
            "self" if !prefix.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    if !tokens.is_empty() {
        names.push(Name { here: path.last().cloned(), path });
    }
}

/// Makes a path begin at the root of the crate; `false` for what is not of this crate.
fn absolute(
    module: &Module,
    by_path: &BTreeMap<(&'static str, Vec<String>), usize>,
    path: &mut Vec<String>,
) -> bool {
    let mut base = module.path.clone();
    let mut skip = 0;
    match path.first().map(String::as_str) {
        Some("crate") => {
            base.clear();
            skip = 1;
        }
        Some("self") => skip = 1,
        Some("super") => {
            while path.get(skip).is_some_and(|segment| segment == "super") {
                base.pop();
                skip += 1;
            }
        }
        Some(first) => {
            let mut child = base.clone();
            child.push(first.to_owned());
            if !by_path.contains_key(&(module.krate, child)) {
                return false;
            }
        }
        None => return false,
    }
    base.extend(path.drain(skip..));
    *path = base;
    true
}
