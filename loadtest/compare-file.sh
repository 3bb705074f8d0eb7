#!/usr/bin/env bash
# Hits from files, warm and cold, side by side: Shellac's file store with little memory before it, Varnish's `file`
# storage and nginx's proxy_cache. As root, as each server runs in a control group of its own (groups.sh).
#
# Servers run on core 0, clients on core 1, in turn: A B C A B C ... A round of one size is, for each server:
# - warm, everything in the page cache: CPU per hit with wrk on 32 connections, each of the URLs as likely as the others;
#   then latencies on one connection, the server otherwise idle.
# - cold: the server's pages are dropped, and some URLs are asked for once, in random order on one connection. What is
#   still cached by then, what was read from the device, and the major faults are shown beside.
# One half of the URLs is for warm rounds, so that no server has the other half in a memory of its own when that is cold;
# the two lie mixed in the files.
# Every answer but wrk's is checked to be a hit with the whole body. CPU is that of the server's control group, so that of
# all its processes. Tables show the median round.
#
# Usage: compare-file.sh [--rounds 3] [--seconds 3] [--sizes "1024 65536 1048576"] [--servers "shellac varnish nginx"]
# [--bytes 134217728: URLs of each size, together, but 512 to 65536 URLs] [--cold 300: requests in a cold round, at most one a URL]
# [--before BINARY: another build of shellac, as one more server] [--read-ahead KIB: of the device, until the script ends]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
# shellcheck source-path=SCRIPTDIR source=groups.sh
source "$here/groups.sh"

rounds=3
seconds=3
sizes='1024 65536 1048576'
names='shellac varnish nginx'
working_set=$((128 << 20))
cold_requests=300
before=''
read_ahead=''
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --sizes) sizes=$2 ;;
        --servers) names=$2 ;;
        --bytes) working_set=$2 ;;
        --cold) cold_requests=$2 ;;
        --before) before=$2 ;;
        --read-ahead) read_ahead=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done

[[ -n $before ]] && names+=' before'
# shellcheck disable=SC2034 # read by stage.sh
store='file'
readonly connections=32 urls_min=512 urls_max=65536

stored_bytes=0
# Figures of all rounds, by KIND-NAME-SIZE.
declare -A port_of figures

main() {
    local size
    (($(nproc) >= 2)) || die "this takes two cores: one for the servers, one for the clients"
    need_groups
    need wrk wrk
    need fincore util-linux
    need curl curl
    prepare_servers
    find_read_ahead
    [[ -z $read_ahead ]] || set_read_ahead "$read_ahead"
    # shellcheck disable=SC2086 # a list of words
    describe_machine $names wrk
    printf '%-9s %s, read-ahead %s KiB\n' device "$(stat -f -c %T "$work")" "$(<"$read_ahead_of_work")"
    start_all
    echo && cat "$work/commands"
    for size in $sizes; do
        fill_all "$size"
        measure_all "$size"
    done
    print_warm
    print_cold
}

start_all() {
    local name origin
    start origin taskset -c 1 "$binaries/loadtest" origin --delay 0s --for 30m
    origin=$(url_of origin)
    for name in $names; do
        port_of[$name]=$(free_port)
        use_group "$name"
        "start_$name" "${port_of[$name]}" "${origin##*:}" taskset -c 0
    done
    group_of_starts=()
}

# How many URLs of this size there are for warm rounds, and as many for cold ones.
half() {
    local urls=$((working_set / $1))
    ((urls >= urls_min)) || urls=$urls_min
    ((urls <= urls_max)) || urls=$urls_max
    echo $((urls / 2))
}

# Asks NAME for the URLs of KIND (warm, cold, all) and SIZE: sweep NAME KIND SIZE OPTION... Prints a report as JSON.
sweep() {
    local name=$1 urls=$work/$2-$3
    shift 3
    taskset -c 1 "$binaries/loadtest" sweep --target "http://127.0.0.1:${port_of[$name]}" --urls "$urls" --json "$@"
}

