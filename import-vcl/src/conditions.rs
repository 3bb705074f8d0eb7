//! `VclConditions`: what a rule is for, while it is put together.

use std::collections::BTreeMap;

use crate::{statuses, toml};

/// Conditions that hold together. Several in a list are alternatives: a guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VclConditions {
    /// `path`, `host`, `method`, `client`, `status`, `content_type`: one item is enough.
    lists: BTreeMap<&'static str, Vec<String>>,
    path_regex: Option<String>,
    /// `query`, `header`, `cookie`, `response_header`: all names, one value of each is enough.
    maps: BTreeMap<&'static str, BTreeMap<String, Vec<String>>>,
    not: Option<Box<Self>>,
    /// Names of cookies, one of which is enough; `*` at the end.
    pub(crate) cookies: Vec<String>,
    /// VCL looks at more of the cookies than their names.
    pub(crate) is_of_values: bool,
    /// How they differ from what VCL says.
    pub(crate) nearly: Option<&'static str>,
}

pub(crate) type Guard = Vec<VclConditions>;

/// Says why conditions cannot be put together.
pub(crate) type Obstacle = String;

impl VclConditions {
    pub(crate) fn list(key: &'static str, items: Vec<String>) -> Self {
        Self { lists: BTreeMap::from([(key, items)]), ..Self::default() }
    }

    pub(crate) fn entry(key: &'static str, name: &str, values: Vec<String>) -> Self {
        let entry = BTreeMap::from([(name.to_owned(), values)]);
        Self { maps: BTreeMap::from([(key, entry)]), ..Self::default() }
    }

    pub(crate) fn path_regex(regex: String) -> Self {
        Self { path_regex: Some(regex), ..Self::default() }
    }

    pub(crate) fn of_cookies(cookies: Vec<String>, is_of_values: bool) -> Self {
        Self { cookies, is_of_values, ..Self::default() }
    }

    pub(crate) fn nearly(self, how: Option<&'static str>) -> Self {
        Self { nearly: self.nearly.or(how), ..self }
    }

    pub(crate) fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is in a list, if there is nothing else.
    pub(crate) fn only_list(&self, key: &str) -> Option<&[String]> {
        let items = self.lists.get(key)?;
        (self.fields() == 1).then_some(items)
    }

    pub(crate) fn only_not(&self) -> Option<&Self> {
        self.not.as_deref().filter(|_| self.fields() == 1)
    }

    /// Returns whether they are about methods alone.
    pub(crate) fn is_of_methods(&self) -> bool {
        let own = self.only_not().unwrap_or(self);
        own.only_list("method").is_some()
    }

    /// Returns the one name in a map that has to be there, if there is nothing else.
    pub(crate) fn only_present(&self, key: &str) -> Option<&str> {
        let name = self.only_name(key)?;
        let values = self.maps.get(key)?.get(name)?;
        (values.as_slice() == ["*"]).then_some(name)
    }

    /// Returns the one name in a map, if there is nothing else.
    fn only_name(&self, key: &str) -> Option<&str> {
        let entries = self.maps.get(key)?;
        let (name, _) = entries.first_key_value()?;
        (self.fields() == 1).then_some(name)
    }

    fn fields(&self) -> usize {
        self.lists.len()
            + usize::from(self.path_regex.is_some())
            + self.maps.values().map(BTreeMap::len).sum::<usize>()
            + usize::from(self.not.is_some())
            + usize::from(!self.cookies.is_empty())
    }

    /// Returns both together.
    fn and(&self, other: &Self) -> Result<Self, Obstacle> {
        let mut both = self.clone();
        for (key, items) in &other.lists {
            match both.lists.get(key) {
                Some(own) if *key == "status" => {
                    let common = statuses::intersection(own, items);
                    both.lists.insert(key, common)
                }
                Some(own) if own != items => {
                    return Err(format!(
                        "a rule has one list of `{key}`, and two would have to match"
                    ));
                }
                _ => both.lists.insert(key, items.clone()),
            };
        }
        match (&self.path_regex, &other.path_regex) {
            (Some(own), Some(other)) if own != other => {
                return Err("a rule has one `path_regex`, and two would have to match".to_owned());
            }
            (None, Some(other)) => both.path_regex = Some(other.clone()),
            _ => {}
        }
        for (key, entries) in &other.maps {
            let own = both.maps.entry(key).or_default();
            for (name, values) in entries {
                if own.get(name).is_some_and(|own| own != values) {
                    return Err(format!("two conditions on {key} `{name}`"));
                }
                own.insert(name.clone(), values.clone());
            }
        }
        both.not = match (&self.not, &other.not) {
            (Some(own), Some(other)) if own != other => Some(Box::new(own.or(other)?)),
            (own, other) => own.clone().or_else(|| other.clone()),
        };
        if !self.cookies.is_empty() && !other.cookies.is_empty() && self.cookies != other.cookies {
            return Err("two conditions on cookies".to_owned());
        }
        both.is_of_values |= other.is_of_values;
        both.nearly = self.nearly.or(other.nearly);
        both.cookies.extend(other.cookies.iter().filter(|it| !self.cookies.contains(it)).cloned());
        Ok(both)
    }

    /// Returns one that holds where either does, if there is one.
    fn or(&self, other: &Self) -> Result<Self, Obstacle> {
        let exact = |one: &Self| Self { nearly: None, ..one.clone() };
        let either = exact(self).or_exactly(&exact(other))?;
        Ok(either.nearly(self.nearly).nearly(other.nearly))
    }

