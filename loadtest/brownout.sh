#!/usr/bin/env bash
# One server of three becomes 20 times slower. What do misses take, and how many more requests do the servers get?
# Beside HAProxy with two of its algorithms, in one run, in turn.
#
# Every request is a miss: HAProxy has no cache here and Shellac is asked for each page once. Usage: brownout.sh
# [--rounds 3] [--rps 200] [--duration 15s] [--delay 20ms] [--slow 400ms] [--servers "shellac leastconn random roundrobin"]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

rounds=3
rps=200
duration=15s
delay=20ms
slow=400ms
names='shellac leastconn random roundrobin'
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --rps) rps=$2 ;;
        --duration) duration=$2 ;;
        --delay) delay=$2 ;;
        --slow) slow=$2 ;;
        --servers) names=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done

declare -A port_of p99s p50s excess slow_share
pages=10000000

main() {
    prepare_servers
    need haproxy haproxy
    need curl curl
    # shellcheck disable=SC2086 # a list of words
    describe_machine $names
    for name in a b c; do
        start_origin "$name" "$delay"
    done
    start_origin slow "$slow"
    for name in $names; do
        start_pool "$name" healthy "${port_of[a]}" "${port_of[b]}" "${port_of[c]}"
        start_pool "$name" slow "${port_of[a]}" "${port_of[b]}" "${port_of[slow]}"
    done
    echo && cat "$work/commands" && echo
    local round seed=1
    for ((round = 1; round <= rounds; round++)); do
        for name in $names; do
            measure "$name" healthy $((seed++))
            measure "$name" slow $((seed++))
        done
    done
    print_table
}

start_origin() {
    start "origin-$1" "$binaries/loadtest" origin --delay "$2" --pages "$pages" --for 30m
    local url
    url=$(url_of "origin-$1")
    port_of[$1]=${url##*:}
}

# Starts a proxy in front of three servers: start_pool NAME MODE PORT PORT PORT.
start_pool() {
    local name=$1-$2 port
    port=$(free_port)
    port_of[$name]=$port
    case $1 in
        shellac) shellac_pool "$name" "$port" "${@:3}" ;;
        *) haproxy_pool "$name" "$1" "$port" "${@:3}" ;;
    esac
}

shellac_pool() {
    local name=$1 port=$2
    shift 2
    cat >"$work/$name.toml" <<EOF
workers = 1
[[listen]]
address = "127.0.0.1:$port"
[admin]
listen = ["127.0.0.1:0"]
[origin.app]
servers = ["127.0.0.1:$1", "127.0.0.1:$2", "127.0.0.1:$3"]
EOF
    start "$name" "$binaries/shellac" run --config "$work/$name.toml"
    await "$name" "$port"
}

haproxy_pool() {
    local name=$1 algorithm=$2 port=$3
    shift 3
    [[ $algorithm == random ]] && algorithm='random(2)'
    cat >"$work/$name.cfg" <<EOF
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 2
    http-reuse always
frontend in
    bind 127.0.0.1:$port
    default_backend app
backend app
    balance $algorithm
    server a 127.0.0.1:$1
    server b 127.0.0.1:$2
    server c 127.0.0.1:$3
EOF
    start "$name" haproxy -f "$work/$name.cfg"
    await "$name" "$port"
}

# Prints the requests that all servers have had.
served() {
    local sum=0 name count
    for name in "$@"; do
        count=$(curl -sSf "http://127.0.0.1:${port_of[$name]}/stats" | sed -n 's/.*"requests":\([0-9]*\).*/\1/p')
        sum=$((sum + count))
    done
    echo "$sum"
}

measure() {
    local name=$1 mode=$2 before after before_slow answered p50 p99
    before=$(served a b c slow)
    before_slow=$(served slow)
    "$binaries/loadtest" run --target "http://127.0.0.1:${port_of[$name-$mode]}" --rps "$rps" --duration "$duration" \
        --pages 1000000 --zipf 0 --seed "$3" --timeout 30s --json >"$work/report.json" 2>"$work/run.log" ||
        { cat "$work/run.log" >&2 && die "the run against $name failed"; }
    after=$(served a b c slow)
    read -r answered p50 p99 < <(python3 - "$work/report.json" <<'EOF'
import json, sys
report = json.load(open(sys.argv[1]))
kind = max((report["latency"][kind] for kind in ("miss", "unknown")), key=lambda summary: summary["count"])
assert report["failed"] == 0 and report["unanswered"] == 0, report
print(report["answered"], kind["p50_us"], kind["p99_us"])
EOF
    ) || die "requests to $name failed"
    p50s[$name-$mode]+="$p50 "
    p99s[$name-$mode]+="$p99 "
    excess[$name-$mode]+="$(ratio $((after - before)) "$answered") "
    slow_share[$name-$mode]+="$(ratio $(($(served slow) - before_slow)) "$answered") "
    printf '%-10s %-8s p50 %6s µs  p99 %7s µs  %s requests, %s at the servers, %s of them at the slow one\n' "$name" "$mode" \
        "$p50" "$p99" "$answered" $((after - before)) $(($(served slow) - before_slow))
}

print_table() {
    local name healthy slowed
    printf '\nMedians of %s rounds, %s requests a second, one server of three %s instead of %s:\n\n' "$rounds" "$rps" "$slow" "$delay"
    echo '| proxy | p50 healthy | p50 | p99 healthy | p99 | p99 ÷ healthy | requests at the servers ÷ requests | share of the slow server |'
    echo '|---|---|---|---|---|---|---|---|'
    for name in $names; do
        healthy=$(median "${p99s[$name-healthy]}")
        slowed=$(median "${p99s[$name-slow]}")
        printf '| %s | %s ms | %s ms | %s ms | %s ms | %s | %s | %s |\n' "$name" \
            "$(per "$(median "${p50s[$name-healthy]}")" 1 1000)" "$(per "$(median "${p50s[$name-slow]}")" 1 1000)" \
            "$(per "$healthy" 1 1000)" "$(per "$slowed" 1 1000)" "$(ratio "$slowed" "$healthy")" \
            "$(median "${excess[$name-slow]}")" "$(median "${slow_share[$name-slow]}")"
    done
}

main
