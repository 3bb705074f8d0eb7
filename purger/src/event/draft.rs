//! `Draft`: what every format becomes before the rules that hold for all of them are applied.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use purge_protocol::log::Rewarm;
use purge_protocol::tag::Tag;
use purge_protocol::url::{CanonicalUrl, UrlPrefix, written_host};
use purge_protocol::{PurgeMode, PurgeRequest, TagError, UrlError};

use super::limits::{NAME_MAX, REASON_MAX, check};
use super::record::Record;
use super::rules::{Rules, SiteSelector, check_site, is_listed};
use super::unreadable::{Code, Problem, shown};
use super::{Ignored, Priority, PurgeEvent, time};

/// A purge whose selectors have been found sound, one by one.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) id: Option<String>,
    pub(super) source: Option<String>,
    pub(super) time: Option<SystemTime>,
    /// Time of the root event, which counts instead of `time`.
    pub(super) root_time: Option<SystemTime>,
    pub(super) expires: Option<SystemTime>,
    pub(super) tags: Vec<String>,
    pub(super) urls: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) prefixes: Vec<String>,
    pub(super) all: bool,
    pub(super) mode: Option<PurgeMode>,
    pub(super) reason: Option<String>,
    pub(super) priority: Priority,
    pub(super) settle: Vec<Duration>,
    pub(super) revision: Option<u64>,
    /// The event's site, and others that it concerns as well.
    pub(super) sites: Vec<String>,
    pub(super) rewarm: Option<Rewarm>,
}

