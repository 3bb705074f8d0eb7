//! `FailedUrls`: the URLs that failed lately, so that each counts once.

use std::time::Duration;

use tokio::time::Instant;

/// URLs by a hash, with the time of the failure that counted.
#[derive(Clone, Debug, Default)]
pub(super) struct FailedUrls(Vec<(u64, Instant)>);

impl FailedUrls {
    /// Returns whether this URL has not failed within the window, and notes that it has now.
    pub(super) fn is_new(&mut self, url: u64, window: Duration, now: Instant) -> bool {
        self.0.retain(|(_, at)| now.duration_since(*at) < window);
        let is_new = !self.0.iter().any(|(known, _)| *known == url);
        if is_new && self.0.len() < URLS_MAX {
            self.0.push((url, now));
        }
        is_new
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

/// Beyond this number, it is not a few URLs that fail.
const URLS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_new_again_after_the_window_and_the_list_is_bounded() {
        let (start, window) = (Instant::now(), Duration::from_secs(10));
        let mut urls = FailedUrls::default();
        assert!(urls.is_new(1, window, start) && !urls.is_new(1, window, start));
        assert!(urls.is_new(2, window, start + Duration::from_secs(9)));
        assert!(urls.is_new(1, window, start + Duration::from_secs(10)));
        assert!((3..1_000).all(|url| urls.is_new(url, window, start)));
        assert_eq!(urls.0.len(), URLS_MAX);
        urls.clear();
        assert!(urls.is_new(1, window, start));
    }
}
