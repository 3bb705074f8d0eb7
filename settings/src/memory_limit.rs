//! The memory that this process may use: the limit of its cgroup (v2, else v1), else the machine's
//! memory.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the limit in bytes, or `None` where the kernel does not tell. `root` is `/` except in
/// tests.
pub(crate) fn memory_limit(root: &Path) -> Option<u64> {
    let machine = machine_memory(root);
    let cgroup = cgroup_files(root).iter().filter_map(|file| read_limit(file)).min();
    match (cgroup, machine) {
        (Some(cgroup), Some(machine)) => Some(cgroup.min(machine)),
        (cgroup, machine) => cgroup.or(machine),
    }
}

/// Returns the files that may hold a limit: those of the process's group and of each group above
/// it.
fn cgroup_files(root: &Path) -> Vec<PathBuf> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups.lines().filter_map(hierarchy).flat_map(|hierarchy| hierarchy.files(root)).collect()
}

/// One line of `/proc/self/cgroup`.
struct Hierarchy<'l> {
    mount: &'static str,
    file: &'static str,
    path: &'l str,
}

/// Reads `ID:CONTROLLERS:PATH`; v2 is the hierarchy without controllers.
fn hierarchy(line: &str) -> Option<Hierarchy<'_>> {
    let (_id, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let path = path.trim_start_matches('/');
    if controllers.is_empty() {
        return Some(Hierarchy { mount: "sys/fs/cgroup", file: "memory.max", path });
    }
    let is_memory = controllers.split(',').any(|controller| controller == "memory");
    is_memory.then_some(Hierarchy {
        mount: "sys/fs/cgroup/memory",
        file: "memory.limit_in_bytes",
        path,
    })
}

impl Hierarchy<'_> {
    fn files(&self, root: &Path) -> Vec<PathBuf> {
        let mount = root.join(self.mount);
        let group = mount.join(self.path);
        let groups = group.ancestors().take_while(|group| group.starts_with(&mount));
        groups.map(|group| group.join(self.file)).collect()
    }
}

/// Reads a limit; `max`, and v1's huge number, mean none.
fn read_limit(file: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    Some(limit).filter(|limit| *limit < UNLIMITED)
}

/// Reads `MemTotal:  16384 kB`.
fn machine_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// v1 says "unlimited" as the largest multiple of the page size.
const UNLIMITED: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::memory_limit;

    /// Returns the limit of a machine with these files.
    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_limit(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:    4096 kB\n");

    #[test]
    fn without_a_cgroup_limit_it_is_the_machine() {
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[MACHINE]), Some(4 << 20));
        let unlimited =
            [MACHINE, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(limit(&unlimited), Some(4 << 20));
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let nested = [
            MACHINE,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "1048576\n"),
            ("sys/fs/cgroup/a/b/memory.max", "2097152\n"),
        ];
        assert_eq!(limit(&nested), Some(1 << 20));
    }

    #[test]
    fn a_container_sees_its_group_at_the_mount() {
        let container = [
            MACHINE,
            ("proc/self/cgroup", "4:memory,hugetlb:/docker/0778\n0::/system\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n"),
        ];
        assert_eq!(limit(&container), Some(1 << 20));
    }

    #[test]
    fn a_limit_above_the_machine_is_the_machine() {
        let generous =
            [MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "99999999999")];
        assert_eq!(limit(&generous), Some(4 << 20));
    }
}
