//! The fields of a purge, which are the same in a `CloudEvent`'s `data`, in plain JSON and in a
//! site event.
//!
//! Tags are taken as they are. They are not scoped to the event's site, and no word in front of
//! them is special: the origin wrote its tags into its responses without knowing of events, and
//! both are compared byte for byte. A prefix that one of the two sides added would make the purge
//! miss everything.

use std::borrow::Cow;
use std::time::Duration;

use purge_protocol::log::Rewarm;
use purge_protocol::tag;
use purge_protocol::url::UrlPrefix;
use purge_protocol::{Deploy, Expression, PurgeMode};

use super::Priority;
use super::draft::{Draft, url_problem};
use super::fields::Fields;
use super::limits::check;
use super::rules::{Rules, SiteRule};
use super::unreadable::{Code, Problem, shown};

/// Reads everything that may be said about a purge.
pub(super) fn read(fields: Fields<'_>, rules: &Rules) -> Result<Draft, Problem> {
    let site = site(fields)?;
    let mut draft = Draft { all: fields.flag("all")?, ..Draft::default() };
    if let Some(site) = &site {
        draft.note_site(site, &fields.at("siteId"))?;
    }
    read_selectors(&mut draft, fields, site.as_deref(), rules)?;
    read_scope(&mut draft, fields, site.as_deref(), rules)?;
    draft.mode = mode(fields)?;
    draft.reason = fields.text("reason")?.map(str::to_owned);
    draft.priority = match fields.text("priority")? {
        Some("urgent") => Priority::Urgent,
        _ => Priority::Normal,
    };
    draft.settle = settle(fields, rules)?;
    draft.revision = match fields.whole("revision")? {
        None => fields.whole("siteRevision")?,
        revision => revision,
    };
    draft.rewarm = rewarm(fields, rules)?;
    draft.expires = fields.time("expiresAt");
    draft.root_time = ["rootEvent", "root_event"].iter().find_map(|name| {
        let root = Fields { object: fields.object.object(name)?, path: "" };
        root.time("time").or_else(|| root.time("dt"))
    });
    Ok(draft)
}

pub(super) fn site(fields: Fields<'_>) -> Result<Option<Cow<'_, str>>, Problem> {
    match fields.id("siteId")? {
        None => fields.id("site"),
        site => Ok(site),
    }
}

fn read_selectors(
    draft: &mut Draft,
    fields: Fields<'_>,
    site: Option<&str>,
    rules: &Rules,
) -> Result<(), Problem> {
    let tags = fields.texts("tags")?;
    check(tags.len(), rules.limits.tags, &fields.at("tags"))?;
    for (index, tag) in tags.into_iter().enumerate() {
        draft.add_tag(tag, || fields.at(&format!("tags[{index}]")))?;
    }
    if let Some(etag) = fields.text("etag")? {
        let opaque = tag::written_etag(etag.as_bytes());
        let opaque = std::str::from_utf8(opaque).unwrap_or_default();
        draft.add_tag(opaque, || fields.at("etag"))?;
    }
    let hosts = fields.texts("hosts")?;
    let base = match &rules.site {
        SiteRule::Host => site,
        SiteRule::Tag(_) => None,
    };
    let base = base.or(match hosts.as_slice() {
        [host] => Some(*host),
        _ => None,
    });
    for (index, host) in hosts.iter().enumerate() {
        draft.add_host(host, || fields.at(&format!("hosts[{index}]")))?;
    }
    for (index, url) in fields.texts("urls")?.into_iter().enumerate() {
        draft.add_url(&absolute(url, base), || fields.at(&format!("urls[{index}]")))?;
    }
    for (index, page) in fields.texts("pages")?.into_iter().enumerate() {
        draft.add_page(&absolute(page, base), || fields.at(&format!("pages[{index}]")))?;
    }
    for (index, path) in fields.texts("paths")?.into_iter().enumerate() {
        draft.add_path(&absolute(path, base), || fields.at(&format!("paths[{index}]")))?;
    }
    for (index, prefix) in fields.texts("prefixes")?.into_iter().enumerate() {
        draft.add_prefix(prefix, || fields.at(&format!("prefixes[{index}]")))?;
    }
    if let Some(prefix) = fields.text("prefix")? {
        draft.add_prefix(prefix, || fields.at("prefix"))?;
    }
    read_expressions(draft, fields)?;
    read_deploys(draft, fields)
}

/// Reads `expressions`, and the lists of one that may stand by themselves.
fn read_expressions(draft: &mut Draft, fields: Fields<'_>) -> Result<(), Problem> {
    for (index, object) in fields.objects("expressions")?.into_iter().enumerate() {
        let at = fields.at(&format!("expressions[{index}]"));
        let inner = Fields { object, path: "" };
        let read = inner.only(&TERM_LISTS).and_then(|()| expression(inner));
        let read = read.map_err(|problem| problem.within(&at))?;
        draft.add_expression(read, || at)?;
    }
    let alone = expression(fields)?;
    if alone.is_empty() { Ok(()) } else { draft.add_expression(alone, || fields.at("all_of")) }
}

fn expression(fields: Fields<'_>) -> Result<Expression, Problem> {
    let list = |name| -> Result<Vec<String>, Problem> {
        Ok(fields.texts(name)?.into_iter().map(str::to_owned).collect())
    };
    let [all_of, any_of, none_of] = TERM_LISTS;
    Ok(Expression { all_of: list(all_of)?, any_of: list(any_of)?, none_of: list(none_of)? })
}

fn read_deploys(draft: &mut Draft, fields: Fields<'_>) -> Result<(), Problem> {
    for (index, object) in fields.objects("deploys")?.into_iter().enumerate() {
        let at = fields.at(&format!("deploys[{index}]"));
        let read = deploy(Fields { object, path: "" }).map_err(|problem| problem.within(&at))?;
        draft.add_deploy(read, || at)?;
    }
    Ok(())
}

fn deploy(fields: Fields<'_>) -> Result<Deploy, Problem> {
    fields.only(&["id", "grace_seconds", "host", "at_ms"])?;
    Ok(Deploy {
        id: fields.id("id")?.unwrap_or_default().into_owned(),
        grace_seconds: fields.whole("grace_seconds")?.unwrap_or_default(),
        host: fields.text("host")?.map(str::to_owned),
        at_ms: fields.whole("at_ms")?,
    })
}

/// Puts the host before a path where one is known.
fn absolute<'a>(url: &'a str, base: Option<&str>) -> Cow<'a, str> {
    match base {
        Some(host) if url.starts_with('/') && !url.starts_with("//") => {
            Cow::Owned(format!("//{host}{url}"))
        }
        _ => Cow::Borrowed(url),
    }
}

