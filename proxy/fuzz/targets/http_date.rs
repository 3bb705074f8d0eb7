//! `HTTP-date`: what is formatted reads back, in any case; the century of two digits is near.

use std::time::Duration;

use process::timestamp::Timestamp;
use shellac::testing::field::http_date::{format, parse};

use super::head::NOW;

/// 2026-11-22.
const LATER: Timestamp = Timestamp::from_secs(1_795_305_600);

pub(crate) fn run(data: &[u8]) {
    for now in [Timestamp::default(), NOW, LATER, Timestamp::MAX] {
        let Some(moment) = parse(data, now) else { continue };
        let text = format(moment);
        assert_eq!(parse(text.as_bytes(), now), Some(moment), "{text:?} reads otherwise");
        assert_eq!(text.len(), 29);
        for same in [data.to_ascii_lowercase(), data.to_ascii_uppercase()] {
            assert_eq!(parse(&same, now), Some(moment), "case matters");
        }
        let has_short_year = data.contains(&b'-');
        let is_near = moment <= now.plus(Duration::from_hours(50 * 8766));
        assert!(!has_short_year || is_near || now == Timestamp::default());
    }
    if let Some(number) = data.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) {
        let moment = Timestamp::from_millis(number);
        let read = parse(format(moment).as_bytes(), NOW).expect("what is formatted is a date");
        assert_eq!(read.as_secs(), moment.as_secs().min(253_402_300_799));
    }
}
