//! The flags that are settings.

use super::overlay::Overlay;
use super::{KeyValue, Location, Node, Value};
use crate::report::{COMMAND_LINE, Report};
use crate::sources::Flags;

/// Returns the settings among the flags. `origin` is the name of the origin that `--origin` sets.
pub(super) fn overlays(flags: &Flags, origin: &str, report: &mut Report) -> Vec<Overlay> {
    let listen = flags.listen.iter().map(|address| listener(written("--listen", address, report)));
    let listen = all_of(listen.collect(), &["listen"]);
    let urls: Vec<_> = flags.origin.iter().map(|url| written("--origin", url, report)).collect();
    let scheme = urls.iter().find_map(scheme);
    let scheme = scheme.map(|scheme| overlay(scheme, &["origin", origin, "scheme"]));
    let servers = urls.into_iter().map(server).collect();
    let servers = all_of(servers, &["origin", origin, "servers"]);
    let admin = flags.admin.iter().map(|address| written("--admin", address, report));
    let admin = all_of(admin.collect(), &["admin", "listen"]);
    let ttl = flags.ttl.iter().map(|ttl| written("--ttl", ttl, report)).next();
    let ttl = ttl.map(|ttl| overlay(ttl, &["cache", "default_ttl"]));
    [listen, scheme, servers, admin, ttl].into_iter().flatten().collect()
}

/// Returns the value of a flag, at its place in `NAME VALUE`.
fn written(name: &str, value: &str, report: &mut Report) -> Node {
    let source = report.add_source(COMMAND_LINE, &format!("{name} {value}"));
    let start = name.len() + 1;
    let place = Location::new(source, start..start + value.len());
    Node { place, value: Value::Bare(value.to_owned()) }
}

/// Returns a `[[listen]]` of this address.
fn listener(address: Node) -> Node {
    let place = address.place.clone();
    let entry = KeyValue { key: "address".to_owned(), place: place.clone(), node: address };
    Node { place, value: Value::Table(vec![entry]) }
}

/// Returns a server's `host:port`, which may be written as a URL on the command line.
fn server(url: Node) -> Node {
    let Value::Bare(text) = &url.value else { return url };
    let is_https = text.starts_with(HTTPS);
    let text = text.strip_prefix(HTTPS).or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let text = if is_https && !has_port { format!("{text}:443") } else { text.to_owned() };
    Node { value: Value::Bare(text), ..url }
}

/// Returns the scheme of the origin, where the command line names servers by URLs.
fn scheme(url: &Node) -> Option<Node> {
    let Value::Bare(text) = &url.value else { return None };
    let (scheme, _) = text.split_once("://")?;
    let is_known = matches!(scheme, "http" | "https");
    let value = Value::Bare(scheme.to_owned());
    is_known.then(|| Node { place: url.place.clone(), value })
}

fn all_of(nodes: Vec<Node>, path: &[&str]) -> Option<Overlay> {
    let place = nodes.first()?.place.clone();
    Some(overlay(Node { place, value: Value::List(nodes) }, path))
}

fn overlay(node: Node, path: &[&str]) -> Overlay {
    let path = path.iter().map(|key| (*key).to_owned()).collect();
    Overlay { path, place: node.place.clone(), node }
}

const HTTPS: &str = "https://";
