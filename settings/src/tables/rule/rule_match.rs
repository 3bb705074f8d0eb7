//! `RuleMatch`: the requests that a rule is for.

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::device_class::{DEVICES, DeviceClass};
use super::expected::{Expected, expected};
use crate::pattern::{
    Captures, HostPattern, PathPattern, PathRegex, host_pattern, path_pattern, path_regex,
};
use crate::table::Table;
use crate::value::{Fault, choice, cidr, is_token, parsed};

/// Conditions, all of which must hold. Of those that are lists, one item is enough; an empty one
/// asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleMatch {
    /// `host`: the canonical host, whose port does not matter.
    pub hosts: Vec<HostPattern>,
    /// `path`: the path without its query, as it is before a rule rewrites it.
    pub paths: Vec<PathPattern>,
    /// `path_regex`: an expression in the same path.
    pub path_regex: Option<PathRegex>,
    /// `method`. GET is HEAD as well, which is answered from the same stored response.
    pub methods: Vec<Method>,
    /// `query`: parameters by their names, as the client sent them; compared after
    /// percent-decoding. Of a repeated one, each counts.
    pub query: Vec<(String, Vec<Expected>)>,
    /// `header`: fields by their names. Of several lines, each counts.
    pub fields: Vec<(HeaderName, Vec<Expected>)>,
    /// `cookie`: cookies by their names. Of a repeated one, each counts.
    pub cookies: Vec<(String, Vec<Expected>)>,
    /// `client`: networks of the client's address, which is that of the peer, or the one that a
    /// trusted peer gives.
    pub clients: Vec<IpNet>,
    /// `device`.
    pub devices: Vec<DeviceClass>,
}

impl RuleMatch {
    /// Returns whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether GET requests for one host and path may be told apart by it.
    pub fn looks_beyond_the_path(&self) -> bool {
        let Self { hosts: _, paths: _, path_regex: _, methods, .. } = self;
        methods.contains(&Method::HEAD) && !methods.contains(&Method::GET)
            || !self.query.is_empty()
            || !self.fields.is_empty()
            || !self.cookies.is_empty()
            || !self.clients.is_empty()
            || !self.devices.is_empty()
    }

    /// Returns whether every request that fulfils the other conditions certainly fulfils these.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let Self { hosts, paths, path_regex, methods, query, fields, cookies, clients, devices } =
            self;
        let is_host = |host: &HostPattern| hosts.iter().any(|own| own.covers(host));
        let is_path = |path: &PathPattern| paths.iter().any(|own| own.covers(path));
        (hosts.is_empty() || !other.hosts.is_empty() && other.hosts.iter().all(is_host))
            && (paths.is_empty() || !other.paths.is_empty() && other.paths.iter().all(is_path))
            && (path_regex.is_none() || *path_regex == other.path_regex)
            && (methods.is_empty() || is_within(&other.methods, methods))
            && query.iter().all(|asked| other.query.contains(asked))
            && fields.iter().all(|asked| other.fields.contains(asked))
            && cookies.iter().all(|asked| other.cookies.contains(asked))
            && (clients.is_empty() || is_within(&other.clients, clients))
            && (devices.is_empty() || is_within(&other.devices, devices))
    }

    /// Returns what the path pattern leaves open of a path that it matches; the whole path if
    /// there is no pattern.
    pub fn captures<'p>(&self, path: &'p str) -> Captures<'p> {
        let by_regex = self.path_regex.as_ref().and_then(|regex| regex.captures(path));
        let by_glob = || self.paths.iter().find_map(|pattern| pattern.captures(path));
        by_regex.or_else(by_glob).unwrap_or_else(|| Captures::whole(path))
    }

    /// Reads the conditions of a rule, or those in its `not`.
    pub(super) fn read(&mut self, table: &mut Table<'_>) {
        table.read_one_or_more("host", parsed(host_pattern), &mut self.hosts);
        table.read_one_or_more("path", parsed(path_pattern), &mut self.paths);
        let mut regex = None;
        table.read("path_regex", |node| parsed(path_regex)(node).map(Some), &mut regex);
        self.path_regex = regex;
        table.read_one_or_more("method", parsed(method), &mut self.methods);
        table.read_map("query", expected, &mut self.query);
        let mut fields = Vec::new();
        table.read_map("header", expected, &mut fields);
        for (name, expected) in fields {
            match name.parse() {
                Ok(name) => self.fields.push((name, expected)),
                Err(_malformed) => table.fault_of("header", no_name(&name, "field")),
            }
        }
        table.read_map("cookie", expected, &mut self.cookies);
        if let Some((name, _)) = self.cookies.iter().find(|(name, _)| !is_token(name)) {
            table.fault_of("cookie", no_name(name, "cookie"));
        }
        table.read_one_or_more("client", parsed(cidr), &mut self.clients);
        table.read_one_or_more("device", choice(&DEVICES), &mut self.devices);
    }
}

/// Returns whether there are some, and all are among these.
fn is_within<T: PartialEq>(some: &[T], all: &[T]) -> bool {
    !some.is_empty() && some.iter().all(|one| all.contains(one))
}

fn no_name(name: &str, whose: &str) -> Fault {
    Fault::new(format!("must have {whose} names as keys, and `{name}` is none"), "not a name")
}

/// Reads a method, which is case-sensitive (RFC 9110 §9.1).
fn method(text: &str) -> Result<Method, Fault> {
    let fault = |label| Fault::new(format!("must be a method, and `{text}` is none"), label);
    let upper = text.to_ascii_uppercase();
    if upper != text {
        return Err(fault("in small letters").help(format!("did you mean \"{upper}\"?")));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_malformed| fault("not a token"))
}
