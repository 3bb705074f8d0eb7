//! Metrics of names.

use super::{ResolvedName, ServerNames};
use crate::metrics::family::{Family, Sample};

pub(in crate::origins) fn families(names: &ServerNames) -> Vec<Family> {
    let in_use = names.in_use();
    let label = |name: &ResolvedName| ("name", name.question().name().to_owned());
    vec![
        Family::labelled(
            "shellac_dns_lookups",
            "Look-ups of a server's name by their result",
            in_use.iter().flat_map(|name| {
                let counts = &name.counts;
                let results = [
                    ("answered", &counts.answered),
                    ("no_records", &counts.negative),
                    ("timeout", &counts.timed_out),
                    ("failed", &counts.failed),
                ];
                results.map(|(result, count)| {
                    Sample::counter([label(name), ("result", result.to_owned())], count.value())
                })
            }),
        ),
        Family::labelled(
            "shellac_dns_answer_age_seconds",
            "Time since a server's name was last looked up with success",
            in_use.iter().filter_map(|name| {
                let (age, _) = name.condition();
                Some(Sample::labelled_gauge([label(name)], age?.as_secs()))
            }),
        ),
        Family::labelled(
            "shellac_dns_failures_in_row",
            "Look-ups of a server's name that failed since the last success",
            in_use
                .iter()
                .map(|name| Sample::labelled_gauge([label(name)], name.condition().1.into())),
        ),
    ]
}
