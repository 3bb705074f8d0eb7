//! How large pages are: all alike, or lognormal as on the web.

use std::str::FromStr;

use anyhow::{Context as _, ensure};
use bytesize::ByteSize;

use crate::random::Random;

/// The distribution of body sizes; a page's size depends on nothing but its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BodySize {
    /// Every page has this many bytes.
    Fixed(usize),
    /// Half of the pages are smaller than `median`; `sigma` is the deviation of the logarithm.
    Lognormal { median: f64, sigma: f64 },
}

impl BodySize {
    /// Returns the size of page `number`, at most [`PAGE_MAX`].
    pub(crate) fn of(self, number: u64) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Lognormal { median, sigma } => {
                let bytes = median * (sigma * Random::nth(1, number).normal()).exp();
                whole(bytes.min(PAGE_MAX))
            }
        }
    }
}

const PAGE_MAX: f64 = 64.0 * 1024.0 * 1024.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and PAGE_MAX"
)]
fn whole(bytes: f64) -> usize {
    bytes as usize
}

impl FromStr for BodySize {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some(parameters) = text.strip_prefix("lognormal:") else {
            return Ok(Self::Fixed(usize::try_from(bytes(text)?)?));
        };
        let (median, sigma) = parameters.split_once(':').unwrap_or((parameters, "1.0"));
        let sigma: f64 =
            sigma.parse().with_context(|| format!("sigma {sigma:?} is not a number"))?;
        ensure!((0.0..=3.0).contains(&sigma), "sigma {sigma} is not between 0 and 3");
        let median = u32::try_from(bytes(median)?).context("the median exceeds 4 GiB")?;
        Ok(Self::Lognormal { median: f64::from(median), sigma })
    }
}

fn bytes(text: &str) -> anyhow::Result<u64> {
    let size: ByteSize =
        text.parse().map_err(anyhow::Error::msg).with_context(|| format!("bad size {text:?}"))?;
    Ok(size.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_written() {
        let table = [
            ("1KiB", BodySize::Fixed(1024)),
            ("100kB", BodySize::Fixed(100_000)),
            ("lognormal:16KiB", BodySize::Lognormal { median: 16_384.0, sigma: 1.0 }),
            ("lognormal:1KiB:0.5", BodySize::Lognormal { median: 1024.0, sigma: 0.5 }),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<BodySize>().expect(text), expected, "{text}");
        }
        for text in ["", "x", "lognormal:", "lognormal:1KiB:9", "lognormal:1KiB:x"] {
            assert!(text.parse::<BodySize>().is_err(), "{text}");
        }
    }

    #[test]
    fn half_of_the_lognormal_pages_are_below_the_median() {
        let size = BodySize::Lognormal { median: 16_384.0, sigma: 1.0 };

        let below = (0..10_000).filter(|number| size.of(*number) < 16_384).count();

        assert!((4_800..5_200).contains(&below), "{below}");
        assert_eq!(size.of(7), size.of(7));
    }
}
