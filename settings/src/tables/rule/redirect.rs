//! `Redirect`: an answer that names another URL.

use http::StatusCode;

use super::template::{RuleTemplate, TemplatePiece, template};
use crate::table::Table;
use crate::value::{Fault, parsed, whole};

/// `redirect = { to, status }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The URL: `https://...`, or a path of the same host.
    pub to: RuleTemplate,
    /// 301, 302, 303, 307 or 308; 302 if it is not given.
    pub status: StatusCode,
}

impl Redirect {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let (mut to, mut status) = (None, 302);
        table.table("redirect", |table| {
            table.read("to", |node| parsed(target)(node).map(Some), &mut to);
            table.require("to");
            table.read("status", whole(301..=308), &mut status);
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                let wants = "must be 301, 302, 303, 307 or 308";
                table.fault_of("status", Fault::new(wants, "not a redirect to a URL"));
            }
        });
        Some(Self { to: to?, status: StatusCode::from_u16(status).ok()? })
    }
}

/// Reads the target. Its host is fixed, or the request's own: no capture may choose it.
fn target(text: &str) -> Result<RuleTemplate, Fault> {
    let fault = |label: &'static str| Fault::new("must be a URL or a path", label);
    let template = template(text)?;
    if template.looks_at_response() {
        return Err(fault("there is no response yet"));
    }
    if text.contains(' ') {
        return Err(fault("a space"));
    }
    let authority = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return Err(fault("neither http nor https")),
        None if text.starts_with("//") => return Err(fault("`//` begins a host")),
        None if text.starts_with('/') => return Ok(template),
        None => return Err(fault("it begins with no slash").help("\"https://new.example/$1\"")),
    };
    // The path of a request begins with a slash.
    let path = ["/", "$(path)", "$0"].iter().filter_map(|begin| authority.find(begin)).min();
    let host = path.and_then(|at| authority.get(..at));
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return Err(fault("a host without a path").help("\"https://new.example/\""));
    };
    let is_fixed = self::template(host)?
        .pieces()
        .iter()
        .all(|piece| matches!(piece, TemplatePiece::Literal(_) | TemplatePiece::Host));
    if !is_fixed || host.contains('@') {
        return Err(fault("a part of the request chooses the host")
            .help("write the host, or $(host) for the request's own"));
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_path_of_the_request_ends_the_host() {
        for text in ["https://$(host)$(path)?$(query)", "https://a.example$0", "https://$(host)/$1"]
        {
            assert!(target(text).is_ok(), "{text}");
        }
        for text in
            ["https://$(path)", "https://$1$(path)", "https://$(query)/", "https://a.example"]
        {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