# Has every server store everything, and dies unless it then answers all of it from there.
fill_all() {
    local name attempt urls kind
    urls=$(half "$1")
    for kind in warm cold; do
        seq -f "/size/$1?$kind=%.0f" "$urls" >"$work/$kind-$1"
    done
    cat "$work/warm-$1" "$work/cold-$1" >"$work/all-$1"
    stored_bytes=$((stored_bytes + 2 * urls * $1))
    printf '\n2 × %s URLs of %s bytes\n' "$urls" "$1"
    for name in $names; do
        for attempt in {1..5}; do
            sweep "$name" all "$1" --connections 16 >/dev/null
            sweep "$name" all "$1" --connections 16 --hits-of "$1" >"$work/filled" 2>/dev/null && continue 2
        done
        die "$name did not store everything in $attempt attempts: $(<"$work/filled")"
    done
}

# Lists the files of NAME in which pages may be cached; of many, a sample, so that looking at it makes nothing warm.
list_files() {
    find "$work/$1-store" -type f >"$work/files-of-$1"
    if (($(wc -l <"$work/files-of-$1") > files_max)); then
        shuf -n "$files_max" "$work/files-of-$1" >"$work/sample" && mv "$work/sample" "$work/files-of-$1"
    fi
}
readonly files_max=200

measure_all() {
    local name round
    for name in $names; do
        list_files "$name"
    done
    for ((round = 1; round <= rounds; round++)); do
        for name in $names; do
            warm "$name" "$1"
            cold "$name" "$1" "$round"
            show_round "$name" "$1" "$round"
        done
    done
}

warm() {
    local cpu reads requests p50 p99 _
    # What the last cold round dropped comes back.
    sweep "$1" warm "$2" --connections 16 --hits-of "$2" >/dev/null
    cpu=$(cpu_nanos "$1") reads=$(file_reads "$1")
    requests=$(load "$1" "$2" "$seconds")
    note_figure warm_cpu "$1" "$2" "$(per $(($(cpu_nanos "$1") - cpu)) "$requests" 1000)"
    note_reads warm "$1" "$2" "$reads" "$requests"
    sweep "$1" warm "$2" --requests "$warm_requests" --hits-of "$2" >"$work/report"
    read -r _ p50 p99 _ < <(hit_latencies "$work/report")
    note_figure warm_p50 "$1" "$2" "$p50"
    note_figure warm_p99 "$1" "$2" "$p99"
}
readonly warm_requests=3000

# Runs wrk for some seconds and prints how many requests were completed; any error ends the script.
load() {
    local output
    output=$(BASE="/size/$2?warm=" COUNT=$(half "$2") taskset -c 1 wrk -t1 "-c$connections" "-d${3}s" \
        -s "$here/uniform.lua" "http://127.0.0.1:${port_of[$1]}")
    grep -qE 'Non-2xx|Socket errors' <<<"$output" && die "$1: $output"
    awk '/requests in/ { print $1 }' <<<"$output"
}

cold() {
    local cpu faults bytes reads requests p50 p99 max _
    requests=$(half "$2")
    ((requests <= cold_requests)) || requests=$cold_requests
    drop_pages "$1"
    note_figure cached "$1" "$2" "$(cached_percent "$1")"
    cpu=$(cpu_nanos "$1") faults=$(major_faults "$1") bytes=$(device_bytes "$1") reads=$(file_reads "$1")
    sweep "$1" cold "$2" --requests "$requests" --hits-of "$2" --seed "$3" >"$work/report"
    note_figure cold_cpu "$1" "$2" "$(per $(($(cpu_nanos "$1") - cpu)) "$requests" 1000)"
    note_figure cold_faults "$1" "$2" "$(per $(($(major_faults "$1") - faults)) "$requests" 1)"
    note_figure cold_kib "$1" "$2" "$(per $(($(device_bytes "$1") - bytes)) "$requests" 1024)"
    note_reads cold "$1" "$2" "$reads" "$requests"
    read -r _ p50 p99 _ max < <(hit_latencies "$work/report")
    note_figure cold_p50 "$1" "$2" "$p50"
    note_figure cold_p99 "$1" "$2" "$p99"
    note_figure cold_max "$1" "$2" "$max"
}

