#!/usr/bin/env bash
# What it costs to be watched: CPU time per memory hit, and latencies, of a proxy that nobody watches, of one with an
# access log, of one with everything on, and of one whose watchers have all stalled.
#
#   plain     the defaults: metrics and live counters, no access log, nobody connected
#   logged    an access log of JSON lines to a file
#   watched   the same, and the streams that `shellac top` and the dashboard read: statistics and purges
#   followed  the same, and a follower of the log that reads every line
#   sampled   everything as in followed, but 1 % of the lines in the file and for the follower
#   stalled   an access log on a full disk (/dev/full), and three followers that read nothing
#
# Servers run on core 0, wrk and the followers on core 1, in turn: A B C D A B C D ... A round's figure is the processor
# time that all threads of the server took while wrk ran (utime + stime of /proc/PID/stat), divided by the requests that
# wrk completed; beside it wrk's requests a second and latencies. The table shows the median round. The last lines say what was dropped.
# Usage: observed.sh [--rounds 3] [--seconds 5] [--connections 32] [--size 1024] [--servers "plain logged watched followed sampled stalled"]
#                    [--before BINARY: another build of shellac with its defaults, as one more server]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

rounds=3
seconds=5
connections=32
size=1024
names='plain logged watched followed sampled stalled'
before=''
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --connections) connections=$2 ;;
        --size) size=$2 ;;
        --servers) names=$2 ;;
        --before) before=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done
[[ -n $before ]] && names+=' before'

declare -A port_of admin_of pid_of micros rates p50s p99s

main() {
    (($(nproc) >= 2)) || die "this takes two cores: one for the servers, one for wrk"
    need wrk wrk
    need curl curl
    need pgrep procps
    build loadtest loadtest
    build shellac shellac
    describe_machine shellac wrk
    start_all
    echo && cat "$work/commands"
    local name round
    for name in $names; do
        curl -sS -o /dev/null "$(url "$name")"
        curl -sS -D - -o /dev/null "$(url "$name")" | grep -qiE '^cache-status:.*; *hit' || die "$name did not answer from memory"
        load "$name" 1
    done
    echo && echo "\$ taskset -c 1 wrk -t1 -c$connections -d${seconds}s --latency http://127.0.0.1:PORT/size/$size"
    for ((round = 1; round <= rounds; round++)); do
        for name in $names; do
            measure "$name"
            printf 'round %s  %-8s  %s µs CPU/request, %s requests/s, p50 %s, p99 %s\n' "$round" "$name" "$micro" "$rate" "$p50" "$p99"
        done
    done
    print_table
    print_drops
}

start_all() {
    local name origin
    start origin taskset -c 1 "$binaries/loadtest" origin --delay 0s --for 30m
    origin=$(url_of origin)
    origin=${origin##*:}
    for name in $names; do
        port_of[$name]=$(free_port)
        admin_of[$name]=$(free_port)
        configure "$name" "$origin" >"$work/$name.toml"
        local binary=$binaries/shellac
        [[ $name == before ]] && binary=$before
        start "$name" taskset -c 0 "$binary" run --config "$work/$name.toml"
        pid_of[$name]=$started
        await "$name" "${port_of[$name]}"
        await "$name" "${admin_of[$name]}"
        case $name in
            watched) follow "$name" reads stats stats purges ;;
            followed) follow "$name" reads stats stats purges 'log?sample=100%25' ;;
            sampled) follow "$name" reads stats stats purges 'log?sample=1%25' ;;
            stalled) follow "$name" stalls stats purges 'log?sample=100%25' ;;
        esac
    done
}

