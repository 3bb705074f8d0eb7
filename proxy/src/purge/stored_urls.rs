//! Purged URLs, as the URLs under which responses to requests for them are stored.

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
                (Target::Expression(terms), Some(settings)) => {
                    for terms in with_forms(terms, &|url| forms(url, settings)) {
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

/// Returns the expressions that, together, select each URL in all its forms. Every response has one
/// URL: of those in `all_of`, it is one of the forms that they have in common.
fn with_forms(terms: &Terms, forms: &dyn Fn(&CanonicalUrl) -> Vec<CanonicalUrl>) -> Vec<Terms> {
    let every_form = |list: &[Term]| -> Vec<Term> {
        let each = |term: &Term| match term {
            Term::Url(url) => forms(url).into_iter().map(Term::Url).collect(),
            other => vec![other.clone()],
        };
        list.iter().flat_map(each).collect()
    };
    let (any_of, none_of) = (every_form(&terms.any_of), every_form(&terms.none_of));
    let mut all_of = Vec::new();
    let mut common: Option<Vec<CanonicalUrl>> = None;
    for term in &terms.all_of {
        let Term::Url(url) = term else {
            all_of.push(term.clone());
            continue;
        };
        let forms = forms(url);
        match &mut common {
            Some(common) => common.retain(|form| forms.contains(form)),
            None => common = Some(forms),
        }
    }
    let with =
        |all_of: Vec<Term>| Terms { all_of, any_of: any_of.clone(), none_of: none_of.clone() };
    match common {
        None => vec![with(all_of)],
        // Nothing has two URLs. It is marked as it is written, and hits nothing.
        Some(common) if common.is_empty() => vec![with(terms.all_of.clone())],
        Some(common) => {
            let and_url = |url| [&all_of[..], &[Term::Url(url)]].concat();
            common.into_iter().map(|url| with(and_url(url))).collect()
        }
    }
}

/// Returns the other URLs under which responses to requests for this one may be stored.
pub(super) fn others(url: &CanonicalUrl, settings: &LiveSettings) -> Vec<CanonicalUrl> {
    if !url.path().contains('?') {
        return Vec::new();
    }
    let paths = settings.current().policies.stored_paths(url.host(), url.path());
    paths.iter().filter_map(|path| CanonicalUrl::from_parts(url.host(), path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use purge_protocol::Expression;

    use super::*;

    /// Drops what follows `?` or leaves a URL alone.
    fn forms(url: &CanonicalUrl) -> Vec<CanonicalUrl> {
        let bare = url.clone().without_query();
        if bare == *url { vec![bare] } else { vec![url.clone(), bare] }
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
    fn of_two_url_terms_the_common_forms_are_selected() {
        let written = read(&["url:h.example/a?x", "url:h.example/a?y"], &[], &[]);
        assert_eq!(with_forms(&written, &forms), [read(&["url:h.example/a"], &[], &[])]);
        let apart = read(&["url:h.example/a", "url:h.example/b"], &[], &[]);
        assert_eq!(with_forms(&apart, &forms), std::slice::from_ref(&apart));
    }
}
