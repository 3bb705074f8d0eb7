//! One rule against one request, condition by condition: what the index has left open, and the
//! whole, which tests compare the index with.

use http::{HeaderValue, Method};
use settings::{Expected, RuleMatch, RuleSettings};

use super::RequestView;

/// Returns whether a request matches a rule.
pub fn matches(rule: &RuleSettings, request: &RequestView<'_>) -> bool {
    rule.conditions().all(|(conditions, expected)| holds(conditions, request) == expected)
}

/// Returns whether all of these conditions hold.
pub(super) fn holds(conditions: &RuleMatch, request: &RequestView<'_>) -> bool {
    has_host(conditions, request) && has_path(conditions, request) && has_more(conditions, request)
}

pub(super) fn has_host(conditions: &RuleMatch, request: &RequestView<'_>) -> bool {
    let hosts = &conditions.hosts;
    hosts.is_empty() || hosts.iter().any(|pattern| pattern.matches(request.host_name()))
}

pub(super) fn has_path(conditions: &RuleMatch, request: &RequestView<'_>) -> bool {
    let RuleMatch { paths, path_regex, .. } = conditions;
    (paths.is_empty() || paths.iter().any(|pattern| pattern.matches(request.path)))
        && path_regex.as_ref().is_none_or(|regex| regex.matches(request.path))
}

/// Returns whether all conditions hold but those on host and path.
pub(super) fn has_more(conditions: &RuleMatch, request: &RequestView<'_>) -> bool {
    let RuleMatch { methods, query, fields, cookies, clients, devices, .. } = conditions;
    (methods.is_empty() || has_method(methods, request.method))
        && query.iter().all(|(name, wanted)| accepts(wanted, request.parameters(name)))
        && fields.iter().all(|(name, wanted)| {
            let lines = request.fields.get_all(name).into_iter();
            accepts(wanted, lines.map(HeaderValue::as_bytes).map(<[u8]>::trim_ascii))
        })
        && cookies.iter().all(|(name, wanted)| accepts(wanted, request.cookies(name)))
        && (clients.is_empty()
            || request.client.is_some_and(|client| {
                let client = client.to_canonical();
                clients.iter().any(|network| network.contains(&client))
            }))
        && (devices.is_empty() || devices.contains(&request.device()))
}

/// Returns whether a method is meant. HEAD is answered from what is stored for GET.
fn has_method(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || *method == Method::HEAD && methods.contains(&Method::GET)
}

/// Returns whether one of the values, or their absence, is wanted.
fn accepts(wanted: &[Expected], values: impl Iterator<Item = impl AsRef<[u8]>>) -> bool {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return wanted.iter().any(|wanted| wanted.accepts(None));
    }
    values.any(|value| wanted.iter().any(|wanted| wanted.accepts(Some(value.as_ref()))))
}
