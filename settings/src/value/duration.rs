//! Durations: numbers with a unit, one or several: `"250ms"`, `"1.5h"`, `"1h 30m"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Fault;
use crate::tree::{Node, Value};

/// The range of time-outs.
pub(crate) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;
/// The range of waits, which may be zero.
pub(crate) const PAUSE: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// The range of lifetimes.
pub(crate) const LIFETIME: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_hours(24 * 3650);

const DAY: Duration = Duration::from_hours(24);

/// Reads a duration in a range.
pub(crate) fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&Node) -> Result<Duration, Fault> {
    move |node| {
        let duration = match &node.value {
            Value::Text(text) | Value::Bare(text) => parse(text)?,
            Value::Number(number) => return Err(bare_number(number)),
            _ => return Err(Fault::wrong_type(WANTS, node)),
        };
        if range.contains(&duration) { Ok(duration) } else { Err(out_of(&range)) }
    }
}

/// Reads a duration in a range, or `off`.
pub(crate) fn duration_or_off(
    range: RangeInclusive<Duration>,
) -> impl Fn(&Node) -> Result<Option<Duration>, Fault> {
    let duration = duration(range);
    move |node| match &node.value {
        Value::Text(text) | Value::Bare(text) if text == "off" => Ok(None),
        _ => duration(node).map(Some),
    }
}

/// Returns the duration that a text means, if it is one.
pub(crate) fn duration_of(text: &str) -> Option<Duration> {
    parse(text).ok()
}

/// Checks the units and leaves the numbers to `humantime`, which knows more units: its `M` is a
/// month.
fn parse(text: &str) -> Result<Duration, Fault> {
    let mut units = text.split(|char: char| !char.is_alphabetic()).filter(|unit| !unit.is_empty());
    if let Some(unit) = units.find(|unit| !UNITS.contains(unit)) {
        return Err(unknown_unit(text, unit));
    }
    if text.parse::<f64>().is_ok() {
        return Err(bare_number(text));
    }
    humantime::parse_duration(text).map_err(|error| wanted(text, &error.to_string()))
}

fn bare_number(number: &str) -> Fault {
    wanted(number, "a number without a unit").help(format!("did you mean \"{number}s\"?"))
}

fn unknown_unit(text: &str, unit: &str) -> Fault {
    let fault = wanted(text, &format!("`{unit}` is no unit"));
    let meant = SPELLINGS.iter().find(|(spelling, _)| *spelling == unit);
    match meant {
        Some((_, right)) => fault.help(format!("did you mean \"{}\"?", text.replace(unit, right))),
        None => fault.help("units are ms, s, m, h and d"),
    }
}

fn wanted(text: &str, label: &str) -> Fault {
    Fault::new(format!("must be {WANTS}, and `{text}` is none"), label)
}

fn out_of(range: &RangeInclusive<Duration>) -> Fault {
    let (start, end) = (spell(*range.start()), spell(*range.end()));
    Fault::new(format!("must be {WANTS} from {start} to {end}"), "out of range")
}

/// Writes a duration in the largest unit that divides it.
fn spell(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

const WANTS: &str = "a duration";

const UNITS: [&str; 5] = ["ms", "s", "m", "h", "d"];

/// Other ways to write a unit, and ours.
const SPELLINGS: [(&str, &str); 15] = [
    ("msec", "ms"),
    ("MS", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("S", "s"),
    ("M", "m"),
    ("min", "m"),
    ("mins", "m"),
    ("minutes", "m"),
    ("H", "h"),
    ("hours", "h"),
    ("D", "d"),
    ("days", "d"),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse, spell};

    #[test]
    fn a_duration_is_numbers_with_units() {
        for (text, seconds) in [
            ("0s", 0.0),
            ("250ms", 0.25),
            ("10s", 10.0),
            ("1.5h", 5400.0),
            ("1h30m", 5400.0),
            ("1h 30m", 5400.0),
            ("7d", 604_800.0),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs_f64(seconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "10",
            "0",
            "s",
            "-1s",
            "1w",
            "5M",
            "1e3s",
            "ten",
            "99999999999999999999d",
            "10 s x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spelled_durations_are_read_again() {
        for millis in [1, 999, 1000, 60_000, 90_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&spell(duration)).unwrap(), duration);
        }
    }
}
