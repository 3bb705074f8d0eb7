//! Figures for people: short, and never wider than nine columns.

/// Returns a number with separators; one digit behind the point where it is small.
pub(super) fn rate(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 9.95 {
        return format!("{value:.1}");
    }
    if value >= 1e9 {
        return format!("{:.1} G", value / 1e9);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e9")]
    count(value.max(0.0).round() as u64)
}

pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn size(bytes: u64) -> String {
    size_of_rate(bytes as f64)
}

pub(super) fn size_of_rate(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes;
    for unit in units {
        if value < 999.5 {
            let digits = usize::from(unit != "B" && value < 99.95);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0} EB")
}

/// Returns a time with its unit; `-` where there is none.
pub(super) fn seconds(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let (value, unit) = match value {
        value if value < 0.001 => (value * 1e6, "µs"),
        value if value < 1.0 => (value * 1e3, "ms"),
        value => (value, "s"),
    };
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {unit}")
}

/// Returns a share in percent; `-` where there is none.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", value * 100.0))
}

/// Returns the two largest units of a time.
pub(super) fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_units() {
        assert_eq!([rate(0.0), rate(0.12), rate(1940.4)], ["0", "0.1", "1,940"]);
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!([size(0), size(12_345), size(999_500)], ["0 B", "12.3 kB", "1.0 MB"]);
        let times = [Some(0.000_08), Some(0.083), Some(2.5), None].map(seconds);
        assert_eq!(times, ["80 µs", "83 ms", "2.5 s", "-"]);
        assert_eq!([percent(Some(0.931)), percent(None)], ["93.1 %", "-"]);
        assert_eq!([span(7.9), span(3700.0), span(200_000.0)], ["7s", "1h 1m", "2d 7h"]);
    }
}
