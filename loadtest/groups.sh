# shellcheck shell=bash
# Sourced after stage.sh by the scripts that measure files: a control group for each server, which tells what the server
# took, and gives its pages back to make the server's files cold.
#
# drop_caches would not do: it keeps pages that are mapped, and takes everybody else's. A group gives back what its own
# processes have brought in, mapped pages too: memory.force_empty (version 1) or memory.reclaim (version 2). What would have
# to go to swap stays: what the servers hold in memory of their own is not to be cold.

work=${work:?stage.sh comes first}
memory_groups=/sys/fs/cgroup/memory
cpu_groups=/sys/fs/cgroup/cpuacct
if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    memory_groups=/sys/fs/cgroup cpu_groups=/sys/fs/cgroup
fi
read_ahead_before=

need_groups() {
    [[ $EUID -eq 0 && -w $memory_groups/cgroup.procs ]] || die "control groups take root, and the memory controller at $memory_groups"
    at_end+=(leave_no_group)
}

# The directories of a server's group; one and the same in version 2.
groups_of() {
    printf '%s\n' "$memory_groups/${work##*/}-$1" "$cpu_groups/${work##*/}-$1" | sort -u
}

# Makes the group of NAME, and has `start` put servers into it: use_group NAME.
use_group() {
    local directory
    group_of_starts=()
    for directory in $(groups_of "$1"); do
        mkdir "$directory"
        group_of_starts+=("$directory")
    done
    if [[ -e $memory_groups/${work##*/}-$1/memory.swappiness ]]; then
        echo 0 >"$memory_groups/${work##*/}-$1/memory.swappiness"
    fi
    [[ -e $memory_groups/${work##*/}-$1/memory.stat ]] || die "the memory controller is not enabled in $memory_groups"
}

leave_no_group() {
    local directory
    [[ -z $read_ahead_before ]] || echo "$read_ahead_before" >"$read_ahead_of_work"
    for directory in "$memory_groups/${work##*/}"-* "$cpu_groups/${work##*/}"-*; do
        # In version 2 they are the same, and the second attempt finds nothing.
        rmdir "$directory" 2>/dev/null || true
    done
}

processes_of() {
    cat "$memory_groups/${work##*/}-$1/cgroup.procs"
}

# Prints the nanoseconds of CPU that NAME took so far.
cpu_nanos() {
    local directory=$cpu_groups/${work##*/}-$1
    if [[ -e $directory/cpuacct.usage ]]; then
        cat "$directory/cpuacct.usage"
    else
        awk '/^usage_usec/ { print $2 * 1000 }' "$directory/cpu.stat"
    fi
}

# Prints the major faults of NAME so far: accesses to mapped pages that had to wait for the device.
major_faults() {
    awk '$1 == "pgmajfault" { print $2 }' "$memory_groups/${work##*/}-$1/memory.stat"
}

# Prints the bytes that NAME had read from the device so far, read-ahead included.
device_bytes() {
    local process
    for process in $(processes_of "$1"); do
        cat "/proc/$process/io" 2>/dev/null || true
    done | awk '/^read_bytes/ { sum += $2 } END { print sum + 0 }'
}

# Makes the files of NAME cold; what has not been written yet is written first, as only clean pages can go.
drop_pages() {
    local directory=$memory_groups/${work##*/}-$1 _
    sync -f "$work"
    # Pages in use this very moment are passed by, and met in the next attempt.
    for _ in {1..3}; do
        if [[ -e $directory/memory.force_empty ]]; then
            echo 0 >"$directory/memory.force_empty" || true
        else
            # Fails with EAGAIN when less than this could be reclaimed: then nothing is left that can be. Swappiness: Linux 6.9.
            echo '1T swappiness=0' >"$directory/memory.reclaim" || true
        fi
    done 2>/dev/null
}

# Prints how many bytes of some files, named one a line in a list, are in the page cache: cached_bytes LIST.
cached_bytes() {
    tr '\n' '\0' <"$1" | xargs -0 -r fincore --noheadings --bytes --output RES | awk '{ sum += $1 } END { print sum + 0 }'
}

# Finds the setting of the device that holds $work.
find_read_ahead() {
    local device
    device=$(stat -c '%Hd:%Ld' "$work")
    read_ahead_of_work=/sys/dev/block/$device/queue/read_ahead_kb
    # A partition has the queue of its disk.
    [[ -e $read_ahead_of_work ]] || read_ahead_of_work=/sys/dev/block/$device/../queue/read_ahead_kb
    [[ -e $read_ahead_of_work ]] || read_ahead_of_work=/sys/class/bdi/$device/read_ahead_kb
}

# Sets the device's read-ahead until the script ends; files that are opened later follow it: set_read_ahead KIB.
set_read_ahead() {
    read_ahead_before=$(<"$read_ahead_of_work")
    echo "$1" >"$read_ahead_of_work"
}
