//! Shares: `"50%"`.

use std::ops::RangeInclusive;

use super::Fault;
use crate::tree::{Node, Value};

/// Reads a whole number of hundredths in a range.
pub(crate) fn percent(range: RangeInclusive<u32>) -> impl Fn(&Node) -> Result<u32, Fault> {
    move |node| {
        let wants = || format!("must be a share from {}% to {}%", range.start(), range.end());
        let text = match &node.value {
            Value::Text(text) | Value::Bare(text) => text,
            Value::Number(number) => {
                let fault = Fault::new(wants(), "a number without a unit");
                let fraction = number.parse::<f64>().ok().filter(|_| number.contains('.'));
                let meant =
                    fraction.map_or_else(|| number.clone(), |part| (part * 100.0).to_string());
                return Err(fault.help(format!("did you mean \"{meant}%\"?")));
            }
            _ => return Err(Fault::new(wants(), format!("this is {}", node.noun()))),
        };
        let number = text.strip_suffix('%').map(str::trim_end);
        let number = number.and_then(|number| number.parse::<u32>().ok());
        let Some(number) = number else {
            return Err(Fault::new(wants(), "not a share").help("for example \"50%\""));
        };
        if range.contains(&number) { Ok(number) } else { Err(Fault::new(wants(), "out of range")) }
    }
}

/// Reads a share in a range, or `off`.
pub(crate) fn percent_or_off(
    range: RangeInclusive<u32>,
) -> impl Fn(&Node) -> Result<Option<u32>, Fault> {
    let percent = percent(range);
    move |node| match node.text() {
        Some("off") => Ok(None),
        _ => percent(node).map(Some),
    }
}