configure() {
    cat <<EOF
workers = 1
[[listen]]
address = "127.0.0.1:${port_of[$1]}"
[admin]
listen = ["127.0.0.1:${admin_of[$1]}"]
[origin.app]
servers = ["127.0.0.1:$2"]
[storage.memory]
capacity = "64MiB"
EOF
    case $1 in
        logged | watched | followed) printf '[log.access]\ntarget = "file:%s"\nrotate_at = "256MiB"\nkeep = 1\n' "$work/$1-access.log" ;;
        sampled) printf '[log.access]\ntarget = "file:%s"\nsample = "1%%"\n' "$work/$1-access.log" ;;
        stalled) printf '[log.access]\ntarget = "file:/dev/full"\n' ;;
    esac
}

# Follows streams of a proxy with clients that read, or that connect, ask and read nothing: follow NAME reads|stalls STREAM...
follow() {
    local name=$1 how=$2 stream number=0
    shift 2
    for stream in "$@"; do
        if [[ $how == reads ]]; then
            start "$name-follower-$((number += 1))" taskset -c 1 curl -sN -o /dev/null "http://127.0.0.1:${admin_of[$name]}/api/v1/stream/$stream"
        else
            start "$name-follower-$((number += 1))" taskset -c 1 python3 -c '
import socket, sys, time
while True:  # one that was cut off comes back, and reads nothing again
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET /api/v1/stream/{sys.argv[2]} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        time.sleep(15)
' "${admin_of[$name]}" "$stream"
        fi
    done
}

url() {
    echo "http://127.0.0.1:${port_of[$1]}/size/$size"
}

# Runs wrk; its output goes to $work/wrk. Any error ends the script: load NAME SECONDS.
load() {
    taskset -c 1 wrk -t1 "-c$connections" "-d${2}s" --latency "$(url "$1")" >"$work/wrk"
    ! grep -qE 'Non-2xx|Socket errors' "$work/wrk" || die "$1: $(<"$work/wrk")"
}

measure() {
    local ticks_before ticks_after requests
    ticks_before=$(ticks "${pid_of[$1]}")
    load "$1" "$seconds"
    ticks_after=$(ticks "${pid_of[$1]}")
    requests=$(awk '/requests in/ { print $1 }' "$work/wrk")
    rate=$(awk '/Requests\/sec/ { printf "%d", $2 }' "$work/wrk")
    p50=$(awk '$1 == "50%" { print $2 }' "$work/wrk")
    p99=$(awk '$1 == "99%" { print $2 }' "$work/wrk")
    micro=$(awk -v ticks=$((ticks_after - ticks_before)) -v hertz="$(getconf CLK_TCK)" -v requests="$requests" \
        'BEGIN { printf "%.2f", ticks / hertz * 1e6 / requests }')
    micros[$1]+="$micro "
    rates[$1]+="$rate "
    p50s[$1]+="$(in_micros "$p50") "
    p99s[$1]+="$(in_micros "$p99") "
}

# Prints a latency of wrk in µs: in_micros 1.23ms.
in_micros() {
    awk -v text="$1" 'BEGIN { print text ~ /us$/ ? text + 0 : text ~ /ms$/ ? text * 1000 : text * 1000000 }'
}

print_table() {
    local name
    printf '\nMedians of %s rounds, hits of %s bytes:\n\n' "$rounds" "$size"
    printf '| server | µs CPU/request | ÷ plain | requests/s | p50 µs | p99 µs |\n|---|---|---|---|---|---|\n'
    for name in $names; do
        printf '| %s | %s | %s | %s | %s | %s |\n' "$name" "$(median "${micros[$name]}")" \
            "$(ratio "$(median "${micros[$name]}")" "$(median "${micros[plain]:-0}")")" \
            "$(median "${rates[$name]}")" "$(median "${p50s[$name]}")" "$(median "${p99s[$name]}")"
    done
}

print_drops() {
    local name
    printf '\nLines written, dropped and failed, and followers cut off:\n'
    for name in $names; do
        [[ $name == plain || $name == before ]] && continue
        echo "$name"
        curl -sS "http://127.0.0.1:${admin_of[$name]}/metrics" | grep -E '^shellac_(log_(lines|dropped|failures)|admin_streams_cut)' | sed 's/^/    /'
    done
}

main