# Prints how much of the files of NAME, or of a sample of them, is cached, in percent of what is stored there.
cached_percent() {
    local cached size
    cached=$(cached_bytes "$work/files-of-$1")
    size=$(tr '\n' '\0' <"$work/files-of-$1" | xargs -0 du -c --apparent-size -B 1 | awk '$2 == "total" { print $1 }')
    # A file that is reserved at once is larger than what is stored in it.
    per "$cached" "$((size < stored_bytes ? size : stored_bytes))" 0.01
}

# Prints how many responses Shellac has read from its file so far, whether that waited or not.
file_reads() {
    local admin
    admin=$(sed -n 's/^ *admin  *\(http[^ ]*\).*/\1/p' "$work/$1.log")
    [[ -z $admin ]] || curl -sS "${admin%/}/metrics" | awk '/^shellac_storage_reads/ && !/refused/ { sum += $NF } END { print sum + 0 }'
}

# Notes which share of the hits was read from Shellac's file, and not from its memory: note_reads KIND NAME SIZE BEFORE HITS.
# Larger bodies are always sent from the file, and are not counted again while their heads are in memory.
note_reads() {
    [[ -n $4 ]] && (($3 <= 65536)) || return 0
    note_figure "$1_file" "$2" "$3" "$(per $(($(file_reads "$2") - $4)) "$5" 0.01)"
}

note_figure() {
    figures[$1-$2-$3]+="$4 "
}

# Shows the last figure of each kind.
show_round() {
    local kind all
    printf 'round %s  %-8s %8s bytes ' "$3" "$1" "$2"
    for kind in warm_cpu warm_p50 warm_p99 cold_cpu cold_p50 cold_p99 cold_max cold_kib cold_faults cached warm_file cold_file; do
        all=${figures[$kind-$1-$2]:-}
        [[ -z $all ]] || { all=${all% } && printf ' %s %s' "$kind" "${all##* }"; }
    done
    echo
}

# Prints the median of KIND NAME SIZE, or a dash.
middle() {
    if [[ -n ${figures[$1-$2-$3]:-} ]]; then median "${figures[$1-$2-$3]}"; else echo -; fi
}

# Prints a table: print_table CAPTION KIND=HEADING...
print_table() {
    local caption=$1 size name kind
    shift
    printf '\n%s, median of %s rounds; ÷ is shellac by peer:\n\n| bytes | server |' "$caption" "$rounds"
    printf ' %s |' "${@#*=}"
    printf '\n|---|---|' && printf -- '---|%.0s' "$@" && echo
    for size in $sizes; do
        for name in $names; do
            printf '| %s | %s |' "$size" "$name"
            for kind in "${@%%=*}"; do
                printf ' %s%s |' "$(middle "$kind" "$name" "$size")" "$(ratio_of "$kind" "$name" "$size")"
            done
            echo
        done
    done
}

# Prints " (÷ X)", shellac's figure by a peer's, where it tells something.
ratio_of() {
    [[ $2 != shellac && $1 =~ _(cpu|p50|p99)$ ]] && wants shellac || return 0
    printf ' (÷ %s)' "$(ratio "$(middle "$1" shellac "$3")" "$(middle "$1" "$2" "$3")")"
}

print_warm() {
    print_table 'Warm hits from file' 'warm_cpu=µs CPU/hit' 'warm_p50=p50 µs' 'warm_p99=p99 µs' 'warm_file=% not from memory'
}

print_cold() {
    print_table 'Cold hits from file, one at a time' 'cold_cpu=µs CPU/hit' 'cold_p50=p50 µs' 'cold_p99=p99 µs' 'cold_max=max µs' \
        'cold_kib=KiB read/hit' 'cold_faults=major faults/hit' 'cached=% cached before' 'cold_file=% not from memory'
}

main
