//! Numbers of JSON for people: what there is no value for is a dash.

use serde_json::Value;

pub(crate) const NONE: &str = "–";

/// A rate or a size with as many digits as tell something.
pub(crate) fn number(value: &Value) -> String {
    match value.as_f64().filter(|value| value.is_finite()) {
        None => NONE.to_owned(),
        Some(value) if value == 0.0 || value.abs() >= 100.0 || value.fract() == 0.0 => {
            grouped(value)
        }
        Some(value) if value.abs() >= 1.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// A share as a percentage.
pub(crate) fn percent(value: &Value) -> String {
    match value.as_f64().filter(|value| value.is_finite()) {
        None => NONE.to_owned(),
        Some(value) if value > 0.999 && value < 1.0 => {
            format!("{:.2} %", (value * 10_000.0).floor() / 100.0)
        }
        Some(value) => format!("{:.1} %", value * 100.0),
    }
}

/// Seconds in the unit that suits.
pub(crate) fn seconds(value: &Value) -> String {
    match value.as_f64().filter(|value| value.is_finite()) {
        None => NONE.to_owned(),
        Some(value) if value < 0.001 => format!("{:.0} µs", value * 1e6),
        Some(value) if value < 1.0 => format!("{:.1} ms", value * 1e3),
        Some(value) if value < 120.0 => format!("{value:.1} s"),
        Some(value) if value < 7200.0 => format!("{:.0} min", value / 60.0),
        Some(value) if value < 172_800.0 => format!("{:.0} h", value / 3600.0),
        Some(value) => format!("{:.0} d", value / 86400.0),
    }
}

pub(crate) fn bytes(value: &Value) -> String {
    let Some(mut value) = value.as_f64().filter(|value| value.is_finite()) else {
        return NONE.to_owned();
    };
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1000.0 {
        let Some(next) = units.next() else { break };
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => NONE.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A whole number with a comma for each thousand.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_knows_is_a_dash() {
        for value in [json!(null), json!("x"), json!({})] {
            for form in [number, percent, seconds, bytes] {
                assert_eq!(form(&value), NONE);
            }
        }
    }

    #[test]
    fn numbers_have_as_many_digits_as_tell_something() {
        let numbers =
            [(0.0, "0"), (0.043, "0.04"), (3.21, "3.2"), (1940.4, "1,940"), (1e6, "1,000,000")];
        for (value, said) in numbers {
            assert_eq!(number(&json!(value)), said);
        }
        let shares = [(0.0, "0.0 %"), (0.9312, "93.1 %"), (0.99999, "99.99 %"), (1.0, "100.0 %")];
        for (value, said) in shares {
            assert_eq!(percent(&json!(value)), said);
        }
        let times = [(0.00041, "410 µs"), (0.083, "83.0 ms"), (12.0, "12.0 s"), (3600.0, "60 min")];
        for (value, said) in times {
            assert_eq!(seconds(&json!(value)), said);
        }
        for (value, said) in [(412.0, "412 B"), (34e6, "34.0 MB"), (7.1e18, "7100000 TB")] {
            assert_eq!(bytes(&json!(value)), said);
        }
    }
}
