#!/usr/bin/env bash
# Do memory hits stay fast while large responses stream from a file? As root, as each server runs in a control group of
# its own (groups.sh).
#
# Shellac keeps small responses in memory and large ones in a file (kind "tiered"); Varnish does with two stores. Pages of
# 1 KiB are asked for at a steady rate, from the intended send time on (`loadtest run`): alone; beside a second client that
# asks for large ones, each once, at a limited rate, with nothing of them in the page cache (cold); and beside the same with
# everything of them there (warm). Cold and warm send the same bytes: what differs is the waiting for the device.
# Servers run on core 0, both clients on core 1. Every answer is checked to be a hit, the large ones to be whole. A round is
# alone, cold, warm for each server. The table shows the median round, in parentheses the best one, as other work on the
# machine can only make tails longer; and the major faults of all threads a round.
#
# Usage: beside.sh [--rounds 3] [--seconds 8] [--rps 2000] [--large "1048576 16777216": bytes] [--mib 24: of them a second]
# [--servers "shellac varnish"] [--before BINARY: another build of shellac, as one more server]
# [--read-ahead KIB: of the device, until the script ends]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
# shellcheck source-path=SCRIPTDIR source=groups.sh
source "$here/groups.sh"

rounds=3
seconds=8
rps=2000
sizes='1048576 16777216'
mib_a_second=24
names='shellac varnish'
before=''
read_ahead=''
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --rps) rps=$2 ;;
        --large) sizes=$2 ;;
        --mib) mib_a_second=$2 ;;
        --servers) names=$2 ;;
        --before) before=$2 ;;
        --read-ahead) read_ahead=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done

[[ -n $before ]] && names+=' before'
# shellcheck disable=SC2034 # read by stage.sh
store='tiered'
readonly small_bytes=1024 small_count=10000 kinds='alone cold warm'

# Figures of all rounds, by WHAT-KIND-NAME-SIZE.
declare -A port_of figures

main() {
    local name size round kind
    (($(nproc) >= 2)) || die "this takes two cores: one for the servers, one for the clients"
    need_groups
    prepare_servers
    find_read_ahead
    [[ -z $read_ahead ]] || set_read_ahead "$read_ahead"
    # shellcheck disable=SC2086 # a list of words
    describe_machine $names
    printf '%-9s %s, read-ahead %s KiB\n' device "$(stat -f -c %T "$work")" "$(<"$read_ahead_of_work")"
    start_all
    echo && cat "$work/commands"
    fill_all
    for size in $sizes; do
        printf '\n%s requests/s for pages of %s bytes; beside: one of %s bytes every %s\n' "$rps" "$small_bytes" "$size" "$(every "$size")"
        for ((round = 1; round <= rounds; round++)); do
            for name in $names; do
                for kind in $kinds; do
                    measure "$kind" "$name" "$size" "$round"
                done
            done
        done
    done
    print_table
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

# The pause between two large responses of SIZE.
every() {
    echo "$((1000 * $1 / (mib_a_second << 20)))ms"
}

# How many of SIZE are asked for in a round.
large_count() {
    local count=$((seconds * (mib_a_second << 20) / $1))
    echo $((count > 1 ? count : 1))
}

fill_all() {
    local name size
    list_urls small "$small_bytes" "$small_count"
    for size in $sizes; do
        list_urls large "$size" "$(large_count "$size")"
        list_urls first "$size" 1
    done
    for name in $names; do
        for size in $sizes; do
            fill "$name" "large-$size" "$size"
            fill "$name" "first-$size" "$size"
        done
        fill "$name" "small-$small_bytes" "$small_bytes"
    done
}

# Makes the list KIND-SIZE: list_urls KIND SIZE COUNT.
list_urls() {
    seq -f "/size/$2?$1=%.0f" "$3" >"$work/$1-$2"
}

# Asks NAME for a list of URLs: sweep NAME LIST OPTION... Prints a report as JSON.
sweep() {
    local name=$1 list=$2
    shift 2
    taskset -c 1 "$binaries/loadtest" sweep --target "http://127.0.0.1:${port_of[$name]}" --urls "$work/$list" --json "$@"
}

# Has NAME store a list of URLs, and dies unless it then answers from there.
fill() {
    local attempt
    for attempt in {1..5}; do
        sweep "$1" "$2" --connections 8 >/dev/null
        sweep "$1" "$2" --connections 8 --hits-of "$3" >"$work/filled" 2>/dev/null && return
    done
    die "$1 did not store everything in $attempt attempts: $(<"$work/filled")"
}

measure() {
    local kind=$1 name=$2 size=$3 cpu bytes beside=''
    prepare_round "$kind" "$name" "$size"
    cpu=$(cpu_nanos "$name") bytes=$(device_bytes "$name")
    thread_faults "$name" >"$work/faults-before"
    if [[ $kind != alone ]]; then
        sweep "$name" "large-$size" --every "$(every "$size")" --hits-of "$size" --seed "$4" >"$work/large" &
        beside=$!
    fi
    taskset -c 1 "$binaries/loadtest" run --target "http://127.0.0.1:${port_of[$name]}" --urls "$work/small-$small_bytes" \
        --zipf 0 --rps "$rps" --duration "${seconds}s" --connections 16 --seed "$4" --json >"$work/small"
    [[ -z $beside ]] || wait "$beside" || die "$name: large responses are no hits: $(<"$work/large")"
    thread_faults "$name" >"$work/faults-after"
    count_faults "$kind-$name-$size"
    note_figure cpu "$(per $(($(cpu_nanos "$name") - cpu)) $((seconds * 1000)) 10000)"
    note_figure read "$(per $(($(device_bytes "$name") - bytes)) "$seconds" 1048576)"
    note_latencies
    show_round "$4"
}

# Makes what is to be cold cold and the rest warm; then some requests, so that the server's own code is there, too.
prepare_round() {
    case $1 in
        alone) ;;
        cold) drop_pages "$2" ;;
        warm) sweep "$2" "large-$3" --hits-of "$3" >/dev/null ;;
    esac
    sweep "$2" "first-$3" --hits-of "$3" >/dev/null
    sweep "$2" "small-$small_bytes" --hits-of "$small_bytes" >/dev/null
}

