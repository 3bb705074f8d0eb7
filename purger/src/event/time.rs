//! RFC 3339 times with offsets, parsed and formatted. An invalid text counts as no time: a bad date
//! never costs a purge.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the moment that the text names: `2026-11-22T13:37:00.123Z`, `2026-11-22 14:37:00+01:00`.
pub fn parse(text: &str) -> Option<SystemTime> {
    let bytes = text.trim().as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let (&separator, rest) = rest.split_first()?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let [h1, h2, b':', n1, n2, b':', s1, s2] = *clock else { return None };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    let is_sound = matches!(separator, b'T' | b't' | b' ')
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_sound {
        return None;
    }
    let (nanos, rest) = fraction(rest)?;
    let seconds =
        days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(rest)?;
    within(at(seconds, nanos)?)
}

/// Returns the time as RFC 3339 in UTC, with as many digits as it needs; `None` outside the years 0
/// to 9999.
pub fn format(time: SystemTime) -> Option<String> {
    let (seconds, nanos) = since_epoch(time)?;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    if !(0..=9999).contains(&year) {
        return None;
    }
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let whole = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    Some(match nanos {
        0 => format!("{whole}Z"),
        _ if nanos % 1_000_000 == 0 => format!("{whole}.{:03}Z", nanos / 1_000_000),
        _ => format!("{whole}.{nanos:09}Z"),
    })
}

/// Returns the moment `millis` milliseconds after 1970, if its year has four digits.
pub(super) fn of_millis(millis: i64) -> Option<SystemTime> {
    let nanos = u32::try_from(millis.rem_euclid(1000)).ok()? * 1_000_000;
    within(at(millis.div_euclid(1000), nanos)?)
}

/// Returns the time if its year has four digits, so that it can be written and read again.
/// Returns the milliseconds since 1970; `None` before.
pub(super) fn millis(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

pub(super) fn within(time: SystemTime) -> Option<SystemTime> {
    let (seconds, _) = since_epoch(time)?;
    (SECONDS_MIN..=SECONDS_MAX).contains(&seconds).then_some(time)
}

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const SECONDS_MIN: i64 = -62_167_219_200;
const SECONDS_MAX: i64 = 253_402_300_799;

fn at(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time?.checked_add(Duration::from_nanos(nanos.into()))
}

/// Seconds, rounded down, and the nanoseconds that remain.
fn since_epoch(time: SystemTime) -> Option<(i64, u32)> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Some((i64::try_from(after.as_secs()).ok()?, after.subsec_nanos())),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).ok()?.checked_neg()?;
            match before.subsec_nanos() {
                0 => Some((seconds, 0)),
                nanos => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Reads `.123`, if it is there; digits after the ninth say nothing.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) =
        digits.split_at_checked(length).filter(|(digits, _)| !digits.is_empty())?;
    let nanos = (0..9).fold(0, |nanos, index| {
        nanos * 10 + digits.get(index).map_or(0, |digit| u32::from(digit - b'0'))
    });
    Some((nanos, rest))
}

/// Reads `Z` or `+01:00`: seconds that the clock is ahead of UTC.
fn offset(rest: &[u8]) -> Option<i64> {
    match *rest {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
            let ahead = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

const fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that
/// a leap day is a year's last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * shifted + 2) / 5 + day - 1 - 719_468
}

/// The date of a day since 1970-01-01: the other way round.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        parse(text).and_then(format)
    }

    #[test]
    fn offsets_fractions_and_leap_seconds_are_read() {
        for (text, wanted) in [
            ("2026-11-22T13:37:00Z", "2026-11-22T13:37:00Z"),
            ("2026-11-22t13:37:00.123z", "2026-11-22T13:37:00.123Z"),
            ("2026-11-22 14:37:00.5+01:00", "2026-11-22T13:37:00.500Z"),
            ("2026-01-01T00:00:00.0000012345-00:30", "2026-01-01T00:30:00.000001234Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.250Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(wanted), "{text}");
        }
        let known = parse("2001-09-09T01:46:40Z").unwrap();
        assert_eq!(known, UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    }

    #[test]
    fn an_invalid_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22T13:37:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "+026-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "2026-01-01T00:00:00ZZ",
            "１026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(of_millis(i64::MAX), None);
        assert_eq!(of_millis(i64::MIN), None);
        assert_eq!(of_millis(-1).and_then(format).as_deref(), Some("1969-12-31T23:59:59.999Z"));
    }

    proptest::proptest! {
        #[test]
        fn an_event_that_is_written_is_read_back(seconds in SECONDS_MIN..=SECONDS_MAX, nanos in 0_u32..1_000_000_000) {
            let time = at(seconds, nanos).unwrap();
            proptest::prop_assert_eq!(parse(&format(time).unwrap()), Some(time));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]*)?(Z|[+-][0-9]{2}:[0-9]{2})") {
            if let Some(time) = parse(&text) {
                proptest::prop_assert!(format(time).is_some());
            }
        }
    }
}