/// The reason why a record becomes no purge.
#[derive(Debug)]
pub(super) enum Stop {
    Ignored(Ignored),
    Problem(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Ignored> for Stop {
    fn from(ignored: Ignored) -> Self {
        Self::Ignored(ignored)
    }
}

impl Draft {
    /// Adds a tag. `at` says where it was found.
    pub(super) fn add_tag(
        &mut self,
        tag: &str,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        let what = match Tag::parse(tag) {
            Ok(_) => {
                self.tags.push(tag.to_owned());
                return Ok(());
            }
            Err(TagError::Empty) => "is empty; leave it out".to_owned(),
            Err(TagError::TooLong { length, max }) => {
                format!("has {length} bytes, more than the {max} of a tag; shorten it")
            }
            Err(TagError::Character(_)) => {
                "is not a tag: it holds white space, a comma or a control \
                character; write each tag as a string of its own"
                    .to_owned()
            }
        };
        Err(Problem::new(Code::Tag, format!("{}: {} {what}", at(), shown(tag))))
    }

    pub(super) fn add_url(
        &mut self,
        url: &str,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        CanonicalUrl::parse(url).map_err(|error| url_problem(&error, url, &at()))?;
        self.urls.push(url.to_owned());
        Ok(())
    }

    pub(super) fn add_host(
        &mut self,
        host: &str,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        written_host(host).map_err(|error| url_problem(&error, host, &at()))?;
        self.hosts.push(host.to_owned());
        Ok(())
    }

    pub(super) fn add_prefix(
        &mut self,
        prefix: &str,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        UrlPrefix::parse(prefix).map_err(|error| url_problem(&error, prefix, &at()))?;
        self.prefixes.push(prefix.to_owned());
        Ok(())
    }

    pub(super) fn add_site(&mut self, site: &str, rules: &Rules, at: &str) -> Result<(), Problem> {
        match rules.site.selector(site, at)? {
            SiteSelector::Tag(tag) => self.tags.push(tag),
            SiteSelector::Host(host) => self.hosts.push(host),
        }
        Ok(())
    }

    /// Notes a site that the event concerns, the first one as its own.
    pub(super) fn note_site(&mut self, site: &str, at: &str) -> Result<(), Problem> {
        check_site(site, at)?;
        if !self.sites.iter().any(|known| known == site) {
            self.sites.push(site.to_owned());
        }
        Ok(())
    }

    fn selects_nothing(&self) -> bool {
        let lists = [&self.tags, &self.urls, &self.hosts, &self.prefixes];
        !self.all && lists.iter().all(|list| list.is_empty())
    }

    /// Applies limits, filters, age and authorisation, in this order.
    pub(super) fn finish(
        mut self,
        rules: &Rules,
        record: &Record<'_>,
        now: SystemTime,
    ) -> Result<PurgeEvent, Stop> {
        self.check_names()?;
        for list in [&mut self.tags, &mut self.urls, &mut self.hosts, &mut self.prefixes] {
            drop_repeats(list);
        }
        if self.selects_nothing() {
            let detail =
                "it selects nothing: write tags, urls, hosts, prefixes, \"all\": true, or a siteId";
            return Err(Problem::new(Code::Empty, detail).into());
        }
        check(self.tags.len(), rules.limits.tags, "tags")?;
        let others = self.urls.len() + self.hosts.len() + self.prefixes.len();
        check(others, rules.limits.urls, "urls, hosts and prefixes")?;
        self.check_rewarm()?;
        self.filter(rules)?;
        let mode = self.mode.or(rules.mode).unwrap_or(PurgeMode::Hard);
        let time = self.root_time.or(self.time).or(record.timestamp).and_then(time::within);
        if mode == PurgeMode::Soft && self.is_expired(time, rules.max_age, now) {
            return Err(Ignored::Expired.into());
        }
        self.authorise(mode, rules)?;
        Ok(self.event(record, mode, time))
    }

    fn event(self, record: &Record<'_>, mode: PurgeMode, time: Option<SystemTime>) -> PurgeEvent {
        let id = self.id.unwrap_or_else(|| record.place());
        let request = PurgeRequest {
            tags: self.tags,
            urls: self.urls,
            hosts: self.hosts,
            prefixes: self.prefixes,
            all: self.all,
            mode: Some(mode),
            reason: self.reason.map(shorten),
            id: Some(id.clone()),
            event_time: time.and_then(time::format),
            ..PurgeRequest::default()
        };
        PurgeEvent {
            id,
            source: self.source,
            time,
            request,
            priority: self.priority,
            settle: self.settle,
            revision: self.revision,
            site: self.sites.into_iter().next(),
            rewarm: self.rewarm,
        }
    }

    fn check_names(&self) -> Result<(), Problem> {
        for (what, name) in [("id", &self.id), ("source", &self.source)] {
            let Some(name) = name else { continue };
            if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
                let wanted = format!("write 1 to {NAME_MAX} bytes without control characters");
                return Err(Problem::new(
                    Code::Field,
                    format!("{what}: is {}; {wanted}", shown(name)),
                ));
            }
        }
        Ok(())
    }

    /// An event that names hosts has no business with having those of others fetched.
    fn check_rewarm(&self) -> Result<(), Problem> {
        let Some(rewarm) = &self.rewarm else { return Ok(()) };
        let own: HashSet<String> = self.named_hosts().collect();
        for url in &rewarm.urls {
            let is_foreign = host_of_prefix(url).is_some_and(|host| !own.contains(&host));
            if is_foreign && !own.is_empty() {
                let detail = format!(
                    "rewarm.urls: {} is of a host that the event does not purge",
                    shown(url)
                );
                return Err(Problem::new(Code::Url, detail));
            }
        }
        Ok(())
    }

    fn named_hosts(&self) -> impl Iterator<Item = String> {
        let hosts = self.hosts.iter().filter_map(|host| written_host(host).ok());
        let urls = self.urls.iter().filter_map(|url| host_of_url(url));
        hosts.chain(urls).chain(self.prefixes.iter().filter_map(|prefix| host_of_prefix(prefix)))
    }

    fn filter(&mut self, rules: &Rules) -> Result<(), Ignored> {
        let has_site = !self.sites.is_empty();
        self.sites.retain(|site| rules.sites.allows(site));
        if has_site && self.sites.is_empty() {
            return Err(Ignored::Filtered);
        }
        let hosts = &rules.hosts;
        if hosts.only.is_empty() && hosts.except.is_empty() {
            return Ok(());
        }
        self.urls.retain(|url| host_of_url(url).is_none_or(|host| hosts.allows(&host)));
        self.hosts.retain(|host| written_host(host).is_ok_and(|host| hosts.allows(&host)));
        self.prefixes
            .retain(|prefix| host_of_prefix(prefix).is_none_or(|host| hosts.allows(&host)));
        if let Some(rewarm) = &mut self.rewarm {
            rewarm.urls.retain(|url| host_of_prefix(url).is_none_or(|host| hosts.allows(&host)));
        }
        if self.selects_nothing() { Err(Ignored::Filtered) } else { Ok(()) }
    }

    fn is_expired(
        &self,
        time: Option<SystemTime>,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> bool {
        let age = time.and_then(|time| now.duration_since(time).ok());
        let is_old = age.zip(max_age).is_some_and(|(age, max)| age > max);
        is_old || self.expires.is_some_and(|expires| expires < now)
    }

    fn authorise(&self, mode: PurgeMode, rules: &Rules) -> Result<(), Problem> {
        let source = self.source.as_deref();
        let forbid = |what: &str, setting: &str, instead: &str| {
            let who = source.map_or_else(|| "an event without a source".to_owned(), shown);
            let detail = format!("source: {who} may not {what} ({setting}); {instead}");
            Err(Problem::new(Code::Forbidden, detail))
        };
        // The prefix `/` without a host is everything under another name, and `/*` is that prefix.
        let is_everything =
            |prefix: &String| UrlPrefix::parse(prefix).is_ok_and(|prefix| prefix.is_everything());
        let is_all = self.all || self.prefixes.iter().any(is_everything);
        if is_all && !is_listed(&rules.may_purge_all, source) {
            return forbid("purge everything", "may_purge_all", "name tags, urls, hosts or a site");
        }
        if mode == PurgeMode::Hard && !is_listed(&rules.may_purge_hard, source) {
            return forbid("purge hard", "may_purge_hard", "write \"mode\": \"soft\"");
        }
        Ok(())
    }
}

/// Returns the host of a URL that was read before.
pub(super) fn host_of_url(url: &str) -> Option<String> {
    CanonicalUrl::parse(url).ok().map(|url| url.host().to_owned())
}

/// Returns the host of a prefix or a path; `None` for those of every host.
fn host_of_prefix(prefix: &str) -> Option<String> {
    let is_path = prefix.starts_with('/') && !prefix.starts_with("//");
    if is_path { None } else { host_of_url(prefix) }
}

/// Says what is wrong with a URL, host or prefix, and what to write.
pub(super) fn url_problem(error: &UrlError, text: &str, at: &str) -> Problem {
    Problem::new(Code::Url, format!("{at}: {} {}", shown(text), error.problem))
}

/// Members up to which each is compared with each.
const FEW: usize = 16;

fn drop_repeats(list: &mut Vec<String>) {
    if list.len() <= FEW {
        let mut kept = 0;
        while let Some((before, rest)) = list.split_at_checked(kept) {
            let Some(next) = rest.first() else { return };
            if before.contains(next) {
                list.remove(kept);
            } else {
                kept += 1;
            }
        }
        return;
    }
    let mut seen = HashSet::with_capacity(list.len());
    let is_new: Vec<bool> = list.iter().map(|text| seen.insert(text.as_str())).collect();
    let mut is_new = is_new.into_iter();
    list.retain(|_| is_new.next().unwrap_or(true));
}

/// Returns the reason as one line of bounded length.
fn shorten(reason: String) -> String {
    let mut reason = reason;
    if reason.contains(char::is_control) {
        reason = reason.replace(char::is_control, " ");
    }
    reason.truncate(reason.floor_char_boundary(REASON_MAX));
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_first_of_equal_texts_stays(texts in proptest::collection::vec("[a-d]{1,2}", 0..40)) {
            let mut list = texts.clone();
            drop_repeats(&mut list);
            let mut wanted: Vec<String> = Vec::new();
            for text in texts {
                if !wanted.contains(&text) {
                    wanted.push(text);
                }
            }
            proptest::prop_assert_eq!(list, wanted);
        }
    }
}
