//! HTTP requests by which caches are purged: `PURGE`, and `BAN`, `PURGEKEYS` and `PURGETAGS` as
//! plugins for Varnish send them.

mod ban;
mod pattern;

use http::{HeaderMap, HeaderName};

use self::ban::BanConditions;
use crate::foreign::{self, Foreign, PurgeMethod};
use crate::request::{PurgeMode, PurgeRequest, RequestError, UrlScope};
use crate::tag;

/// Reads an HTTP request with one of the methods by which caches are purged.
///
/// `PURGE` means the tags its fields name or, when they name none, the URL it is for; `PURGEKEYS`
/// and `PURGETAGS` the tags; `BAN` what meets its conditions. Tags come from `Surrogate-Key`,
/// `Cache-Tag`, `xkey`, `xkey-purge`, `xkey-softpurge` and `ETag`, and as lists or patterns from
/// `X-Cache-Tags`, `Cache-Tags`, `Purge-Cache-Tags` and `X-Magento-Tags-Pattern`.
///
/// Soft is asked for by `xkey-softpurge`, `Fastly-Soft-Purge: 1` or `Shellac-Purge: soft`, hard by
/// `Shellac-Purge: hard`. `Shellac-Purge` says with `url`, `page` or `path` whether the URL alone
/// is meant, its page, or its path under every query; `scope` holds otherwise.
///
/// # Errors
/// A part that is not carried out, and a field that names no tag: its sender does not mean the URL.
pub fn read(
    method: &str,
    fields: &HeaderMap,
    (host, path): (&str, &str),
    scope: UrlScope,
) -> Result<PurgeRequest, RequestError> {
    let method = PurgeMethod::read(method)?;
    foreign::check(method, fields, path)?;
    let patterns = patterns(method, fields, (host, path))?;
    let has_patterns = patterns.is_some();
    let mut request = PurgeRequest { mode: mode_of(fields), ..patterns.unwrap_or_default() };
    if method == PurgeMethod::Ban {
        return Ok(request);
    }
    add_tags(&mut request, fields)?;
    let names_tags = |name: &&&str| fields.contains_key(**name);
    let named = TAG_FIELDS.iter().chain(&["etag"]).find(names_tags);
    match (named, method) {
        (Some(name), _) if request.tags.is_empty() && !request.all => {
            return Err(RequestError::NoTags(name));
        }
        (None, PurgeMethod::Tags(method)) if !has_patterns => {
            return Err(Foreign::NoTags(method).into());
        }
        (None, _) if !has_patterns => {
            let url = format!("//{host}{path}");
            request.push(scope_of(fields).unwrap_or(scope).selector(url));
        }
        _ => {}
    }
    Ok(request)
}

/// Reads what is given as another cache's patterns. `None`: nothing is.
fn patterns(
    method: PurgeMethod,
    fields: &HeaderMap,
    place: (&str, &str),
) -> Result<Option<PurgeRequest>, Foreign> {
    let conditions = match method {
        PurgeMethod::Ban => Some(BanConditions::of_ban(fields, place)?),
        PurgeMethod::Purge => BanConditions::of_purge(fields, place)?,
        PurgeMethod::Tags(_) => BanConditions::of_tags(fields)?,
    };
    conditions.map(|conditions| conditions.request()).transpose()
}

fn add_tags(request: &mut PurgeRequest, fields: &HeaderMap) -> Result<(), RequestError> {
    for name in TAG_FIELDS {
        for value in fields.get_all(name) {
            for tag in tag::split(value.as_bytes()) {
                request.tags.push(text(tag, name)?);
            }
        }
    }
    for value in fields.get_all(http::header::ETAG) {
        for member in tag::split_etags(value.as_bytes()) {
            request.tags.push(text(tag::written_etag(member), "etag")?);
        }
    }
    Ok(())
}

fn text(bytes: &[u8], field: &'static str) -> Result<String, RequestError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_not_utf8| RequestError::Field(HeaderName::from_static(field)))
}

