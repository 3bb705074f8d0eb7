//! `Purge`: what a mutator purges, and which pages that covers.

use purge_protocol::{Deploy, Expression, PurgeMode, PurgeRequest};

use super::page::{Flavor, GROUPS, HOSTS, Page, SECTIONS, SITES};
use super::random::Random;

/// The kind of selector of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tag,
    EntityTag,
    Url,
    Host,
    Prefix,
    /// A page, or a path: the pages here are alone on theirs.
    Page,
    Path,
    /// What carries a tag and is of a host.
    Both,
    /// What lies under a prefix or carries a tag, and is not one page.
    EitherBut,
    All,
    /// Another deployment, which has changed every page.
    Deploy,
    /// A prefix of a host that has no page here.
    Foreign,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Tag,
        Self::EntityTag,
        Self::Url,
        Self::Host,
        Self::Prefix,
        Self::Page,
        Self::Path,
        Self::Both,
        Self::EitherBut,
        Self::All,
    ];
}

/// A purge, and the numbers of the pages that it renews.
#[derive(Clone, Debug)]
pub(crate) struct Purge {
    pub(crate) kind: Kind,
    pub(crate) request: PurgeRequest,
    pub(crate) renewed: Vec<usize>,
}

impl Purge {
    /// Chooses one of this kind that renews some page.
    pub(crate) fn choose(kind: Kind, is_hard: bool, pages: &[Page], random: &mut Random) -> Self {
        loop {
            let is_soft = !is_hard && kind != Kind::Deploy && random.one_in(4);
            let purge = Self::any(kind, is_soft, pages, random);
            if !purge.renewed.is_empty() || kind == Kind::Foreign {
                return purge;
            }
        }
    }

    /// Names the deployment that has taken the place. Changes may arrive in another order.
    pub(crate) fn deploy(&mut self, deployment: u64) {
        let (id, at_ms) = (deployment.to_string(), Some(deployment));
        self.request.deploys.push(Deploy { id, at_ms, ..Deploy::default() });
    }

    fn any(kind: Kind, is_soft: bool, pages: &[Page], random: &mut Random) -> Self {
        let mode = if is_soft { PurgeMode::Soft } else { PurgeMode::Hard };
        let mut request = PurgeRequest { mode: Some(mode), ..PurgeRequest::default() };
        let covered = aim(kind, pages, random, &mut request);
        let is_renewed = |page: &&Page| !is_soft || page.flavor.is_renewed_by_soft_purges();
        let renewed = covered.into_iter().filter(is_renewed).map(|page| page.number).collect();
        Self { kind, request, renewed }
    }
}

/// Writes a selector of this kind into the request and returns the pages that it covers.
fn aim<'a>(
    kind: Kind,
    pages: &'a [Page],
    random: &mut Random,
    request: &mut PurgeRequest,
) -> Vec<&'a Page> {
    let covered = |is_covered: &dyn Fn(&Page) -> bool| {
        pages.iter().filter(|page| is_covered(page)).collect::<Vec<_>>()
    };
    let page = &pages[random.below(pages.len())];
    let host = random.one_of(&HOSTS);
    match kind {
        Kind::Tag if random.one_in(2) => {
            request.tags.push(format!("page-{}", page.number));
            vec![page]
        }
        Kind::Tag => {
            let group = random.one_of(&GROUPS);
            request.tags.push(group.to_owned());
            covered(&|page| page.group == group)
        }
        Kind::EntityTag => {
            let site = random.one_of(&SITES);
            request.tags.push(site.to_owned());
            covered(&|page| page.site == site && page.flavor != Flavor::Validated)
        }
        Kind::Url => {
            request.urls.push(format!("http://{}{}", page.host, page.path()));
            vec![page]
        }
        Kind::Host => {
            request.hosts.push(host.to_owned());
            covered(&|page| page.host == host)
        }
        Kind::Prefix => {
            let section = random.one_of(&SECTIONS);
            if random.one_in(2) {
                request.prefixes.push(format!("/{section}/"));
                return covered(&|page| page.section == section);
            }
            request.prefixes.push(format!("http://{host}/{section}/"));
            covered(&|page| page.section == section && page.host == host)
        }
        Kind::Page | Kind::Path => {
            let (path, host) = (page.path(), page.host);
            let path = path.split('?').next().unwrap_or_default();
            let list = if kind == Kind::Page { &mut request.pages } else { &mut request.paths };
            list.push(format!("http://{host}{path}"));
            vec![page]
        }
        Kind::Both => {
            let group = random.one_of(&GROUPS);
            let all_of = vec![format!("tag:{group}"), format!("host:{host}")];
            request.expressions.push(Expression { all_of, ..Expression::default() });
            covered(&|page| page.group == group && page.host == host)
        }
        Kind::EitherBut => {
            let (section, group) = (random.one_of(&SECTIONS), random.one_of(&GROUPS));
            let any_of = vec![format!("prefix://{host}/{section}/"), format!("tag:{group}")];
            let none_of = vec![format!("tag:page-{}", page.number)];
            request.expressions.push(Expression { any_of, none_of, ..Expression::default() });
            covered(&|it| {
                (it.host == host && it.section == section || it.group == group)
                    && it.number != page.number
            })
        }
        Kind::Foreign => {
            request.prefixes.push(format!("http://foreign.example/{}", page.section));
            Vec::new()
        }
        Kind::All => {
            request.all = true;
            covered(&|_| true)
        }
        Kind::Deploy => covered(&|_| true),
    }
}
