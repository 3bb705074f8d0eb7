//! One line on a terminal that says how the run goes; nothing when standard error is not a
//! terminal.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::report::percentage;
use crate::tally::Tally;

/// Shows `tally` twice a second until it is dropped.
pub(crate) async fn show(tally: &Mutex<Tally>, duration: Duration) -> Infallible {
    if !io::stderr().is_terminal() {
        return pending().await;
    }
    let start = Instant::now();
    loop {
        sleep(REDRAW_EVERY).await;
        let line = line(&tally.lock(), start.elapsed(), duration);
        // A terminal that went away is no reason to stop the run.
        write!(io::stderr(), "\r\x1b[K{line}").unwrap_or_default();
    }
}

pub(crate) fn clear() {
    if io::stderr().is_terminal() {
        write!(io::stderr(), "\r\x1b[K").unwrap_or_default();
    }
}

const REDRAW_EVERY: Duration = Duration::from_millis(500);

fn line(tally: &Tally, elapsed: Duration, duration: Duration) -> String {
    format!(
        "{}/{} s  {} answered  hits {:.1} %  p99 hit {} µs, miss {} µs  {} failed",
        elapsed.as_secs(),
        duration.as_secs(),
        tally.answered(),
        percentage(tally.hit_count(), tally.answered()),
        tally.hits.summary().p99_us,
        tally.misses.summary().p99_us,
        tally.failed(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_a_narrow_terminal() {
        let line = line(&Tally::new(), Duration::from_secs(3), Duration::from_secs(20));

        assert_eq!(line, "3/20 s  0 answered  hits 0.0 %  p99 hit 0 µs, miss 0 µs  0 failed");
    }
}
