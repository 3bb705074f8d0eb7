//! The metrics of the file store, where there is one.

use std::time::Duration;

use crate::app::App;
use crate::metrics::family::{Family, Sample};
use crate::store::file::{FileUsage, Service};

/// Returns the families of the file store; none without one.
pub(super) fn families(app: &App) -> Vec<Family> {
    app.file_usage().map_or_else(Vec::new, |usage| of(&usage))
}

fn of(usage: &FileUsage) -> Vec<Family> {
    let mut all = contents(usage);
    all.extend(reads(usage));
    all.extend(turns(usage));
    all
}

fn contents(usage: &FileUsage) -> Vec<Family> {
    let [free, open, complete, draining] = usage.segments;
    let states = [("free", free), ("open", open), ("complete", complete), ("draining", draining)];
    let bytes =
        [("live", usage.live_bytes), ("dead", usage.dead_bytes), ("free", usage.free_bytes)];
    let [recovery_millis, recovered] = usage.recovery;
    let labelled = |name, help, samples: &[(&'static str, u64)]| {
        let samples = samples.iter().map(|(state, value)| Sample::gauge("state", state, *value));
        Family::labelled(name, help, samples)
    };
    let gauge = |name, help, value: u64| Family::gauge(name, help, value);
    vec![
        gauge("shellac_storage_objects", "Responses in the file", usage.objects),
        labelled("shellac_storage_bytes", "Bytes of the file", &bytes),
        labelled("shellac_storage_segments", "Segments of the file", &states),
        gauge(
            "shellac_storage_index_bytes",
            "Memory that the index of the file takes",
            usage.index_bytes,
        ),
        gauge(
            "shellac_storage_filter_bytes",
            "Memory that says which tags the segments of the file may hold",
            usage.filter_bytes,
        ),
        Family::single(
            "shellac_storage_recovery_seconds",
            "Time that reading the segments took at the start",
            Sample::gauge_of([], Duration::from_millis(recovery_millis).as_secs_f64()),
        ),
        gauge(
            "shellac_storage_recovered_objects",
            "Responses that were found at the start",
            recovered,
        ),
        gauge(
            "shellac_storage_loading",
            "1 while the segments are being read after the start",
            u64::from(usage.is_loading),
        ),
        gauge(
            "shellac_storage_shared",
            "1 while the process that handed the store over still reads it: nothing is written",
            u64::from(usage.is_shared),
        ),
        gauge(
            "shellac_storage_offline",
            "1 after the device has failed: nothing is written",
            u64::from(usage.service != Service::Full),
        ),
        gauge(
            "shellac_storage_distrusted",
            "1 after a read has failed or store.dat was cut short: nothing is read or written until a restart",
            u64::from(usage.service == Service::Out),
        ),
    ]
}

fn reads(usage: &FileUsage) -> Vec<Family> {
    let [recalls, at_once] = usage.loads;
    let waited = recalls.saturating_sub(at_once);
    vec![
        labelled(
            "shellac_storage_written_bytes",
            "Bytes written: new responses, and what is moved to stay",
            "time",
            &[("first", usage.written), ("again", usage.rewritten)],
        ),
        labelled(
            "shellac_storage_reads",
            "Responses read: from the system's cache, from the device, or not, as too many waited",
            "how",
            &[("at_once", at_once), ("waited", waited), ("refused", usage.loads_refused)],
        ),
        Family::counter(
            "shellac_storage_promotions",
            "Responses read that entered memory: it had room, or they were asked for again soon",
            usage.promoted,
        ),
        Family::counter(
            "shellac_storage_mapped_windows",
            "Windows of large responses that were sent from the map",
            usage.mapped,
        ),
        labelled(
            "shellac_storage_faults",
            "Wrong checksums, errors of the device, responses that were not written",
            "reason",
            &[
                ("checksum", usage.corrupt),
                ("device", usage.io_errors),
                ("not_written", usage.dropped),
            ],
        ),
        Family::counter(
            "shellac_worker_major_faults",
            "Page faults of workers that waited for a device",
            worker_major_faults(),
        ),
    ]
}

/// Returns the families of reclaimed segments and swept responses.
fn turns(usage: &FileUsage) -> Vec<Family> {
    let [reclaimed, spared] = usage.reclaimed;
    let [swept, searched] = usage.swept;
    vec![
        labelled(
            "shellac_storage_segment_turns",
            "Complete segments whose turn came",
            "outcome",
            &[("reclaimed", reclaimed), ("spared", spared)],
        ),
        Family::counter(
            "shellac_storage_swept_responses",
            "Responses that purges by tag, host or prefix have hit in the file, taken out in the background",
            swept,
        ),
        Family::counter(
            "shellac_storage_swept_segments",
            "Segments that were looked into for such responses",
            searched,
        ),
        Family::counter(
            "shellac_storage_sweeps_refused",
            "Such purges that nobody looks for in the file: too many waited, or a prefix ends before its first directory",
            usage.sweeps_refused,
        ),
        Family::counter(
            "shellac_storage_journal_syncs",
            "Times that the journal was made durable",
            usage.journal_syncs,
        ),
    ]
}

fn labelled(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    samples: &[(&'static str, u64)],
) -> Family {
    let sample =
        |(of, value): &(&'static str, u64)| Sample::counter([(label, (*of).to_owned())], *value);
    Family::labelled(name, help, samples.iter().map(sample))
}

/// Page faults that needed a device, of all threads that serve requests.
fn worker_major_faults() -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let faults = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        // The twelfth field of the line, proc_pid_stat(5).
        name.starts_with("worker-").then(|| rest.split_whitespace().nth(9)?.parse::<u64>().ok())?
    };
    tasks.flatten().filter_map(faults).sum()
}
