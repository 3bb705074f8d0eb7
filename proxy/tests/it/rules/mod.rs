//! Rules: what holds for some requests and responses only, and that no two clients share by them
//! what they must not.

mod presets;
mod requests;
mod responses;
mod shared;
mod shared_errors;

use serde_json::{Value, json};
use settings::{Config, RuleSettings, Sources};

use crate::support::origin::Origin;
use crate::support::proxy::Proxy;

/// Reads rules as a file has them.
fn rules(text: &str) -> Vec<RuleSettings> {
    let origins = "[origin.app]\nservers = [\"a:1\"]\n[origin.other]\nservers = [\"a:2\"]\n";
    let file = Some(("config.toml".to_owned(), format!("{origins}{text}")));
    Config::load(&Sources { file, ..Sources::default() }).unwrap().rules
}

/// Starts a proxy with these rules.
fn ruled(origin: &Origin, text: &str) -> Proxy {
    Proxy::start_with(origin, |config| config.rules = rules(text))
}

/// Purges a tag, and returns how many responses had it.
async fn purge_tag(proxy: &Proxy, tag: &str) -> u64 {
    objects(&proxy.purge(&json!({ "tags": [tag] }).to_string()).await)
}

/// Purges a URL, and returns how many responses were stored for it.
async fn purge_url(proxy: &Proxy, path: &str) -> u64 {
    let url = format!("http://site.example{path}");
    objects(&proxy.purge(&json!({ "urls": [url] }).to_string()).await)
}

fn objects(report: &Value) -> u64 {
    report["matched"]["objects"].as_u64().unwrap()
}
