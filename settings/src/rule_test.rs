//! `RuleTest`: a request, and what rules are expected to make of it.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::ConfigErrors;
use crate::report::Report;
use crate::sources::Sources;
use crate::table::{self, Table};
use crate::tree::layers;
use crate::value::{Fault, parsed, text};

/// One `[[test]]`.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// `url`: scheme, host and path with query.
    pub url: String,
    /// `method`; GET if it is not given.
    pub method: Method,
    /// `header`: the request's fields.
    pub fields: HeaderMap,
    /// `client`: the client's address.
    pub client: Option<std::net::IpAddr>,
    /// The expected outcome. `None` is not looked at.
    pub expected: ExpectedOutcome,
}

/// The outcome that is expected of rules for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedOutcome {
    /// `rules`: the names of all that match, in their order.
    pub rules: Option<Vec<String>>,
    /// `key`: the URL under which a response is stored, and for which the origin is asked.
    pub key: Option<String>,
    /// `decision`: `cache`, `bypass`, `stored`, or the status of a rule's own answer.
    pub decision: Option<String>,
    /// `origin`: the name of the origin that would be asked.
    pub origin: Option<String>,
}

impl RuleTest {
    /// Reads the tests in a file.
    pub fn read_all(name: &str, text: &str) -> Result<Vec<Self>, ConfigErrors> {
        let mut report = Report::default();
        let file = Some((name.to_owned(), text.to_owned()));
        let root = layers::merge(&Sources { file, ..Sources::default() }, &mut report);
        let tests = table::read_root(&root, &mut report, |root| {
            let mut tests = Vec::new();
            root.tables("test", |table| tests.push(Self::read(table)));
            tests
        });
        let (errors, _warnings) = report.finish();
        if errors.is_empty() { Ok(tests) } else { Err(ConfigErrors::new(errors)) }
    }

    fn read(table: &mut Table<'_>) -> Self {
        let mut test = Self {
            url: String::new(),
            method: Method::GET,
            fields: HeaderMap::new(),
            client: None,
            expected: ExpectedOutcome::default(),
        };
        table.require("url");
        table.read("url", parsed(url), &mut test.url);
        table.read("method", parsed(method), &mut test.method);
        let mut fields = Vec::new();
        table.read_map("header", |node| text(node).map(str::to_owned), &mut fields);
        for (name, value) in fields {
            match (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => {
                    test.fields.append(name, value);
                }
                _ => table.fault_of("header", Fault::new("must hold fields", "not a field")),
            }
        }
        table.read("client", |node| parsed(address)(node).map(Some), &mut test.client);
        let expected = &mut test.expected;
        if table.has("rules") {
            let mut rules = Vec::new();
            table.read_each("rules", |node| text(node).map(str::to_owned), &mut rules);
            expected.rules = Some(rules);
        } else {
            table.read_each("rules", |node| text(node).map(str::to_owned), &mut Vec::new());
        }
        for (key, target) in [
            ("key", &mut expected.key),
            ("decision", &mut expected.decision),
            ("origin", &mut expected.origin),
        ] {
            table.read(key, |node| text(node).map(|text| Some(text.to_owned())), target);
        }
        test
    }
}

fn url(text: &str) -> Result<String, Fault> {
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https")
            && rest.split('/').next().is_some_and(|it| !it.is_empty())
    });
    if is_url {
        return Ok(text.to_owned());
    }
    Err(Fault::new("must be a URL", "not a URL").help("\"https://www.example.com/\""))
}

fn method(text: &str) -> Result<Method, Fault> {
    text.parse().map_err(|_malformed| Fault::new("must be a method", "not a method"))
}

fn address(text: &str) -> Result<std::net::IpAddr, Fault> {
    text.parse().map_err(|_malformed| Fault::new("must be an address", "not an address"))
}
