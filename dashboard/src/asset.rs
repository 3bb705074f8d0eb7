//! `Asset`: a static file of the pages.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64;

/// A file, and what a response with it says.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    pub(crate) content: &'static [u8],
    pub(crate) content_type: &'static str,
    /// Quotes included.
    pub(crate) etag: String,
}

impl Asset {
    /// Returns the file behind a path that begins with `/assets/`.
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        let name = path.strip_prefix("/assets/")?;
        ALL.iter().find(|(known, _)| *known == name).map(|(_, asset)| asset)
    }

    /// Returns whether a client that sends this `If-None-Match` has the file.
    pub(crate) fn is_in(&self, if_none_match: &[u8]) -> bool {
        let tags = if_none_match.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let weak = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes();
        tags.into_iter().any(|tag| tag == b"*" || weak(tag))
    }

    fn of(name: &str, content: &'static [u8]) -> Self {
        let content_type = match name.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        Self { content, content_type, etag: format!("\"{:016x}\"", xxh3_64(content)) }
    }
}

static ALL: LazyLock<Vec<(&str, Asset)>> = LazyLock::new(|| {
    FILES.iter().map(|(name, content)| (*name, Asset::of(name, content))).collect()
});

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../assets/", $name)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); COUNT] = files![
    "api.js" "chart.js" "dom.js" "format.js" "icon.svg" "page-config.js" "page-explain.js"
    "page-log.js" "page-objects.js" "page-origins.js" "page-overview.js" "page-purges.js"
    "page-traffic.js" "parts.js" "proxy.js" "purger.js" "shellac.css" "table.js"
];

const COUNT: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_binary() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, FILES.map(|(name, _)| name));
    }

    #[test]
    fn a_file_is_found_by_its_path_and_nothing_else_is() {
        let script = Asset::find("/assets/proxy.js").unwrap();
        assert_eq!(script.content_type, "text/javascript; charset=utf-8");
        for path in ["/assets/", "/assets/../proxy.html", "/proxy.js", "/assets/proxy.js/"] {
            assert!(Asset::find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_client_has_the_file_that_it_names() {
        let style = Asset::find("/assets/shellac.css").unwrap();
        let list = format!("\"other\", W/{}", style.etag);
        assert!(style.is_in(list.as_bytes()) && style.is_in(b"*"));
        assert!(!style.is_in(b"\"other\"") && !style.is_in(b""));
    }

    #[test]
    fn nothing_is_read_from_another_origin() {
        for (name, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            let foreign = ["src=\"http", "href=\"http", "url(http", "from \"http", "@import"];
            for reference in foreign {
                assert!(!text.contains(reference), "{name}: {reference}");
            }
            for unsafe_word in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"]
            {
                assert!(!text.contains(unsafe_word), "{name}: {unsafe_word}");
            }
        }
    }
}
