//! What a setting may hold: functions from a node of the tree to a checked value, or to what it
//! should have been.

mod address;
mod duration;
mod mode;
mod share;
mod size;
mod status;
mod token;

use std::fmt::Display;
use std::ops::RangeInclusive;

pub(crate) use self::address::{authority, cidr, listen_address, peer_network, socket_address};
pub(crate) use self::duration::{LIFETIME, PAUSE, TIMEOUT, duration, duration_of, duration_or_off};
pub(crate) use self::mode::file_mode;
pub(crate) use self::share::{percent, percent_or_off};
pub(crate) use self::size::{size, size_of, size_or_off};
pub use self::status::StatusRange;
pub(crate) use self::status::status_range;
pub(crate) use self::token::is_token;
use super::report::{ProblemBuilder, nearest};
use super::tree::{Node, Value};

/// The fault of a value. The reader puts the setting's path before `wants`.
#[derive(Debug)]
pub(crate) struct Fault {
    /// "must be ...".
    wants: String,
    /// A few words for the place.
    label: String,
    /// Advice.
    help: Option<String>,
}

impl Fault {
    /// Returns a fault: "must be ...", and a few words for the place.
    pub(crate) fn new(wants: impl Into<String>, label: impl Into<String>) -> Self {
        Self { wants: wants.into(), label: label.into(), help: None }
    }

    /// Adds advice.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Says that the value may be `"off"` as well.
    pub(crate) fn or_off(self) -> Self {
        Self { wants: format!("{}, or \"off\"", self.wants), ..self }
    }

    /// Returns the problem of the setting at this path.
    pub(crate) fn draft(self, path: &str) -> ProblemBuilder {
        let draft = ProblemBuilder::error(format!("`{path}` {}", self.wants), self.label);
        match self.help {
            Some(help) => draft.help(help),
            None => draft,
        }
    }

    /// Returns the fault of a value that is of another type.
    pub(crate) fn wrong_type(wants: &str, node: &Node) -> Self {
        Self::new(format!("must be {wants}"), format!("this is {}", node.noun()))
    }
}

/// Reads `true` or `false`.
pub(crate) fn boolean(node: &Node) -> Result<bool, Fault> {
    match &node.value {
        Value::Boolean(value) => Ok(*value),
        Value::Bare(text) if text == "true" => Ok(true),
        Value::Bare(text) if text == "false" => Ok(false),
        Value::Text(text) if matches!(text.as_str(), "true" | "false") => {
            Err(Fault::wrong_type("true or false", node).help(format!("{text}, without quotes")))
        }
        _ => Err(Fault::wrong_type("true or false", node)),
    }
}

/// Reads a whole number in a range.
pub(crate) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&Node) -> Result<T, Fault>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    let wants = format!("must be a whole number from {} to {}", range.start(), range.end());
    move |node| {
        let (Value::Number(text) | Value::Bare(text)) = &node.value else {
            return Err(unquote(Fault::new(&wants, format!("this is {}", node.noun())), node));
        };
        let Ok(number) = text.parse::<i128>() else {
            return Err(Fault::new(&wants, "not a whole number"));
        };
        let number = T::try_from(number).ok().filter(|number| range.contains(number));
        number.ok_or_else(|| Fault::new(&wants, "out of range"))
    }
}

/// Reads a whole number in a range, or `off`.
pub(crate) fn whole_or_off<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&Node) -> Result<Option<T>, Fault>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    let whole = whole(range);
    move |node| match node.text() {
        Some("off") => Ok(None),
        _ => whole(node).map(Some),
    }
}

/// Adds the advice to write a quoted number without its quotes.
fn unquote(fault: Fault, node: &Node) -> Fault {
    match node.text().filter(|text| text.parse::<i128>().is_ok()) {
        Some(text) => fault.help(format!("{text}, without quotes")),
        None => fault,
    }
}

/// Reads any text.
pub(crate) fn text(node: &Node) -> Result<&str, Fault> {
    node.text().ok_or_else(|| Fault::wrong_type("text", node))
}

/// Reads text that must also pass `parse`.
pub(crate) fn parsed<T>(
    parse: impl Fn(&str) -> Result<T, Fault>,
) -> impl Fn(&Node) -> Result<T, Fault> {
    move |node| parse(text(node)?)
}

/// Reads one of a few words.
pub(crate) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Node) -> Result<T, Fault> {
    move |node| {
        let wants = || format!("must be {}", one_of(choices));
        let Some(text) = node.text() else {
            return Err(Fault::new(wants(), format!("this is {}", node.noun())));
        };
        let chosen = choices.iter().find(|(name, _)| *name == text);
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let fault = Fault::new(wants(), "unknown value");
            match nearest(text, choices.iter().map(|(name, _)| *name)) {
                Some(near) => fault.help(format!("did you mean \"{near}\"?")),
                None => fault,
            }
        })
    }
}

fn one_of<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    match names.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", names.join(", ")),
    }
}
