//! Freshness against another implementation: thousands of generated exchanges are judged by us and
//! by the crate `http-cache-semantics`, and every difference is one that has a name and a reason.
//!
//! Two readers of RFC 9111 who agree are not proof, but where they differ one of them is wrong, and
//! `deviations` says which. `PROPTEST_CASES` asks for more cases, `PROPTEST_RNG_SEED` for others.

#[cfg(test)]
mod case;
#[cfg(test)]
mod verdict;
#[cfg(test)]
mod deviations;

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

    use super::case::{Case, cases};
    use super::deviations::DEVIATIONS;
    use super::verdict::{differences, ours, theirs};

    /// With fewer, a rare deviation might not be met.
    const CASES: u32 = 16_000;

    #[test]
    fn every_difference_from_the_other_implementation_is_a_known_one() {
        let (judged, plain, fresh) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
        let met = RefCell::new(BTreeSet::new());
        let outcome = runner().run(&cases(), |case| {
            judged.set(judged.get() + 1);
            plain.set(plain.get() + u32::from(is_plain(&case)));
            fresh.set(fresh.get() + u32::from(ours(&case).is_some_and(|verdict| verdict.answers)));
            met.borrow_mut().extend(explain(&case)?);
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
        let (judged, plain, fresh) = (judged.get(), plain.get(), fresh.get());
        println!("{judged} cases, {plain} without any deviation, {fresh} fresh");
        assert!(plain * 10 > judged * 6, "too many cases are excused: {plain} of {judged} are not");
        assert!(
            fresh * 10 > judged * 2,
            "too few answers come from the store: {fresh} of {judged}"
        );
        let unmet: Vec<_> = DEVIATIONS
            .iter()
            .filter(|deviation| !met.borrow().contains(deviation.name))
            .map(|deviation| deviation.name)
            .collect();
        assert!(unmet.is_empty() || judged < CASES, "these explain nothing: {unmet:?}");
    }

    fn runner() -> TestRunner {
        let asked = Config::default();
        let rng_seed = match asked.rng_seed {
            RngSeed::Random => RngSeed::Fixed(9111),
            fixed @ RngSeed::Fixed(_) => fixed,
        };
        let is_asked = std::env::var_os("PROPTEST_CASES").is_some();
        let cases = if is_asked { asked.cases } else { CASES };
        TestRunner::new(Config { cases, rng_seed, failure_persistence: None, ..asked })
    }

    fn is_plain(case: &Case) -> bool {
        !DEVIATIONS.iter().any(|deviation| (deviation.applies)(case))
    }

    /// Returns the deviations without which a difference would have no explanation; one that has
    /// none is an error.
    fn explain(case: &Case) -> Result<Vec<&'static str>, TestCaseError> {
        let (ours, theirs) = (ours(case), theirs(case));
        let mut names = Vec::new();
        for aspect in differences(ours, theirs) {
            let mut explanations = DEVIATIONS
                .iter()
                .filter(|known| known.explains.contains(&aspect) && (known.applies)(case))
                .map(|known| known.name);
            match (explanations.next(), explanations.next()) {
                (None, _) => {
                    let message = format!("{aspect:?} differs: ours {ours:?}, theirs {theirs:?}");
                    return Err(TestCaseError::fail(message));
                }
                (Some(name), None) => names.push(name),
                (Some(_), Some(_)) => {}
            }
        }
        Ok(names)
    }
}
