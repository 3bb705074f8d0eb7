//! `Fields`: typed access to an object's members, with errors that name the place, the value and
//! the remedy.

use std::borrow::Cow;
use std::time::SystemTime;

use super::json::{Json, Object};
use super::time;
use super::unreadable::{Code, Problem, SHOWN, shown};

/// An object and the path that leads to its members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) object: &'a Object<'a>,
    /// Empty, or ends with a dot: `data.`.
    pub(super) path: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn at(self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, Problem> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, other, "a string")),
        }
    }

    /// Returns a string, or an integer as a string: ids are written both ways.
    pub(super) fn id(self, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.object.get(name) {
            None => Ok(None),
            Some(value @ (Json::Text(_) | Json::Unsigned(_) | Json::Signed(_))) => {
                Ok(value.scalar())
            }
            Some(other) => Err(self.wrong(name, other, "a string")),
        }
    }

    /// Returns a boolean, `false` when it is not there.
    pub(super) fn flag(self, name: &str) -> Result<bool, Problem> {
        match self.object.get(name) {
            None => Ok(false),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(name, other, "true or false")),
        }
    }

    /// Returns a whole number, which may be written as a string.
    pub(super) fn whole(self, name: &str) -> Result<Option<u64>, Problem> {
        match self.object.get(name) {
            None => Ok(None),
            Some(value) => match whole(value) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(name, value, "a whole number from 0 to 2^64-1")),
            },
        }
    }

    pub(super) fn texts(self, name: &str) -> Result<Vec<&'a str>, Problem> {
        match self.object.get(name) {
            None => Ok(Vec::new()),
            Some(Json::List(members)) => {
                let member = |(index, member): (usize, &'a Json<'a>)| match member {
                    Json::Text(text) => Ok(text.as_ref()),
                    other => Err(self.wrong(&format!("{name}[{index}]"), other, "a string")),
                };
                members.iter().enumerate().map(member).collect()
            }
            Some(other) => Err(self.wrong(name, other, "a list of strings, such as [\"a\"]")),
        }
    }

    /// Returns a list of whole numbers; one alone is a list, too.
    pub(super) fn wholes(self, name: &str) -> Result<Option<Vec<u64>>, Problem> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Json::List(members)) => {
                let member = |(index, member): (usize, &Json<'_>)| {
                    whole(member).ok_or_else(|| {
                        self.wrong(&format!("{name}[{index}]"), member, "a whole number")
                    })
                };
                members.iter().enumerate().map(member).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Ok(self.whole(name)?.map(|number| vec![number])),
        }
    }

    pub(super) fn object(self, name: &str) -> Result<Option<&'a Object<'a>>, Problem> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Json::Object(object)) => Ok(Some(object)),
            Some(other) => Err(self.wrong(name, other, "an object")),
        }
    }

    /// Returns a list of objects.
    pub(super) fn objects(self, name: &str) -> Result<Vec<&'a Object<'a>>, Problem> {
        match self.object.get(name) {
            None => Ok(Vec::new()),
            Some(Json::List(members)) => {
                let member = |(index, member): (usize, &'a Json<'a>)| match member {
                    Json::Object(object) => Ok(object),
                    other => Err(self.wrong(&format!("{name}[{index}]"), other, "an object")),
                };
                members.iter().enumerate().map(member).collect()
            }
            Some(other) => Err(self.wrong(name, other, "a list of objects")),
        }
    }

    /// Refuses members that have other names: what is left out would change what is meant.
    pub(super) fn only(self, names: &[&str]) -> Result<(), Problem> {
        match self.object.names().find(|name| !names.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
                let detail =
                    format!("{}: is not known; write {}", self.at(&name), names.join(", "));
                Err(Problem::new(Code::Field, detail))
            }
        }
    }

    /// Returns a time. An invalid one counts as absent: a bad date never costs a purge.
    pub(super) fn time(self, name: &str) -> Option<SystemTime> {
        self.object.text(name).and_then(time::parse)
    }

    fn wrong(self, name: &str, value: &Json<'_>, wanted: &str) -> Problem {
        let value = match value.scalar() {
            Some(text) => format!("{} ({})", shown(&text), value.kind()),
            None => value.kind().to_owned(),
        };
        Problem::new(Code::Type, format!("{}{name}: is {value}; write {wanted}", self.path))
    }
}

fn whole(value: &Json<'_>) -> Option<u64> {
    match value {
        Json::Unsigned(number) => Some(*number),
        Json::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}
