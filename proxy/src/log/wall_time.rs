//! Times of lines: UTC, of which a thread writes the second once.

use std::cell::RefCell;

use super::escaped::push_number;

/// Adds a time as `2026-11-29T12:00:00.123Z`.
pub(super) fn push_rfc3339(line: &mut Vec<u8>, millis: u64) {
    push_cached(line, millis / 1000, &RFC3339, |line, it| {
        push_digits(line, it.year, 4);
        for (mark, value) in [(b'-', it.month), (b'-', it.day), (b'T', it.hour)] {
            line.push(mark);
            push_digits(line, value, 2);
        }
        for value in [it.minute, it.second] {
            line.push(b':');
            push_digits(line, value, 2);
        }
    });
    line.push(b'.');
    push_digits(line, millis % 1000, 3);
    line.push(b'Z');
}

/// Adds a time as `[29/Nov/2026:12:00:00 +0000]`.
pub(super) fn push_common(line: &mut Vec<u8>, millis: u64) {
    push_cached(line, millis / 1000, &COMMON, |line, it| {
        line.push(b'[');
        push_digits(line, it.day, 2);
        line.push(b'/');
        let month = usize::try_from(it.month).unwrap_or_default();
        let name = MONTHS.get(month.saturating_sub(1)).copied().unwrap_or_default();
        line.extend_from_slice(name.as_bytes());
        line.push(b'/');
        push_digits(line, it.year, 4);
        for value in [it.hour, it.minute, it.second] {
            line.push(b':');
            push_digits(line, value, 2);
        }
        line.extend_from_slice(b" +0000]");
    });
}

type Written = RefCell<(u64, Vec<u8>)>;

thread_local! {
    static RFC3339: Written = const { RefCell::new((u64::MAX, Vec::new())) };
    static COMMON: Written = const { RefCell::new((u64::MAX, Vec::new())) };
}

fn push_cached(
    line: &mut Vec<u8>,
    second: u64,
    written: &'static std::thread::LocalKey<Written>,
    write: impl FnOnce(&mut Vec<u8>, Civil),
) {
    written.with_borrow_mut(|(last, text)| {
        if *last != second {
            *last = second;
            text.clear();
            write(text, Civil::of(second));
        }
        line.extend_from_slice(text);
    });
}

/// A time in the proleptic Gregorian calendar.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    fn of(second: u64) -> Self {
        let (days, second) = (second / 86_400, second % 86_400);
        // Years begin in March, so that a leap day is the last one of its year.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        Self { year, month, day, hour, minute, second }
    }
}

fn push_digits(line: &mut Vec<u8>, number: u64, digits: u32) {
    let missing = (1..digits).rev().take_while(|places| number < 10_u64.pow(*places)).count();
    line.extend(std::iter::repeat_n(b'0', missing));
    push_number(line, number);
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn both(millis: u64) -> [String; 2] {
        let mut lines = [Vec::new(), Vec::new()];
        push_rfc3339(&mut lines[0], millis);
        push_common(&mut lines[1], millis);
        lines.map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (second, date, common) in [
            (0, "1970-01-01T00:00:00", "01/Jan/1970:00:00:00"),
            (951_827_696, "2000-02-29T12:34:56", "29/Feb/2000:12:34:56"),
            (1_709_251_199, "2024-02-29T23:59:59", "29/Feb/2024:23:59:59"),
            (1_709_251_200, "2024-03-01T00:00:00", "01/Mar/2024:00:00:00"),
            (4_107_542_399, "2100-02-28T23:59:59", "28/Feb/2100:23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00", "01/Mar/2100:00:00:00"),
        ] {
            let expected = [format!("{date}.007Z"), format!("[{common} +0000]")];
            assert_eq!(both(second * 1000 + 7), expected);
            let parsed = humantime::parse_rfc3339(&expected[0]).unwrap();
            let since = parsed.duration_since(std::time::UNIX_EPOCH).unwrap();
            assert_eq!(since.as_secs(), second);
        }
    }
}
