//! `PageFormat`: the form of a page of metrics, as its reader asks for it.

use std::collections::HashSet;

use http::HeaderMap;
use http::header::ACCEPT;

/// The text formats that scrapers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    OpenMetrics,
    /// Version 0.0.4 of Prometheus.
    Classic,
}

impl PageFormat {
    /// `OpenMetrics` for those who name it: to others, and to tools that read what `curl` has
    /// fetched, its counters are unknown.
    pub fn accepted(fields: &HeaderMap) -> Self {
        let mut values = fields.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let is_named = values.any(|value| value.contains("application/openmetrics-text"));
        if is_named { Self::OpenMetrics } else { Self::Classic }
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Returns a page of `OpenMetrics` in this format.
    pub fn page(self, page: String) -> String {
        if self == Self::Classic { classic(&page) } else { page }
    }
}

/// Rewrites a page for the classic format, in which a counter is described by the name of its
/// samples, and no label means no braces.
fn classic(page: &str) -> String {
    let counters: HashSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF") {
        let described = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let renamed = described.and_then(|(word, rest)| {
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(name).then(|| format!("# {word} {name}_total {rest}"))
        });
        text.push_str(&renamed.unwrap_or_else(|| line.replacen("{} ", " ", 1)));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> PageFormat {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT, http::HeaderValue::from_static(value));
        PageFormat::accepted(&fields)
    }

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        assert_eq!(PageFormat::accepted(&HeaderMap::new()), PageFormat::Classic);
        assert_eq!(accepting("*/*"), PageFormat::Classic);
        assert_eq!(accepting("text/plain;version=0.0.4"), PageFormat::Classic);
        let scraper = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(accepting(scraper), PageFormat::OpenMetrics);
    }
}
