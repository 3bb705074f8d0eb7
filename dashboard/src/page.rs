//! `Page`: the HTML of a page with the current values in it.

use serde_json::Value;

use crate::html::Escaped;
use crate::number::text;
use crate::{fleet, summary};

/// The HTML of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page(pub String);

/// Returns the proxy's page with a snapshot of it, as `/api/v1/live` answers it.
pub fn proxy(snapshot: &Value) -> Page {
    fill(PROXY, &text(&snapshot["version"]), &summary::facts(snapshot), &summary::of(snapshot))
}

/// Returns the purger's page with the fleet, as `/api/v1/fleet` answers it.
pub fn purger(fleet: &Value) -> Page {
    fill(PURGER, &text(&fleet["version"]), &fleet::facts(fleet), &fleet::of(fleet))
}

/// Puts the values in. Each place is filled once, and what was filled in is not looked at again.
fn fill(template: &str, version: &str, facts: &str, summary: &str) -> Page {
    let mut page = String::with_capacity(template.len() + facts.len() + summary.len());
    let mut rest = template;
    let version = Escaped(version).to_string();
    for (place, value) in [("{version}", &*version), ("{facts}", facts), ("{summary}", summary)] {
        let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(value);
        rest = after;
    }
    Page(page + rest)
}

const PROXY: &str = include_str!("../proxy.html");
const PURGER: &str = include_str!("../purger.html");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_shows_values_without_a_script() {
        let snapshot = json!({
            "version": "0.1.0", "ready": true, "hit_ratio": {"1m": 0.9312}, "rates": {"requests": 1940.0},
            "top": {"urls": [{"url": "https://h/<script>alert(1)</script>{summary}", "requests": 3}]},
        });
        let Page(page) = proxy(&snapshot);
        assert!(page.contains("93.1 %") && page.contains("1,940") && page.contains("0.1.0"));
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("&lt;/script&gt;{summary}"), "a value is no place to fill");
    }

    #[test]
    fn a_page_of_a_proxy_that_knows_nothing_yet_is_a_page() {
        for document in [json!(null), json!({}), json!({"top": 1, "origins": {"a": 2}})] {
            for Page(page) in [proxy(&document), purger(&document)] {
                assert!(
                    page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>")
                );
                assert!(!page.contains("NaN") && !page.contains("{summary}"));
            }
        }
    }
}
