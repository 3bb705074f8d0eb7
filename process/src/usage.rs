//! `ProcessUsage`: what the kernel says of this process, under the names that Prometheus' clients
//! use.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// The resources that a process has used, and may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    /// User and system time, in seconds.
    pub cpu: f64,
    /// Seconds since 1970, by the wall clock as it is set.
    pub started: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub open_descriptors: u64,
    pub max_descriptors: u64,
}

/// One of these figures as a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessMetric {
    /// Without `_total`, which a counter's samples end in.
    pub name: &'static str,
    pub help: &'static str,
    pub value: ProcessMetricValue,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProcessMetricValue {
    CounterOf(f64),
    GaugeOf(f64),
    Gauge(u64),
}

impl ProcessUsage {
    /// Asks the kernel. What it does not say is zero.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        let times = times(&stat).unwrap_or_default();
        Self {
            cpu: seconds(times.cpu),
            started: seconds(number(&system, "btime") * TICKS + times.started),
            resident_bytes: kilobytes(&status, "VmRSS:"),
            virtual_bytes: kilobytes(&status, "VmSize:"),
            threads: number(&status, "Threads:"),
            open_descriptors: fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
            max_descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }

    pub fn metrics(&self) -> [ProcessMetric; 7] {
        use ProcessMetricValue::{CounterOf, Gauge, GaugeOf};
        let metric = |name, help, value| ProcessMetric { name, help, value };
        [
            metric(
                "process_cpu_seconds",
                "Total user and system CPU time spent in seconds",
                CounterOf(self.cpu),
            ),
            metric(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds",
                GaugeOf(self.started),
            ),
            metric(
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                Gauge(self.resident_bytes),
            ),
            metric(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes",
                Gauge(self.virtual_bytes),
            ),
            metric("process_threads", "Number of OS threads in the process", Gauge(self.threads)),
            metric(
                "process_open_fds",
                "Number of open file descriptors",
                Gauge(self.open_descriptors),
            ),
            metric(
                "process_max_fds",
                "Maximum number of open file descriptors",
                Gauge(self.max_descriptors),
            ),
        ]
    }
}

/// In hundredths of seconds, in which the kernel counts for programs whatever its own clock is
/// (`USER_HZ`).
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcessTimes {
    cpu: u64,
    /// Since the machine was started.
    started: u64,
}

/// Reads utime, stime and starttime of `proc_pid_stat(5)`. The name of the process may hold
/// anything.
fn times(stat: &str) -> Option<ProcessTimes> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let started = fields.nth(6)?.parse().ok()?;
    Some(ProcessTimes { cpu: user + system, started })
}

#[expect(clippy::cast_precision_loss, reason = "hundredths of seconds since 1970 fit 52 bits")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS as f64
}

fn kilobytes(status: &str, name: &str) -> u64 {
    number(status, name) * 1024
}

fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

const TICKS: u64 = 100;

#[cfg(test)]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    fn the_kernels_files_are_read_whatever_the_name_of_the_process() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 777 1";
        assert_eq!(times(stat), Some(ProcessTimes { cpu: 300, started: 777 }));
        assert_eq!(times(""), None);
        let status = "Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t7\n";
        assert_eq!((kilobytes(status, "VmRSS:"), number(status, "Threads:")), (2 << 20, 7));
    }

    #[test]
    fn this_process_has_begun_and_has_used_something() {
        let usage = ProcessUsage::read();
        let now = f64::from(u32::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap());
        // The kernel says in whole seconds when the machine was started.
        assert!((now - usage.started).abs() < 86_400.0, "{usage:?} at {now}");
        assert!(usage.resident_bytes > 0 && usage.virtual_bytes > usage.resident_bytes);
        assert!(usage.threads > 0 && usage.open_descriptors > 0, "{usage:?}");
        assert!(usage.max_descriptors >= usage.open_descriptors, "{usage:?}");
    }
}
