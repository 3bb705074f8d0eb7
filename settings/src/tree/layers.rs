//! File, then environment, then flags, each over the one before.

use super::overlay::Overlay;
use super::{KeyValue, Location, Node, Value, environment, flags, insert, syntax};
use crate::report::{ProblemBuilder, Report};
use crate::sources::Sources;

/// Returns everything that was written, as one tree.
pub(crate) fn merge(sources: &Sources, report: &mut Report) -> Node {
    let mut root = read_file(sources, report);
    for overlay in environment::overlays(&sources.environment, report) {
        put(&mut root, overlay, report);
    }
    for overlay in flags::overlays(&sources.flags, &origin_name(&root), report) {
        put(&mut root, overlay, report);
    }
    Node { place: Location::new(0, 0..0), value: Value::Table(root) }
}

fn read_file(sources: &Sources, report: &mut Report) -> Vec<KeyValue> {
    let Some((name, text)) = &sources.file else { return Vec::new() };
    let source = report.add_source(name, text);
    syntax::document(text, source, report)
}

fn put(root: &mut Vec<KeyValue>, overlay: Overlay, report: &mut Report) {
    let path: Vec<&str> = overlay.path.iter().map(String::as_str).collect();
    if let Err(below) = insert(root, &path, &overlay.place, overlay.node) {
        let message = format!("`{}` cannot be set: `{}` is no table", path.join("."), below.key);
        report.add(ProblemBuilder::error(message, "not a setting").at(&overlay.place));
    }
}

/// Returns the name of the first origin there is, else `app`.
fn origin_name(root: &[KeyValue]) -> String {
    let origins = root.iter().find(|entry| entry.key == "origin").map(|entry| entry.node.entries());
    let first = origins.and_then(<[KeyValue]>::first);
    first.map_or_else(|| "app".to_owned(), |origin| origin.key.clone())
}