/// Applies the scope, or infers it: what is listed is meant, and a site on its own is the site.
fn read_scope(
    draft: &mut Draft,
    fields: Fields<'_>,
    site: Option<&str>,
    rules: &Rules,
) -> Result<(), Problem> {
    let is_listed = !draft.lists_nothing();
    let needs = |is_there: bool, name: &str| {
        if is_there {
            return Ok(());
        }
        let scope = fields.text("scope")?.unwrap_or_default();
        let detail = format!(
            "{}: is not there, and scope is {scope:?}; name what to purge",
            fields.at(name)
        );
        Err(Problem::new(Code::Empty, detail))
    };
    match fields.text("scope")? {
        None => match site {
            Some(site) if !is_listed && !draft.all => {
                draft.add_site(site, rules, &fields.at("siteId"))
            }
            _ => Ok(()),
        },
        Some("tags" | "tag") => needs(!draft.tags.is_empty(), "tags"),
        Some("urls" | "url") => needs(!draft.urls.is_empty(), "urls"),
        Some("hosts" | "host") => needs(!draft.hosts.is_empty(), "hosts"),
        Some("prefix" | "prefixes") => needs(!draft.prefixes.is_empty(), "prefixes"),
        Some("pages" | "page") => needs(!draft.pages.is_empty(), "pages"),
        Some("paths" | "path") => needs(!draft.paths.is_empty(), "paths"),
        Some("expressions" | "expression") => needs(!draft.expressions.is_empty(), "expressions"),
        Some("deploys" | "deploy") => needs(!draft.deploys.is_empty(), "deploys"),
        Some("site") => {
            needs(site.is_some(), "siteId")?;
            draft.add_site(site.unwrap_or_default(), rules, &fields.at("siteId"))
        }
        Some("all") => {
            draft.all = true;
            Ok(())
        }
        Some(other) => {
            let wanted =
                "write tags, urls, pages, paths, site, hosts, prefix, expressions, deploys or all";
            Err(Problem::new(
                Code::Scope,
                format!("{}: {} is none; {wanted}", fields.at("scope"), shown(other)),
            ))
        }
    }
}

/// An unknown mode is a hard one: it was certainly not meant to do less.
fn mode(fields: Fields<'_>) -> Result<Option<PurgeMode>, Problem> {
    Ok(fields.text("mode")?.map(|mode| match mode {
        "soft" => PurgeMode::Soft,
        _ => PurgeMode::Hard,
    }))
}

fn settle(fields: Fields<'_>, rules: &Rules) -> Result<Vec<Duration>, Problem> {
    let (name, delays) = match fields.wholes("settleMs")? {
        Some(delays) => ("settleMs", delays),
        None => ("reboundMs", fields.wholes("reboundMs")?.unwrap_or_default()),
    };
    check(delays.len(), rules.limits.settle, &fields.at(name))?;
    let mut settle: Vec<_> = delays.into_iter().map(Duration::from_millis).collect();
    settle.retain(|delay| !delay.is_zero());
    settle.sort_unstable();
    settle.dedup();
    match settle.last().filter(|last| **last > rules.limits.settle_max) {
        None => Ok(settle),
        Some(last) => {
            let (last, max) = (last.as_millis(), rules.limits.settle_max.as_millis());
            let detail = format!("{}: {last} ms exceed the limit of {max} ms", fields.at(name));
            Err(Problem::new(Code::Limit, detail))
        }
    }
}

fn rewarm(fields: Fields<'_>, rules: &Rules) -> Result<Option<Rewarm>, Problem> {
    let Some(object) = fields.object("rewarm")? else { return Ok(None) };
    let inner =
        Fields { object, path: if fields.path.is_empty() { "rewarm." } else { "data.rewarm." } };
    let urls = inner.texts("urls")?;
    let limit = rules.limits.rewarm_urls;
    check(urls.len(), limit, &inner.at("urls"))?;
    for (index, url) in urls.iter().enumerate() {
        let at = || inner.at(&format!("urls[{index}]"));
        UrlPrefix::parse(url).map_err(|error| url_problem(&error, url, &at()))?;
    }
    let max = inner.whole("max")?.unwrap_or(urls.len() as u64);
    check(usize::try_from(max).unwrap_or(usize::MAX), limit, &inner.at("max"))?;
    let urls: Vec<String> = urls.into_iter().map(str::to_owned).collect();
    let max = u32::try_from(max).unwrap_or(u32::MAX);
    Ok((max > 0).then_some(Rewarm { urls, max }))
}

const TERM_LISTS: [&str; 3] = ["all_of", "any_of", "none_of"];
