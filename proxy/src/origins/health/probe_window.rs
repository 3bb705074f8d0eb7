//! `ProbeWindow`: the results of the last probes of a server, judged as Varnish judges them.

use settings::HealthSettings;

#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeWindow {
    /// A bit for each probe, the newest lowest; 1 is a good one.
    results: u64,
    window: u32,
    threshold: u32,
}

impl ProbeWindow {
    pub(super) fn new(settings: &HealthSettings) -> Self {
        let results = u64::MAX.checked_shr(64 - settings.initial.min(64)).unwrap_or(0);
        Self { results, window: settings.window, threshold: settings.threshold }
    }

    /// Judges the same results by other rules.
    pub(super) const fn renewed(self, settings: &HealthSettings) -> Self {
        Self { window: settings.window, threshold: settings.threshold, ..self }
    }

    pub(super) const fn note(&mut self, is_good: bool) {
        self.results = self.results << 1 | is_good as u64;
    }

    pub(super) fn good(&self) -> u32 {
        let counted = u64::MAX.checked_shr(64 - self.window.min(64)).unwrap_or(0);
        (self.results & counted).count_ones()
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.good() >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(window: u32, threshold: u32, initial: u32) -> ProbeWindow {
        let settings = HealthSettings { window, threshold, initial, ..HealthSettings::default() };
        ProbeWindow::new(&settings)
    }

    /// `+` is a good probe, `-` a bad one; returns `H` or `s` after each.
    fn history(mut window: ProbeWindow, probes: &str) -> String {
        let start = if window.is_healthy() { 'H' } else { 's' };
        let judged = probes.chars().map(|probe| {
            window.note(probe == '+');
            if window.is_healthy() { 'H' } else { 's' }
        });
        std::iter::once(start).chain(judged).collect()
    }

    #[test]
    fn so_many_of_the_last_probes_have_to_be_good() {
        for ((size, threshold, initial), probes, states) in [
            ((8, 3, 3), "", "H"),
            ((8, 3, 3), "------", "HHHHHHs"),
            ((8, 3, 3), "++++++++------", "HHHHHHHHHHHHHHs"),
            ((8, 3, 3), "--------+++", "HHHHHHsssssH"),
            ((8, 3, 2), "+", "sH"),
            ((8, 3, 0), "+-+-+", "sssssH"),
            ((8, 3, 3), "+-+-+-+-", "HHHHHHHHH"),
            ((1, 1, 1), "-+-", "HsHs"),
            ((64, 64, 64), "-+", "Hss"),
            ((64, 1, 0), "+", "sH"),
        ] {
            let judged = history(window(size, threshold, initial), probes);
            assert_eq!(judged, states, "{threshold} of {size}, from {initial}: {probes}");
        }
    }

    #[test]
    fn results_stay_when_the_rules_change() {
        let mut judged = window(8, 3, 3);
        for _ in 0..6 {
            judged.note(false);
        }
        assert!(!judged.is_healthy());
        let lenient = HealthSettings { threshold: 2, ..HealthSettings::default() };
        assert!(judged.renewed(&lenient).is_healthy());
    }
}