# Prints TASK NAME FAULTS for each thread of NAME.
thread_faults() {
    local process
    for process in $(processes_of "$1"); do
        # Threads come and go meanwhile. The name, in parentheses, may hold spaces; majflt is the 10th field after it.
        cat "/proc/$process"/task/*/stat 2>/dev/null || true
    done | sed -E 's/^([0-9]+) \((.*)\) (.*)$/\1 \2\t\3/; s/^([0-9]+) /\1\t/' |
        awk -F '\t' '{ split($3, field, " "); gsub(" ", "_", $2); print $1, $2, field[10] }'
}

# Adds what each thread has had since to the faults of all rounds, by the thread's name: count_faults KIND-NAME-SIZE.
count_faults() {
    awk 'NR == FNR { before[$1] = $3; next } { print $2, $3 - before[$1] }' "$work/faults-before" "$work/faults-after" >>"$work/faults-$1"
}

# Prints the major faults of a round, by the threads' names: those with none together.
show_faults() {
    awk -v rounds="$rounds" '
        { sum[$1] += $2 }
        END {
            for (name in sum) if (sum[name] > 0) { printf "%s%s %.1f", separator, name, sum[name] / rounds; separator = ", " }
            if (separator == "") printf "none"
        }' "$work/faults-$1"
}

# The following take kind, name and size from `measure`.

note_figure() {
    figures[$1-$kind-$name-$size]+="$2 "
}

note_latencies() {
    local count p50 p99 p999 _
    read -r count p50 p99 p999 _ < <(hit_latencies "$work/small")
    ((count == rps * seconds)) || die "$name: only $count of $((rps * seconds)) are hits: $(<"$work/small")"
    note_figure p50 "$p50"
    note_figure p99 "$p99"
    note_figure p999 "$p999"
    [[ $kind != alone ]] || return 0
    read -r _ p50 _ < <(hit_latencies "$work/large")
    note_figure large "$p50"
}

show_round() {
    local what all
    printf 'round %s  %-8s %-5s ' "$1" "$name" "$kind"
    for what in p50 p99 p999 cpu read large; do
        all=${figures[$what-$kind-$name-$size]:-}
        [[ -z $all ]] || { all=${all% } && printf ' %s %s' "$what" "${all##* }"; }
    done
    echo
}

# Prints the median of WHAT-KIND-NAME-SIZE, or a dash.
middle() {
    if [[ -n ${figures[$1]:-} ]]; then median "${figures[$1]}"; else echo -; fi
}

# Prints the median of WHAT-KIND-NAME-SIZE, and the lowest in parentheses.
middle_and_lowest() {
    # shellcheck disable=SC2086 # a list of numbers
    printf '%s (%s)' "$(middle "$1")" "$(printf '%s\n' ${figures[$1]} | sort -g | head -n 1)"
}

print_table() {
    local name size kind
    printf '\nHits of %s bytes from memory at %s/s, median of %s rounds (and the best); ÷ is p99 by that of the server alone:\n\n' "$small_bytes" "$rps" "$rounds"
    printf '| large | server | beside | p50 µs | p99 µs | ÷ alone | p99.9 µs | CPU %% | MiB/s read | large p50 µs | major faults a round |\n'
    printf '|---|---|---|---|---|---|---|---|---|---|---|\n'
    for size in $sizes; do
        for name in $names; do
            for kind in $kinds; do
                row "$kind-$name-$size" "alone-$name-$size"
            done
        done
    done
}

# Prints the row of KIND-NAME-SIZE: row KIND-NAME-SIZE alone-NAME-SIZE.
row() {
    printf '| %s | %s | %s | %s | %s |' "$size" "$name" "$kind" "$(middle "p50-$1")" "$(middle_and_lowest "p99-$1")"
    printf ' %s | %s |' "$(ratio "$(middle "p99-$1")" "$(middle "p99-$2")")" "$(middle_and_lowest "p999-$1")"
    printf ' %s | %s | %s | %s |\n' "$(middle "cpu-$1")" "$(middle "read-$1")" "$(middle "large-$1")" "$(show_faults "$1")"
}

main
