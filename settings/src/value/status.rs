//! Status codes: one, `"204"`, or a range of them, `"200-299"`.

use std::ops::RangeInclusive;

use super::Fault;

/// Status codes from the first to the last, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRange(RangeInclusive<u16>);

impl StatusRange {
    /// Returns the range of these codes.
    pub const fn new(codes: RangeInclusive<u16>) -> Self {
        Self(codes)
    }

    /// Returns the codes.
    pub const fn codes(&self) -> RangeInclusive<u16> {
        *self.0.start()..=*self.0.end()
    }

    /// Returns whether the code is in the range.
    pub fn contains(&self, code: u16) -> bool {
        self.0.contains(&code)
    }
}

/// Reads a code or a range.
pub(crate) fn status_range(text: &str) -> Result<StatusRange, Fault> {
    let fault = |label: &str| {
        let wants = format!("must be a status code or a range of them, and `{text}` is none");
        Fault::new(wants, label)
    };
    let class = text.strip_suffix("xx").filter(|class| class.len() == 1);
    if let Some(class) = class {
        return Err(fault("a class").help(format!("did you mean \"{class}00-{class}99\"?")));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse().ok().filter(|code| CODES.contains(code));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(StatusRange(first..=last)),
        (Some(_), Some(_)) => Err(fault("it begins after its end")),
        _ => Err(fault("not from 100 to 599").help("\"200\" or \"200-299\"")),
    }
}

const CODES: RangeInclusive<u16> = 100..=599;

#[cfg(test)]
mod tests {
    use super::status_range;

    #[test]
    fn a_range_is_a_code_or_two() {
        for (text, inside, outside) in
            [("200-299", 204, 300), ("204", 204, 205), ("500 - 599", 599, 499)]
        {
            let range = status_range(text).unwrap();
            assert!(range.contains(inside) && !range.contains(outside), "{text}");
        }
        for text in ["", "2xx", "20", "299-200", "200-", "200-299-300", "600", "-1", "ok"] {
            assert!(status_range(text).is_err(), "{text}");
        }
    }
}
