#!/usr/bin/env bash
# CPU time per memory hit, side by side: Shellac, Varnish, nginx and a bare hyper server.
#
# Servers run on core 0, wrk on core 1, in turn: A B C D A B C D ... A round's figure is the processor time that all
# processes of the server took while wrk ran (utime + stime of /proc/PID/stat), divided by the requests that wrk
# completed. The table shows the median round. Usage: compare-cpu.sh [--rounds 3] [--seconds 5] [--sizes "1024 16384"]
# [--servers "shellac varnish nginx bare"] [--connections 32] [--before BINARY: another build of shellac, as one more server]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

rounds=3
seconds=5
connections=32
sizes='1024 16384 102400'
names='shellac varnish nginx bare'
before=''
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --connections) connections=$2 ;;
        --sizes) sizes=$2 ;;
        --servers) names=$2 ;;
        --before) before=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done

[[ -n $before ]] && names+=' before'

declare -A port_of pid_of micros

main() {
    (($(nproc) >= 2)) || die "this takes two cores: one for the servers, one for wrk"
    prepare
    # shellcheck disable=SC2086 # a list of words
    describe_machine $names wrk rustc
    start_all
    echo && cat "$work/commands"
    local size
    for size in $sizes; do
        check_all "$size"
        measure_all "$size"
    done
    print_table
}

prepare() {
    need wrk wrk
    need curl curl
    need pgrep procps
    prepare_servers
}

start_all() {
    local name size
    start origin taskset -c 1 "$binaries/loadtest" origin --delay 0s --for 30m
    local origin
    origin=$(url_of origin)
    origin=${origin##*:}
    for name in $names; do
        [[ $name == bare ]] && continue
        port_of[$name]=$(free_port)
        "start_$name" "${port_of[$name]}" "$origin" taskset -c 0
        pid_of[$name]=$started
    done
    wants bare || return 0
    start_bare
}

url() {
    echo "http://127.0.0.1:${port_of[$(filed "$1" "$2")]}/size/$2"
}

# Dies unless every server answers from its memory, with the whole body.
check_all() {
    local name url fields length
    for name in $names; do
        url=$(url "$name" "$1")
        curl -sS -o /dev/null "$url"
        fields=$(curl -sS -D - -o "$work/body" "$url")
        length=$(wc -c <"$work/body")
        [[ $length -eq $1 ]] || die "$name sent $length bytes instead of $1"
        is_hit "$name" "$fields" || die "$name did not answer from its cache: $fields"
    done
}

is_hit() {
    case $1 in
        shellac | before) grep -qiE '^cache-status:.*shellac *; *hit' <<<"$2" ;;
        varnish) grep -qiE '^x-varnish: [0-9]+ [0-9]+' <<<"$2" ;;
        nginx) grep -qi '^x-cache-status: hit' <<<"$2" ;;
        bare) true ;;
    esac
}

measure_all() {
    local name round result
    for name in $names; do
        load "$name" "$1" 1 >/dev/null
    done
    echo && echo "\$ taskset -c 1 wrk -t1 -c$connections -d${seconds}s http://127.0.0.1:PORT/size/$1"
    for ((round = 1; round <= rounds; round++)); do
        for name in $names; do
            result=$(measure "$name" "$1")
            micros[$name-$1]+="${result%% *} "
            printf 'round %s  %-8s %7s bytes  %6s µs CPU/request  %s\n' "$round" "$name" "$1" "${result%% *}" "${result#* }"
        done
    done
}

# Prints the microseconds of CPU per request, and requests and seconds of CPU behind them.
measure() {
    local pid before after requests
    pid=${pid_of[$(filed "$1" "$2")]}
    before=$(ticks "$pid")
    requests=$(load "$1" "$2" "$seconds")
    after=$(ticks "$pid")
    awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v requests="$requests" \
        'BEGIN { printf "%.2f (%d requests, %.2f s CPU)\n", ticks / hertz * 1e6 / requests, requests, ticks / hertz }'
}

# Runs wrk for some seconds and prints how many requests were completed; any error ends the script.
load() {
    local output
    output=$(taskset -c 1 wrk -t1 "-c$connections" "-d${3}s" "$(url "$1" "$2")")
    grep -qE 'Non-2xx|Socket errors' <<<"$output" && die "$1: $output"
    awk '/requests in/ { print $1 }' <<<"$output"
}

print_table() {
    local name size peer peers=()
    for peer in before varnish nginx bare; do
        wants "$peer" && peers+=("$peer")
    done
    printf '\nCPU per hit in µs, median of %s rounds, and the ratio to each peer:\n\n| bytes | server | µs CPU/request |' "$rounds"
    printf ' ÷ %s |' "${peers[@]}"
    printf '\n|---|---|---|' && printf -- '---|%.0s' "${peers[@]}" && echo
    for size in $sizes; do
        for name in $names; do
            printf '| %s | %s | %s |' "$size" "$name" "$(median "${micros[$name-$size]}")"
            for peer in "${peers[@]}"; do
                printf ' %s |' "$(ratio "$(median "${micros[$name-$size]}")" "$(median "${micros[$peer-$size]}")")"
            done
            echo
        done
    done
}

main
