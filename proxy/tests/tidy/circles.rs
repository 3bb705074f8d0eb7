//! No import circle among files, but a module with its own children.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::modules::{Module, Modules};
use super::report::Report;

const REEXPORTS_MAX: usize = 8;

type Graph = BTreeMap<usize, BTreeSet<usize>>;

#[test]
fn no_file_imports_one_that_imports_it() {
    let modules = Modules::read();
    let graph = graph(&modules);
    let mut report = Report::new("import circles");
    // Siblings: without the edges between a module and what lies in it.
    let mut siblings = graph.clone();
    for (from, to) in &mut siblings {
        to.retain(|to| !is_family(&modules.all[*from], &modules.all[*to]));
    }
    add_circles(&modules, &siblings, &mut report);
    // Everything: a circle may only hold a module and what lies in it.
    let mut whole = Report::new("circles");
    for circle in circles(&graph) {
        let top = circle.iter().min_by_key(|index| modules.all[**index].path.len()).unwrap();
        let top = &modules.all[*top];
        if !circle.iter().all(|index| is_family(top, &modules.all[*index])) {
            whole.add(top.group.clone(), describe(&modules, &graph, &circle));
        }
    }
    whole.print();
    report.print();
    assert_eq!(report.len() + whole.len(), 0, "there are import circles");
}

fn graph(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    for (index, module) in modules.all.iter().enumerate() {
        let to = graph.entry(index).or_default();
        for name in &module.names {
            to.insert(modules.resolve(module.krate, &name.path, REEXPORTS_MAX));
        }
        to.remove(&index);
    }
    graph
}

fn is_family(one: &Module, other: &Module) -> bool {
    one.krate == other.krate
        && (one.path.starts_with(&other.path) || other.path.starts_with(&one.path))
}

fn add_circles(modules: &Modules, graph: &Graph, report: &mut Report) {
    for circle in circles(graph) {
        let group = modules.all[circle[0]].group.clone();
        report.add(group, describe(modules, graph, &circle));
    }
}

fn describe(modules: &Modules, graph: &Graph, circle: &[usize]) -> String {
    let mut text = format!("{} files:", circle.len());
    for from in circle {
        let to: Vec<&str> = graph[from]
            .iter()
            .filter(|to| circle.contains(to))
            .map(|to| modules.all[*to].file.as_str())
            .collect();
        write!(text, "\n      {} -> {}", modules.all[*from].file, to.join(", ")).unwrap();
    }
    text
}

/// The sets of files that reach each other, largest first.
fn circles(graph: &Graph) -> Vec<Vec<usize>> {
    let reach: BTreeMap<usize, BTreeSet<usize>> =
        graph.keys().map(|from| (*from, reachable(graph, *from))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (from, to) in &reach {
        if !to.contains(from) || seen.contains(from) {
            continue;
        }
        let circle: Vec<usize> =
            to.iter().copied().filter(|other| reach[other].contains(from)).collect();
        seen.extend(circle.iter().copied());
        circles.push(circle);
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

fn reachable(graph: &Graph, from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for to in &graph[&next] {
            if seen.insert(*to) {
                open.push(*to);
            }
        }
    }
    seen
}
