//! "Did you mean ...?"

use strsim::damerau_levenshtein;

/// Returns the candidate that was probably meant, if any is close enough.
pub(crate) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let name = name.to_lowercase();
    let distance = |candidate: &str| damerau_levenshtein(&name, &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_none() {
        for (name, expected) in [
            ("conect_timeout", Some("connect_timeout")),
            ("HARD", Some("hard")),
            ("sfot", Some("soft")),
            ("servers", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, ["connect_timeout", "hard", "soft"]), expected, "{name}");
        }
    }
}
