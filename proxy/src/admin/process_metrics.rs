//! `process_*`: what the kernel says of this process, under the names that Prometheus' clients use.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::app::App;
use crate::metrics::family::{Family, Sample};

pub(super) fn families(app: &App) -> Vec<Family> {
    let started = app.clock().wall().minus(app.uptime());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    vec![
        Family::single(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds",
            Sample::counter_of([], cpu_seconds()),
        ),
        Family::single(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            Sample::gauge_of(
                [],
                std::time::Duration::from_millis(started.as_millis()).as_secs_f64(),
            ),
        ),
        Family::gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            kilobytes(&status, "VmRSS:"),
        ),
        Family::gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes",
            kilobytes(&status, "VmSize:"),
        ),
        Family::gauge(
            "process_threads",
            "Number of OS threads in the process",
            number(&status, "Threads:"),
        ),
        Family::gauge(
            "process_open_fds",
            "Number of open file descriptors",
            fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
        ),
        Family::gauge(
            "process_max_fds",
            "Maximum number of open file descriptors",
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        ),
    ]
}

/// The kernel counts in hundredths for programs, whatever its own clock is (`USER_HZ`).
#[expect(clippy::cast_precision_loss, reason = "hundredths of seconds of CPU time are few")]
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    cpu_ticks(&stat).unwrap_or_default() as f64 / 100.0
}

/// Returns utime and stime of `proc_pid_stat(5)`. The name of the process may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(status: &str, name: &str) -> u64 {
    number(status, name) * 1024
}

fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_whatever_the_name_of_the_process() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks(""), None);
        let status = "Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t7\n";
        assert_eq!((kilobytes(status, "VmRSS:"), number(status, "Threads:")), (2 << 20, 7));
    }
}
