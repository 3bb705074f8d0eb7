//! Sizes: a number with a unit, `"64KiB"`, `"10GB"`.

use std::ops::RangeInclusive;

use bytesize::ByteSize;

use super::Fault;
use crate::tree::{Node, Value};

/// Reads a number of bytes in a range.
pub(crate) fn size<T>(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Result<T, Fault>
where
    T: TryFrom<u64>,
{
    move |node| {
        let bytes = match &node.value {
            Value::Text(text) | Value::Bare(text) => size_of(text)?,
            Value::Number(number) => return Err(bare_number(number)),
            _ => return Err(Fault::wrong_type(WANTS, node)),
        };
        let bytes = Some(bytes).filter(|bytes| range.contains(bytes));
        bytes.and_then(|bytes| T::try_from(bytes).ok()).ok_or_else(|| out_of(&range))
    }
}

/// Reads a number of bytes in a range, or `"off"`.
pub(crate) fn size_or_off(
    range: RangeInclusive<u64>,
) -> impl Fn(&Node) -> Result<Option<u64>, Fault> {
    let read = size(range);
    move |node| match &node.value {
        Value::Text(text) | Value::Bare(text) if text == "off" => Ok(None),
        _ => read(node).map(Some).map_err(Fault::or_off),
    }
}

/// Returns the number of bytes. `bytesize` accepts `4Gb` as well, which is ambiguous and refused
/// here.
pub(crate) fn size_of(text: &str) -> Result<u64, Fault> {
    if text.parse::<f64>().is_ok() {
        return Err(bare_number(text));
    }
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let number = text.strip_suffix(unit).unwrap_or_default();
    if !UNITS.contains(&unit.trim()) {
        return Err(unknown_unit(text, number, unit.trim()));
    }
    let size: ByteSize = text.parse().map_err(|error: String| wanted(text, &error))?;
    Ok(size.as_u64())
}

fn bare_number(number: &str) -> Fault {
    wanted(number, "a number without a unit").help(format!("did you mean \"{number}MiB\"?"))
}

/// Names both readings of a prefix: of 1000 and of 1024.
fn unknown_unit(text: &str, number: &str, unit: &str) -> Fault {
    let fault = wanted(text, "unknown unit");
    let prefix = unit.chars().next().map(|char| char.to_ascii_uppercase());
    let prefix = prefix.filter(|prefix| "KMGT".contains(*prefix) && unit.len() <= 3);
    match prefix {
        Some(prefix) if number.parse::<f64>().is_ok() => fault.help(format!(
            "{} or {}",
            reading(number, prefix, "B"),
            reading(number, prefix, "iB")
        )),
        _ => fault.help(format!("units are {}", UNITS.join(", "))),
    }
}

fn reading(number: &str, prefix: char, suffix: &str) -> String {
    let text = format!("{number}{prefix}{suffix}");
    match text.parse::<ByteSize>() {
        Ok(size) => format!("{text} ({} bytes)", size.as_u64()),
        Err(_) => text,
    }
}

fn wanted(text: &str, label: &str) -> Fault {
    Fault::new(format!("must be {WANTS}, and `{text}` is none"), label)
}

fn out_of(range: &RangeInclusive<u64>) -> Fault {
    let wants = match *range.end() {
        u64::MAX => format!("must be at least {}", spell(*range.start())),
        end => format!("must be a size from {} to {}", spell(*range.start()), spell(end)),
    };
    Fault::new(wants, "out of range")
}

/// Writes a round size as it is written in the file.
fn spell(bytes: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    match unit {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

const WANTS: &str = "a size";

const UNITS: [&str; 10] = ["B", "kB", "KB", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB"];

#[cfg(test)]
mod tests {
    use super::size_of;

    #[test]
    fn a_size_is_a_number_with_a_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("100B", 100),
            ("64KiB", 65_536),
            ("64kB", 64_000),
            ("1.5 MiB", 1_572_864),
            ("10GB", 10_000_000_000),
        ] {
            assert_eq!(size_of(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in
            ["", "10", "4Gb", "4g", "-1MiB", "MiB", "1.2.3MB", "1e3MB", "60%", "inf", "NaN B"]
        {
            assert!(size_of(text).is_err(), "{text}");
        }
    }
}