    fn or_exactly(&self, other: &Self) -> Result<Self, Obstacle> {
        let obstacle =
            || "\"neither this nor that\" takes one kind of condition in a rule".to_owned();
        if self == other {
            return Ok(self.clone());
        }
        let mut either = self.clone();
        if let (Some(own), Some(others)) = (&self.path_regex, &other.path_regex)
            && self.lists == other.lists
            && (&self.maps, &self.not, &self.cookies) == (&other.maps, &other.not, &other.cookies)
        {
            either.path_regex = Some(format!("(?:{own})|(?:{others})"));
            return Ok(either);
        }
        let (mut one, mut two) = (self.clone(), other.clone());
        if !self.cookies.is_empty() && !other.cookies.is_empty() {
            (one.cookies, two.cookies) = (Vec::new(), Vec::new());
            if one != two {
                return Err(obstacle());
            }
            extend(&mut either.cookies, &other.cookies);
            return Ok(either);
        }
        let mut differing = self
            .lists
            .iter()
            .filter(|(key, items)| other.lists.get(*key).is_some_and(|other| other != *items));
        let key = differing.next().map(|(key, _)| *key).ok_or_else(obstacle)?;
        one.lists.remove(key);
        let others = two.lists.remove(key).ok_or_else(obstacle)?;
        if one != two {
            return Err(obstacle());
        }
        extend(either.lists.entry(key).or_default(), &others);
        Ok(either)
    }

    /// Returns what holds where these do not.
    fn negated(&self) -> Result<Self, Obstacle> {
        let exact = Self { nearly: None, ..self.clone() };
        Ok(exact.negated_exactly()?.nearly(self.nearly))
    }

    fn negated_exactly(&self) -> Result<Self, Obstacle> {
        if let Some(inner) = self.only_not() {
            return Ok(inner.clone());
        }
        if let Some(items) = self.only_list("status") {
            return Ok(Self::list("status", statuses::complement(items)));
        }
        for key in ["header", "response_header", "query"] {
            if let Some(name) = self.only_name(key)
                && let Some([value]) =
                    self.maps.get(key).and_then(|it| it.get(name)).map(Vec::as_slice)
                && ["*", ""].contains(&value.as_str())
            {
                let other = if value == "*" { "" } else { "*" };
                return Ok(Self::entry(key, name, vec![other.to_owned()]));
            }
        }
        let is_of_response = self.lists.keys().any(|key| ["status", "content_type"].contains(key))
            || self.maps.contains_key("response_header");
        if self.not.is_some() || !self.cookies.is_empty() || is_of_response {
            return Err("a rule has no way to say that this is not so".to_owned());
        }
        Ok(Self { not: Some(Box::new(self.clone())), ..Self::default() })
    }

    /// Returns the lines of the rule, those of `cookies` apart.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.parts();
        if let Some(not) = &self.not {
            lines.push(format!("not = {{ {} }}", not.parts().join(", ")));
        }
        lines
    }

    fn parts(&self) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for (key, items) in &self.lists {
            parts.push(format!("{key} = {}", toml::one_or_more(items)));
        }
        if let Some(regex) = &self.path_regex {
            parts.push(format!("path_regex = {}", toml::text(regex)));
        }
        for (key, entries) in &self.maps {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, values)| {
                    format!("{} = {}", toml::key(name), toml::one_or_more(values))
                })
                .collect();
            parts.push(format!("{key} = {{ {} }}", entries.join(", ")));
        }
        parts
    }
}

fn extend(own: &mut Vec<String>, others: &[String]) {
    for item in others {
        if !own.contains(item) {
            own.push(item.clone());
        }
    }
}

/// Returns the guard of what is always so.
pub(crate) fn always() -> Guard {
    vec![VclConditions::default()]
}

pub(crate) fn is_always(guard: &Guard) -> bool {
    guard.iter().any(VclConditions::is_always)
}

/// Returns a guard that holds where both do.
pub(crate) fn all(one: &Guard, other: &Guard) -> Result<Guard, Obstacle> {
    let mut both = Vec::new();
    for own in one {
        for other in other {
            both.push(own.and(other)?);
        }
    }
    // No status is left where two lists have none in common.
    both.retain(|conditions| conditions.lists.values().all(|items| !items.is_empty()));
    bounded(both)
}

/// Returns a guard that holds where one of them does.
pub(crate) fn any(one: Guard, other: Guard) -> Result<Guard, Obstacle> {
    let mut either = one;
    for conditions in other {
        let merged = either.iter_mut().find_map(|own| own.or(&conditions).ok().map(|it| (own, it)));
        match merged {
            Some((own, merged)) => *own = merged,
            None => either.push(conditions),
        }
    }
    bounded(either)
}

/// Returns a guard that holds where this one does not.
pub(crate) fn negated(guard: &Guard) -> Result<Guard, Obstacle> {
    if is_always(guard) {
        return Ok(Vec::new());
    }
    let mut none = always();
    for conditions in guard {
        none = all(&none, &vec![conditions.negated()?])?;
    }
    Ok(none)
}

fn bounded(guard: Guard) -> Result<Guard, Obstacle> {
    if guard.len() > ALTERNATIVES_MAX {
        return Err(format!("it would take more than {ALTERNATIVES_MAX} rules"));
    }
    Ok(guard)
}

const ALTERNATIVES_MAX: usize = 16;
