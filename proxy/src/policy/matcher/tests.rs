//! The index finds what comparing every rule finds.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use settings::{Config, RuleSettings, Sources};

use super::{MatchedRules, Matcher, RequestView, naive};

/// Reads rules as a file has them.
pub(in crate::policy) fn rules(text: &str) -> Vec<RuleSettings> {
    let origin = "[origin.app]\nservers = [\"a:1\"]\n";
    let file = Some(("config.toml".to_owned(), format!("{origin}{text}")));
    Config::load(&Sources { file, ..Sources::default() }).unwrap().rules
}

fn by_comparing_all(rules: &[RuleSettings], request: &RequestView<'_>) -> MatchedRules {
    let mut matched = MatchedRules::new();
    for (place, rule) in (0..).zip(rules) {
        if naive::matches(rule, request) {
            matched.push(place);
            if rule.last && rule.response.is_empty() {
                break;
            }
        }
    }
    matched
}

#[test]
fn a_rule_is_found_by_host_path_and_what_else_it_asks() {
    let rules = rules(
        "[[rule]]\nhost = [\"a.example\", \"*.b.example\"]\nttl = \"1m\"\n\
         [[rule]]\npath = \"/p/*\"\nttl = \"1m\"\n\
         [[rule]]\nhost = \"a.example\"\npath = \"/p/**\"\nheader = { x = \"1\" }\nttl = \"1m\"\n\
         [[rule]]\npath_regex = \"^/p/[0-9]+$\"\nttl = \"1m\"\n\
         [[rule]]\nnot = { path = \"/p/**\" }\nttl = \"1m\"\n",
    );
    let matcher = Matcher::new(&rules);
    let fields =
        HeaderMap::from_iter([(HeaderName::from_static("x"), HeaderValue::from_static("1"))]);
    for (host, path, expected) in [
        ("a.example", "/p/42", &[0, 1, 2, 3][..]),
        ("a.example:8080", "/p/a?x=/p/42", &[0, 1, 2]),
        ("x.b.example", "/p/42", &[0, 1, 3]),
        ("b.example", "/", &[4]),
        ("x.y.b.example", "/p", &[0, 4]),
    ] {
        let request = RequestView::new(&Method::GET, host, path, &fields);
        assert_eq!(matcher.matches(&request).as_slice(), expected, "{host}{path}");
    }
}

#[test]
fn head_is_matched_where_get_is() {
    let rules = rules(
        "[[rule]]\nmethod = \"GET\"\nttl = \"1m\"\n[[rule]]\nmethod = \"HEAD\"\nttl = \"1m\"\n",
    );
    let matcher = Matcher::new(&rules);
    let fields = HeaderMap::new();
    for (method, expected) in
        [(Method::GET, &[0][..]), (Method::HEAD, &[0, 1]), (Method::POST, &[])]
    {
        let request = RequestView::new(&method, "a", "/", &fields);
        assert_eq!(matcher.matches(&request).as_slice(), expected, "{method}");
    }
}

/// Conditions and values that are often the same, so that they often hold.
fn condition() -> impl Strategy<Value = String> {
    let hosts = ["a.example", "*.example", "b.a.example", "*.a.example"];
    let paths = [
        "/a",
        "/a/*",
        "/a/**",
        "/**/b",
        "/**",
        "/*/b*",
        "/{a,b}/c",
        "/a*b",
        "/b/**/c/*",
        "/**/c/**",
        "/",
    ];
    let regexes = ["^/a", "b$", "a.c", "[ab]/[bc]", "", "^/$", "(a|b)+c"];
    let of = |key: &'static str, values: Vec<&'static str>| {
        vec(select(values), 1..3).prop_map(move |values| format!("{key} = {values:?}\n"))
    };
    prop_oneof![
        3 => of("host", hosts.to_vec()),
        6 => of("path", paths.to_vec()),
        1 => select(regexes.to_vec()).prop_map(|regex| format!("path_regex = {regex:?}\n")),
        1 => of("method", vec!["GET", "HEAD", "POST"]),
        1 => select(vec!["\"1\"", "\"*\"", "\"\"", "[\"1\", \"\"]"])
            .prop_map(|value| format!("query = {{ q = {value} }}\n")),
        1 => select(vec!["\"1\"", "\"*\"", "\"\""])
            .prop_map(|value| format!("header = {{ x = {value} }}\n")),
        1 => select(vec!["{ path = \"/a/**\" }", "{ host = \"a.example\", path = \"/a\" }"])
            .prop_map(|not| format!("not = {not}\n")),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let last = prop_oneof![5 => Just(""), 1 => Just("last = true\n")];
    (vec(condition(), 0..4), last).prop_map(|(mut conditions, last)| {
        // A key may be written once.
        conditions.sort();
        conditions.dedup_by_key(|line| line.split(' ').next().unwrap_or_default().to_owned());
        format!("[[rule]]\n{}ttl = \"1m\"\n{last}", conditions.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_index_finds_what_comparing_every_rule_finds(
        rule_texts in vec(rule(), 1..24),
        requests in vec(
            (select(vec!["a.example", "b.a.example", "example", "c.b.a.example:8080", "x"]),
             "(/[abc]{0,2}){1,4}", select(vec!["", "?q=1", "?q", "?q=2&q=1"]), any::<bool>()),
            1..24,
        ),
    ) {
        let rules = rules(&rule_texts.concat());
        let matcher = Matcher::new(&rules);
        for (host, path, query, has_field) in requests {
            let mut fields = HeaderMap::new();
            if has_field {
                fields.insert("x", HeaderValue::from_static("1"));
            }
            let target = format!("{path}{query}");
            let request = RequestView::new(&Method::GET, host, &target, &fields);
            prop_assert_eq!(
                matcher.matches(&request), by_comparing_all(&rules, &request), "{} {}", host, target
            );
        }
    }
}
