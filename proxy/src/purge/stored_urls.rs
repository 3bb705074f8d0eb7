//! Purged URLs, as the URLs under which responses to requests for them are stored.

use std::mem::discriminant;

use purge_protocol::request::Target;
use purge_protocol::{CanonicalUrl, Term, Terms};

use super::count::Count;
use crate::policy::LiveSettings;

/// The targets of a purge; a URL whose query is filtered stands there as it is written and as it is
/// stored.
#[derive(Debug, Default)]
pub(super) struct StoredUrls {
    pub(super) targets: Vec<Target>,
    /// For each, its place among what was named.
    owners: Vec<usize>,
}

impl StoredUrls {
    /// Adds what the filters leave of URLs. A URL as it is written may have been stored under
    /// other settings, and be used again under these.
    pub(super) fn of(named: &[Target], settings: Option<&LiveSettings>) -> Self {
        let mut all = Self::default();
        for (owner, target) in named.iter().enumerate() {
            match (target, settings) {
                (Target::Url(url), Some(settings)) => {
                    for form in forms(url, settings) {
                        all.add(owner, Target::Url(form));
                    }
                }
                (Target::Page(url), Some(settings)) => {
                    for form in places(url, settings) {
                        all.add(owner, Target::Page(form));
                    }
                }
                (Target::Path(url), Some(settings)) => {
                    for form in places(url, settings) {
                        all.add(owner, Target::Path(form));
                    }
                }
                (Target::Expression(terms), Some(settings)) => {
                    for terms in with_forms(terms, &|term| forms_of(term, settings)) {
                        all.add(owner, Target::Expression(terms));
                    }
                }
                _ => all.add(owner, target.clone()),
            }
        }
        all
    }

    /// Adds the counts of all forms of a URL up.
    pub(super) fn add_up(&self, counts: Vec<Count>) -> Vec<Count> {
        let mut sums: Vec<Count> = Vec::with_capacity(counts.len());
        for (owner, count) in self.owners.iter().zip(counts) {
            match sums.get_mut(*owner) {
                Some(sum) => *sum = sum.and(count),
                None => sums.push(count),
            }
        }
        sums
    }

    fn add(&mut self, owner: usize, target: Target) {
        self.targets.push(target);
        self.owners.push(owner);
    }
}

/// Returns the URL, and the others under which responses to requests for it may be stored.
fn forms(url: &CanonicalUrl, settings: &LiveSettings) -> Vec<CanonicalUrl> {
    let mut forms = others(url, settings);
    forms.retain(|other| other != url);
    forms.insert(0, url.clone());
    forms
}

/// Returns the URL, which has no query, and what rules rewrite it to.
fn places(url: &CanonicalUrl, settings: &LiveSettings) -> Vec<CanonicalUrl> {
    let mut all = vec![url.clone()];
    for other in others(url, settings) {
        let place = other.without_query();
        if !all.contains(&place) {
            all.push(place);
        }
    }
    all
}

/// Returns the term, and the others by which the same responses are selected as they are stored.
fn forms_of(term: &Term, settings: &LiveSettings) -> Vec<Term> {
    match term {
        Term::Url(url) => forms(url, settings).into_iter().map(Term::Url).collect(),
        Term::Page(url) => places(url, settings).into_iter().map(Term::Page).collect(),
        Term::Path(url) => places(url, settings).into_iter().map(Term::Path).collect(),
        Term::Tag(_) | Term::Host(_) | Term::Prefix(_) => vec![term.clone()],
    }
}

