//! `Draft`: what every format becomes before the rules that hold for all of them are applied.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::{Duration, SystemTime};

use purge_protocol::log::Rewarm;
use purge_protocol::tag::Tag;
use purge_protocol::url::{CanonicalUrl, UrlPrefix, written_host};
use purge_protocol::{
    Deploy, DeployError, Expression, ExpressionError, PurgeMode, PurgeRequest, TagError, Term,
    Terms, UrlError,
};

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
    pub(super) pages: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) expressions: Vec<Expression>,
    pub(super) deploys: Vec<Deploy>,
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
        Tag::parse(tag).map_err(|error| tag_problem(&error, tag, &at()))?;
        self.tags.push(tag.to_owned());
        Ok(())
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

    pub(super) fn add_page(
        &mut self,
        url: &str,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        CanonicalUrl::parse(url).map_err(|error| url_problem(&error, url, &at()))?;
        self.pages.push(url.to_owned());
        Ok(())
    }

    pub(super) fn add_path(
        &mut self,
        url: &str,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        CanonicalUrl::parse(url).map_err(|error| url_problem(&error, url, &at()))?;
        self.paths.push(url.to_owned());
        Ok(())
    }

    pub(super) fn add_expression(
        &mut self,
        expression: Expression,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        expression.read().map_err(|error| match &error {
            ExpressionError::Tag(error) => tag_problem(error, "", &at()),
            ExpressionError::Url(error) => url_problem(error, &error.text, &at()),
            ExpressionError::NoPositiveTerm => {
                Problem::new(Code::Empty, format!("{}: {error}", at()))
            }
            ExpressionError::TooManyTerms { .. } => {
                Problem::new(Code::Limit, format!("{}: {error}", at()))
            }
            ExpressionError::Term(text) | ExpressionError::Property(text) => {
                let wanted = "write tag:, host:, page:, path:, url: or prefix: and a name";
                Problem::new(Code::Field, format!("{}: {} is no term; {wanted}", at(), shown(text)))
            }
        })?;
        self.expressions.push(expression);
        Ok(())
    }

    pub(super) fn add_deploy(
        &mut self,
        deploy: Deploy,
        at: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        deploy.read().map_err(|error| match &error {
            DeployError::Name(error) => tag_problem(error, &deploy.id, &at()),
            DeployError::Host(error) => url_problem(error, &error.text, &at()),
            DeployError::Grace { .. } => Problem::new(Code::Limit, format!("{}: {error}", at())),
        })?;
        self.deploys.push(deploy);
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
        !self.all && self.lists_nothing()
    }

    pub(super) fn lists_nothing(&self) -> bool {
        self.texts().iter().all(|list| list.is_empty())
            && self.expressions.is_empty()
            && self.deploys.is_empty()
    }

    const fn texts(&self) -> [&Vec<String>; 6] {
        [&self.tags, &self.urls, &self.hosts, &self.prefixes, &self.pages, &self.paths]
    }

    /// Applies limits, filters, age and authorisation, in this order.
    pub(super) fn finish(
        mut self,
        rules: &Rules,
        record: &Record<'_>,
        now: SystemTime,
    ) -> Result<PurgeEvent, Stop> {
        self.check_names()?;
        let Self { tags, urls, hosts, prefixes, pages, paths, .. } = &mut self;
        [tags, urls, hosts, prefixes, pages, paths].into_iter().for_each(drop_repeats);
        drop_repeats(&mut self.expressions);
        drop_repeats(&mut self.deploys);
        if self.selects_nothing() {
            let detail = "it selects nothing: write tags, urls, pages, paths, hosts, prefixes, \
                all_of, any_of, deploys, \"all\": true, or a siteId";
            return Err(Problem::new(Code::Empty, detail).into());
        }
        check(self.tags.len(), rules.limits.tags, "tags")?;
        let others: usize = self.texts()[1..].iter().map(|list| list.len()).sum();
        let terms: usize = self.expressions.iter().map(|it| it.terms().count()).sum();
        let others = others + terms + self.deploys.len();
        check(others, rules.limits.urls, "urls, pages, paths, hosts, prefixes and terms")?;
        self.check_rewarm()?;
        self.filter(rules)?;
        let mode = self.mode.or(rules.mode).unwrap_or(PurgeMode::Hard);
        let time = self.root_time.or(self.time).or(record.timestamp).and_then(time::within);
        // A deploy is a state: a proxy that does not learn of it goes on with the one before.
        let may_expire =
            mode == PurgeMode::Soft && self.deploys.is_empty() && !record.is_repetition();
        if may_expire && self.is_expired(time, rules.max_age, now) {
            return Err(Ignored::Expired.into());
        }
        self.authorise(mode, rules)?;
        Ok(self.event(record, mode, time))
    }

    fn event(self, record: &Record<'_>, mode: PurgeMode, time: Option<SystemTime>) -> PurgeEvent {
        let id = self.id.unwrap_or_else(|| record.place());
        let at_ms = time.and_then(time::millis);
        let dated = |deploy: Deploy| Deploy { at_ms: deploy.at_ms.or(at_ms), ..deploy };
        let request = PurgeRequest {
            tags: self.tags,
            urls: self.urls,
            hosts: self.hosts,
            prefixes: self.prefixes,
            pages: self.pages,
            paths: self.paths,
            expressions: self.expressions,
            deploys: self.deploys.into_iter().map(dated).collect(),
            all: self.all,
            mode: Some(mode),
            reason: self.reason.map(shorten),
            id: Some(id.clone()),
            event_time: time.and_then(time::format),
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
        let urls = self.urls.iter().chain(&self.pages).chain(&self.paths);
        let urls = urls.filter_map(|url| host_of_url(url));
        let prefixes = self.prefixes.iter().filter_map(|prefix| host_of_prefix(prefix));
        let deploys = self.deploys.iter().filter_map(host_of_deploy);
        let terms = self.expressions.iter().flat_map(hosts_of_terms);
        hosts.chain(urls).chain(prefixes).chain(deploys).chain(terms)
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
        for urls in [&mut self.urls, &mut self.pages, &mut self.paths] {
            urls.retain(|url| host_of_url(url).is_none_or(|host| hosts.allows(&host)));
        }
        self.expressions.retain(|it| hosts_of_terms(it).iter().all(|host| hosts.allows(host)));
        self.deploys.retain(|it| host_of_deploy(it).is_none_or(|host| hosts.allows(&host)));
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
        let is_all = self.all
            || self.prefixes.iter().any(is_everything)
            || self.expressions.iter().any(may_be_everything)
            || self.deploys.iter().any(|deploy| deploy.host.is_none());
        if is_all && !is_listed(&rules.may_purge_all, source) {
            return forbid("purge everything", "may_purge_all", "name tags, urls, hosts or a site");
        }
        let is_hard = mode == PurgeMode::Hard || !self.deploys.is_empty();
        if is_hard && !is_listed(&rules.may_purge_hard, source) {
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

fn host_of_deploy(deploy: &Deploy) -> Option<String> {
    deploy.host.as_deref().and_then(|host| written_host(host).ok())
}

/// Returns the hosts that every response which meets an expression is of.
fn hosts_of_terms(expression: &Expression) -> Vec<String> {
    let all_of = expression.read().map(|terms| terms.all_of).unwrap_or_default();
    all_of.iter().filter_map(Term::host).map(str::to_owned).collect()
}

/// Returns whether an expression covers everything but its exceptions.
fn may_be_everything(expression: &Expression) -> bool {
    let is_everything =
        |term: &Term| matches!(term, Term::Prefix(prefix) if prefix.is_everything());
    expression.read().is_ok_and(|Terms { all_of, any_of, .. }| {
        all_of.iter().all(is_everything) && (any_of.is_empty() || any_of.iter().any(is_everything))
    })
}

fn tag_problem(error: &TagError, tag: &str, at: &str) -> Problem {
    let what = match error {
        TagError::Empty => "is empty; leave it out".to_owned(),
        TagError::TooLong { length, max } => {
            format!("has {length} bytes, more than the {max} of a tag; shorten it")
        }
        TagError::Character(_) => "is not a tag: it holds white space, a comma or a control \
            character; write each tag as a string of its own"
            .to_owned(),
    };
    Problem::new(Code::Tag, format!("{at}: {} {what}", shown(tag)))
}

/// Says what is wrong with a URL, host or prefix, and what to write.
pub(super) fn url_problem(error: &UrlError, text: &str, at: &str) -> Problem {
    Problem::new(Code::Url, format!("{at}: {} {}", shown(text), error.problem))
}

/// Members up to which each is compared with each.
const FEW: usize = 16;

fn drop_repeats<T: Eq + Hash>(list: &mut Vec<T>) {
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
    let is_new: Vec<bool> = list.iter().map(|one| seen.insert(one)).collect();
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
