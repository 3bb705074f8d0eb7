//! `SpaceSaving`: the heaviest of many names, in bounded memory (Metwally, Agrawal and El Abbadi,
//! 2005).

use std::collections::HashMap;

/// At most so many names. One that is new takes the place of the lightest, and its weight: no name
/// is heavier than it is said to be by more than the lightest.
#[derive(Debug)]
pub struct SpaceSaving<V> {
    entries: HashMap<Box<str>, Weighed<V>>,
    most: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weighed<V> {
    pub weight: u64,
    /// What was counted since the name has its place.
    pub value: V,
}

impl<V: Default> SpaceSaving<V> {
    pub fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), most: most.max(1) }
    }

    /// Adds weight to a name, and returns its value.
    pub fn add(&mut self, name: &str, weight: u64) -> &mut V {
        let inherited = if self.entries.contains_key(name) { 0 } else { self.make_room() };
        let entry = self.entries.entry(name.into()).or_default();
        entry.weight = entry.weight.saturating_add(weight).saturating_add(inherited);
        &mut entry.value
    }

    /// Takes the lightest out if there is no room, and returns its weight.
    fn make_room(&mut self) -> u64 {
        if self.entries.len() < self.most {
            return 0;
        }
        let lightest = self.entries.iter().min_by_key(|(_, entry)| entry.weight);
        let Some(name) = lightest.map(|(name, _)| name.clone()) else { return 0 };
        self.entries.remove(&name).map_or(0, |entry| entry.weight)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.entries.get_mut(name).map(|entry| &mut entry.value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Weighed<V>)> {
        self.entries.iter().map(|(name, entry)| (&**name, entry))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_name_takes_the_place_and_the_weight_of_the_lightest() {
        let mut sketch = SpaceSaving::<u64>::new(2);
        for (name, weight) in [("a", 5), ("b", 2), ("c", 1)] {
            *sketch.add(name, weight) += weight;
        }
        let mut found: Vec<_> = sketch.iter().map(|(name, entry)| (name, *entry)).collect();
        found.sort_by_key(|(name, _)| name.to_owned());
        let of = |weight, value| Weighed { weight, value };
        assert_eq!(found, [("a", of(5, 5)), ("c", of(3, 1))]);
        assert!(sketch.get_mut("b").is_none());
    }

    proptest! {
        #[test]
        fn what_is_heavier_than_a_fair_share_is_never_missing(
            names in prop::collection::vec(0_u8..40, 1..400)
        ) {
            let mut sketch = SpaceSaving::<()>::new(8);
            let mut exact = HashMap::<u8, u64>::new();
            for name in &names {
                sketch.add(&name.to_string(), 1);
                *exact.entry(*name).or_default() += 1;
            }
            let share = names.len() as u64 / 8;
            for (name, count) in exact.iter().filter(|(_, count)| **count > share) {
                let found = sketch.iter().find(|(own, _)| **own == *name.to_string());
                let (_, entry) = found.expect("it is heavy");
                prop_assert!(entry.weight >= *count);
            }
            prop_assert!(sketch.iter().count() <= 8);
        }
    }
}