/// Returns the expressions that, together, select each URL, page and path in all its forms. Every
/// response has one of each: of those in `all_of`, it is one of the forms that they have in common.
fn with_forms(terms: &Terms, forms: &dyn Fn(&Term) -> Vec<Term>) -> Vec<Terms> {
    let every_form = |list: &[Term]| -> Vec<Term> { list.iter().flat_map(forms).collect() };
    let (any_of, none_of) = (every_form(&terms.any_of), every_form(&terms.none_of));
    let mut all_of = Vec::new();
    let mut common: Vec<Vec<Term>> = Vec::new();
    for term in &terms.all_of {
        if !matches!(term, Term::Url(_) | Term::Page(_) | Term::Path(_)) {
            all_of.push(term.clone());
            continue;
        }
        let forms = forms(term);
        let kind = |other: &Vec<Term>| other.first().map(discriminant) == Some(discriminant(term));
        match common.iter_mut().find(|other| kind(other)) {
            Some(common) => common.retain(|form| forms.contains(form)),
            None => common.push(forms),
        }
        // Nothing has two URLs. It is marked as it is written, and hits nothing.
        if common.iter().any(Vec::is_empty) {
            return vec![Terms { all_of: terms.all_of.clone(), any_of, none_of }];
        }
    }
    let mut every = vec![all_of];
    for forms in common {
        let with = |all_of: &Vec<Term>| {
            forms.iter().map(|form| [&all_of[..], std::slice::from_ref(form)].concat()).collect()
        };
        every = every.iter().flat_map::<Vec<Vec<Term>>, _>(with).collect();
    }
    let whole = |all_of| Terms { all_of, any_of: any_of.clone(), none_of: none_of.clone() };
    every.into_iter().map(whole).collect()
}

/// Returns the other URLs under which responses to requests for this one may be stored.
pub(super) fn others(url: &CanonicalUrl, settings: &LiveSettings) -> Vec<CanonicalUrl> {
    let policies = &settings.current().policies;
    if !url.path().contains('?') && !policies.rewrite() {
        return Vec::new();
    }
    let paths = policies.stored_paths(url.host(), url.path());
    paths.iter().filter_map(|path| CanonicalUrl::from_parts(url.host(), path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use purge_protocol::Expression;

    use super::*;

    /// Drops what follows `?` or leaves a URL alone. A page below `/uk/` is stored as below `/en/`.
    fn forms(term: &Term) -> Vec<Term> {
        let mut all = vec![term.clone()];
        match term {
            Term::Url(url) => {
                let bare = url.clone().without_query();
                all.extend((bare != *url).then_some(Term::Url(bare)));
            }
            Term::Page(url) => {
                let path = url.path().strip_prefix("/uk").map(|rest| format!("/en{rest}"));
                let other = path.map(|path| CanonicalUrl::from_parts(url.host(), &path).unwrap());
                all.extend(other.map(Term::Page));
            }
            _ => {}
        }
        all
    }

    fn read(all_of: &[&str], any_of: &[&str], none_of: &[&str]) -> Terms {
        let [all_of, any_of, none_of] =
            [all_of, any_of, none_of].map(|it| it.iter().map(|term| (*term).to_owned()).collect());
        Expression { all_of, any_of, none_of }.read().unwrap()
    }

    #[test]
    fn a_url_term_selects_each_form_in_which_the_url_is_stored() {
        let written = read(&["tag:t", "url:h.example/a?x"], &[], &[]);
        let each = [
            read(&["tag:t", "url:h.example/a?x"], &[], &[]),
            read(&["tag:t", "url:h.example/a"], &[], &[]),
        ];
        assert_eq!(with_forms(&written, &forms), each);

        let written = read(&["tag:t"], &["url:h.example/a?x", "tag:u"], &["url:h.example/b?x"]);
        let one = read(
            &["tag:t"],
            &["url:h.example/a?x", "url:h.example/a", "tag:u"],
            &["url:h.example/b?x", "url:h.example/b"],
        );
        assert_eq!(with_forms(&written, &forms), [one]);
    }

    #[test]
    fn a_page_term_selects_each_page_that_it_is_stored_as() {
        let written = read(&["page:h.example/uk/a", "tag:t"], &[], &["page:h.example/uk/b"]);
        let none_of = ["page:h.example/uk/b", "page:h.example/en/b"];
        let each = ["page:h.example/uk/a", "page:h.example/en/a"]
            .map(|page| read(&["tag:t", page], &[], &none_of));
        assert_eq!(with_forms(&written, &forms), each);
    }

    #[test]
    fn of_two_url_terms_the_common_forms_are_selected() {
        let written = read(&["url:h.example/a?x", "url:h.example/a?y"], &[], &[]);
        assert_eq!(with_forms(&written, &forms), [read(&["url:h.example/a"], &[], &[])]);
        let apart = read(&["url:h.example/a", "url:h.example/b"], &[], &[]);
        assert_eq!(with_forms(&apart, &forms), std::slice::from_ref(&apart));
    }
}
