//! Sitemaps (sitemaps.org): the locations in them, and whether they are pages or further sitemaps.
//! Pure, and for files of strangers: what is no sitemap holds no locations.

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sitemap {
    pub(super) pages: Vec<String>,
    pub(super) sitemaps: Vec<String>,
}

impl Sitemap {
    /// Returns whether a text is a sitemap, though it may list nothing.
    pub(super) fn is_one(text: &str) -> bool {
        ["<urlset", "<sitemapindex"].iter().any(|root| text.contains(root))
    }

    /// Reads one. `<loc>` counts where its parent is `<url>` or `<sitemap>`; images and videos have
    /// names of their own.
    pub(super) fn read(text: &str) -> Self {
        let mut sitemap = Self::default();
        let mut is_index = false;
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('<') {
            if let Some(comment) = after.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let Some((tag, content)) = after.split_once('>') else { break };
            rest = content;
            match tag.split_ascii_whitespace().next().unwrap_or_default() {
                "sitemap" => is_index = true,
                "url" => is_index = false,
                "loc" => {
                    let Some((location, after)) = content.split_once("</loc") else { break };
                    rest = after;
                    let location = decoded(location);
                    let list = if is_index { &mut sitemap.sitemaps } else { &mut sitemap.pages };
                    list.extend((!location.is_empty()).then_some(location));
                }
                _ => {}
            }
        }
        sitemap
    }
}

/// Returns the text of an element without white space around it, entities and CDATA resolved.
fn decoded(text: &str) -> String {
    let text = text.trim();
    let cdata = text.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>"));
    if let Some(cdata) = cdata {
        return cdata.trim().to_owned();
    }
    let mut parts = text.split('&');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let resolved = part.split_once(';').and_then(|(name, rest)| Some((entity(name)?, rest)));
        if let Some((character, rest)) = resolved {
            decoded.push(character);
            decoded.push_str(rest);
        } else {
            decoded.push('&');
            decoded.push_str(part);
        }
    }
    decoded
}

fn entity(name: &str) -> Option<char> {
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#')? {
            digits if digits.starts_with(['x', 'X']) => number(digits.get(1..)?, 16),
            digits => number(digits, 10),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_further_sitemaps_are_told_apart() {
        let pages = Sitemap::read(
            r#"<?xml version="1.0"?><urlset xmlns="x"><!-- <url><loc>no</loc></url> -->
            <url><loc> https://h/a?x=1&amp;y=2 </loc><image:image><image:loc>https://h/i</image:loc></image:image></url>
            <url><lastmod>2026</lastmod><loc a="b"><![CDATA[https://h/b&c]]></loc ></url><url><loc></loc></url></urlset>"#,
        );
        assert_eq!(pages.pages, ["https://h/a?x=1&y=2", "https://h/b&c"]);
        let index = Sitemap::read(
            "<sitemapindex><sitemap><loc>https://h/s1.xml</loc></sitemap><sitemap><loc>https://h/s&#50;.xml</loc></sitemap></sitemapindex>",
        );
        assert_eq!(index.sitemaps, ["https://h/s1.xml", "https://h/s2.xml"]);
        assert!(index.pages.is_empty());
    }

    #[test]
    fn what_is_no_sitemap_lists_nothing() {
        for text in
            ["", "<", "<html><p>loc</p></html>", "<url><loc>never closed", "<!-- <loc>x</loc>"]
        {
            assert_eq!(Sitemap::read(text), Sitemap::default(), "{text}");
        }
        assert_eq!(decoded("&nbsp; &#xD800; &"), "&nbsp; &#xD800; &");
        assert_eq!(decoded("&#x41;&lt;"), "A<");
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_read(text in "[<>!a-z/&;#\\[\\]-]{0,60}") {
            Sitemap::read(&text);
        }
    }
}
