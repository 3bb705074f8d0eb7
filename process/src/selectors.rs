//! The arguments that say what a purge is of, in the commands of both programs.

use clap::Args;
use purge_protocol::{Expression, PurgeRequest};

#[derive(Clone, Debug, Args)]
pub struct SelectorArguments {
    /// Responses that carry this tag, or this entity tag, quoted or not
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All variants of a URL, `https://host/path`
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// The page at a URL: its document and its data, under every query
    #[arg(long, value_name = "URL")]
    page: Vec<String>,
    /// The path of a URL under every query
    #[arg(long, value_name = "URL")]
    path: Vec<String>,
    /// All URLs of a host
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// All URLs that begin so: `https://host/path`, or `/path` for every host
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Responses that meet all of these: `tag:a`, `host:h`, `page:URL`, `path:URL`, `url:URL`,
    /// `prefix:URL`
    #[arg(long, value_name = "TERM")]
    all_of: Vec<String>,
    /// And at least one of these
    #[arg(long, value_name = "TERM")]
    any_of: Vec<String>,
    /// And none of these
    #[arg(long, value_name = "TERM")]
    none_of: Vec<String>,
}

impl SelectorArguments {
    /// Returns a purge of these.
    pub fn request(self) -> PurgeRequest {
        let Self { tag, url, page, path, host, prefix, all_of, any_of, none_of } = self;
        let expression = Expression { all_of, any_of, none_of };
        PurgeRequest {
            tags: tag,
            urls: url,
            hosts: host,
            prefixes: prefix,
            pages: page,
            paths: path,
            expressions: if expression.is_empty() { Vec::new() } else { vec![expression] },
            ..PurgeRequest::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        selectors: SelectorArguments,
    }

    #[test]
    fn each_argument_is_a_selector_of_its_kind() {
        let line = "p --tag t --tag u --url http://h/u --page http://h/p --path http://h/q --host h \
                    --prefix /x --all-of tag:a --any-of tag:b --none-of tag:c";
        let request = Program::parse_from(line.split_whitespace()).selectors.request();
        let json = serde_json::json!({
            "tags": ["t", "u"], "urls": ["http://h/u"], "pages": ["http://h/p"],
            "paths": ["http://h/q"], "hosts": ["h"], "prefixes": ["/x"],
            "expressions": [{"all_of": ["tag:a"], "any_of": ["tag:b"], "none_of": ["tag:c"]}],
        });
        assert_eq!(request, serde_json::from_value(json).unwrap());
        let none = Program::parse_from(["p"]).selectors.request();
        assert_eq!(none, PurgeRequest::default());
    }
}