fn mode_of(fields: &HeaderMap) -> Option<PurgeMode> {
    let is_fastly_soft = fields.get("fastly-soft-purge").is_some_and(|value| value == "1");
    if foreign::has_word(fields, "soft") || is_fastly_soft || fields.contains_key("xkey-softpurge")
    {
        Some(PurgeMode::Soft)
    } else if foreign::has_word(fields, "hard") {
        Some(PurgeMode::Hard)
    } else {
        None
    }
}

fn scope_of(fields: &HeaderMap) -> Option<UrlScope> {
    let scopes = [("url", UrlScope::Url), ("page", UrlScope::Page), ("path", UrlScope::Path)];
    scopes.into_iter().find(|(word, _)| foreign::has_word(fields, word)).map(|(_, scope)| scope)
}

/// The fields of a request that name tags one by one.
const TAG_FIELDS: [&str; 5] =
    ["surrogate-key", "cache-tag", "xkey", "xkey-purge", "xkey-softpurge"];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::request::Target;
    use crate::url::CanonicalUrl;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn purge(lines: &[(&'static str, &'static str)]) -> Result<PurgeRequest, RequestError> {
        read("PURGE", &fields(lines), ("h", "/p?x=1"), UrlScope::Url)
    }

    #[test]
    fn a_purge_says_whether_it_means_the_url_the_page_or_the_path() {
        let asked = |value, scope| {
            let fields = fields(&[("shellac-purge", value)]);
            read("PURGE", &fields, ("h", "/p?x=1"), scope).unwrap()
        };
        let url = || vec!["//h/p?x=1".to_owned()];
        assert_eq!(asked("page", UrlScope::Url).pages, url());
        assert_eq!(asked("Path, soft", UrlScope::Page).paths, url());
        assert_eq!(asked("soft path", UrlScope::Page).mode, Some(PurgeMode::Soft));
        assert_eq!(asked("url", UrlScope::Page).urls, url());
        assert_eq!(asked("hard", UrlScope::Page).pages, url());
        let target = asked("page", UrlScope::Url).selectors(1).unwrap().remove(0).1;
        assert_eq!(target, Target::Page(CanonicalUrl::parse("//h/p").unwrap()));
    }

    #[test]
    fn a_purge_without_tag_fields_is_for_its_url() {
        let request = read("PURGE", &fields(&[]), ("shop.example", "/p/42?x=1"), UrlScope::Url);
        let request = request.unwrap();
        let selectors = request.selectors(10).unwrap();
        assert_eq!(selectors.len(), 1);
        assert_eq!(
            selectors[0].1,
            Target::Url(CanonicalUrl::parse("http://shop.example/p/42?x=1").unwrap())
        );
    }

    #[test]
    fn tag_fields_of_all_brands_are_read() {
        let lines = [
            ("surrogate-key", "a b"),
            ("cache-tag", "c, d"),
            ("xkey-purge", "e"),
            ("etag", "\"site-7\", W/\"site-8\""),
        ];
        let request = purge(&lines).unwrap();
        assert_eq!(request.tags, ["a", "b", "c", "d", "e", "site-7", "site-8"]);
        assert!(request.urls.is_empty() && request.mode.is_none());
    }

    #[test]
    fn a_field_that_names_no_tag_does_not_purge_the_url() {
        for line in [("surrogate-key", ""), ("cache-tag", " , "), ("etag", "")] {
            let request = purge(&[line]);
            assert_eq!(request, Err(RequestError::NoTags(line.0)));
        }
    }

    #[test]
    fn three_ways_ask_for_a_soft_purge() {
        for line in [("xkey-softpurge", "a"), ("fastly-soft-purge", "1"), ("shellac-purge", "Soft")]
        {
            let request = purge(&[line]).unwrap();
            assert_eq!(request.mode, Some(PurgeMode::Soft), "{line:?}");
        }
    }
}
