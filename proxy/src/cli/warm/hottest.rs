//! The most requested pages of a running proxy, as a list to be fetched.

use http::Method;
use serde_json::Value;

use crate::cli::admin_client::{AdminArguments, AdminClient};
use crate::cli::origins::encoded;
use process::exit::Exit;
use process::terminal::say;

/// Asks the proxy for its `max` most requested pages, those that a deployment made if one is named.
pub(super) fn pages(
    admin: &AdminArguments,
    max: u32,
    deployment: Option<&str>,
) -> Result<Vec<String>, Exit> {
    let mut path = format!("/api/v1/hottest?max={max}");
    if let Some(deployment) = deployment {
        path.push_str("&deployment=");
        path.push_str(&encoded(deployment));
    }
    let answer = AdminClient::of(admin)?.ask(&Method::GET, &path, None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(urls) = document.get("urls").and_then(Value::as_array) else {
        say(format_args!("shellac: the proxy's answer lists no URLs: is --admin right?"));
        return Err(Exit::Unavailable);
    };
    let urls: Vec<String> = urls.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if let Some(deployment) = deployment.filter(|_| urls.is_empty()) {
        say(format_args!(
            "shellac: nothing in memory is of the deployment {deployment}: `shellac deploy` shows \
            those that are stored"
        ));
    }
    Ok(urls)
}
