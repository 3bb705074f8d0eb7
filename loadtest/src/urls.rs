//! The list of URLs that a run asks for, the most popular first: generated, from a file, or from a
//! server.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::Uri;

use crate::connection::Connection;
use crate::target::Target;

/// Returns `/p/0` to `/p/{count - 1}`: the pages of `loadtest origin`.
pub(crate) fn numbered(count: usize) -> anyhow::Result<Vec<Uri>> {
    (0..count).map(|number| Ok(format!("/p/{number}").parse()?)).collect()
}

/// Reads a list, one URL or path a line, from a file or an `http://` URL.
pub(crate) async fn listed(source: &str) -> anyhow::Result<Vec<Uri>> {
    let text = if source.starts_with("http://") {
        let body =
            fetch(source.parse()?).await.with_context(|| format!("cannot fetch {source}"))?;
        String::from_utf8(body).with_context(|| format!("{source} is not UTF-8"))?
    } else {
        fs::read_to_string(source).with_context(|| format!("cannot read {source}"))?
    };
    parse(&text).with_context(|| format!("bad URL list {source}"))
}

pub(crate) async fn fetch(target: Target) -> anyhow::Result<Vec<u8>> {
    let path = target.path().clone();
    let mut body = Vec::new();
    let mut connection = Connection::open(Arc::new(target)).await?;
    let keep = |data: &bytes::Bytes| {
        if body.len() <= LIST_BYTES_MAX {
            body.extend_from_slice(data);
        }
    };
    let head = connection.get(path, FETCH_TIMEOUT, keep).await?;
    ensure!(head.status.is_success(), "status {}", head.status);
    ensure!(body.len() <= LIST_BYTES_MAX, "more than {LIST_BYTES_MAX} bytes");
    Ok(body)
}

const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
const LIST_BYTES_MAX: usize = 64 << 20;

/// Keeps path and query of each line; skips empty lines and comments (`#`).
fn parse(text: &str) -> anyhow::Result<Vec<Uri>> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let urls = lines.map(path_of).collect::<anyhow::Result<Vec<Uri>>>()?;
    if urls.is_empty() {
        bail!("no URL in it");
    }
    Ok(urls)
}

fn path_of(line: &str) -> anyhow::Result<Uri> {
    let uri: Uri = line.parse().with_context(|| format!("{line:?} is not a URL"))?;
    let path = uri.path_and_query().with_context(|| format!("{line:?} has no path"))?;
    ensure!(path.as_str().starts_with('/'), "{line:?} has no path");
    Ok(Uri::from(path.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_paths_and_urls_in_order() {
        let urls = parse("/a?b=1\n\n# comment\nhttp://shop.example/c\r\n").expect("a list");

        assert_eq!(urls, ["/a?b=1", "/c"]);
    }

    #[test]
    fn lists_without_urls_and_lines_without_paths_are_refused() {
        assert!(parse("# nothing\n").is_err());
        assert!(parse("/good\nnot a url\n").is_err());
        assert!(parse("*\n").is_err());
    }

    #[test]
    fn numbered_pages_start_at_zero() {
        assert_eq!(numbered(2).expect("paths"), ["/p/0", "/p/1"]);
    }
}
