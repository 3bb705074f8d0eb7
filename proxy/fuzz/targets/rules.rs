//! Rules as a file has them, an empty line, then requests: a host, a space, a path with query. The
//! index finds the rules that comparing each one finds.

use http::{HeaderMap, Method};
use settings::{Config, RuleSettings, Sources};
use shellac::testing::policy::matcher::{Matcher, RequestView, naive};

use super::head::split_at_empty_line;

pub(crate) fn run(data: &[u8]) {
    let (rules, requests) = split_at_empty_line(data);
    let (Ok(rules), Ok(requests)) = (std::str::from_utf8(rules), std::str::from_utf8(requests))
    else {
        return;
    };
    let text = format!("[origin.app]\nservers = [\"a:1\"]\n{rules}\n");
    let file = Some(("config.toml".to_owned(), text));
    let Ok(config) = Config::load(&Sources { file, ..Sources::default() }) else { return };
    let matcher = Matcher::new(&config.rules);
    let fields = HeaderMap::new();
    for (host, target) in requests.lines().filter_map(|line| line.split_once(' ')) {
        let request = RequestView::new(&Method::GET, host, target, &fields);
        let expected = compared(&config.rules, &request);
        assert_eq!(matcher.matches(&request).as_slice(), expected, "{host} {target}");
    }
}

fn compared(rules: &[RuleSettings], request: &RequestView<'_>) -> Vec<u16> {
    let mut matched = Vec::new();
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
