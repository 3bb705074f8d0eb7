#!/usr/bin/env bash
# 20 clients on kept connections and 20 that connect for each request, while the proxy is reloaded 100 times and its
# program replaced 20 times. How many requests fail? nginx and HAProxy have the same done to them in the same run.
#
# A client sends no request twice: a kept connection that closes under a request counts as a failure.
# Usage: reload.sh [--reloads 100] [--upgrades 20] [--servers "shellac nginx haproxy"] [--storage memory|file]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

reloads=100
upgrades=20
names='shellac nginx haproxy'
while (($#)); do
    case $1 in
        --reloads) reloads=$2 ;;
        --upgrades) upgrades=$2 ;;
        --servers) names=$2 ;;
        --storage) store=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done
file_capacity=256MiB

declare -A port_of

main() {
    prepare_servers
    need curl curl
    wants haproxy && need haproxy haproxy
    # shellcheck disable=SC2086 # a list of words
    describe_machine $names
    start origin "$binaries/loadtest" origin --delay 1ms --for 30m
    local origin name
    origin=$(url_of origin)
    origin=${origin##*:}
    for name in $names; do
        port_of[$name]=$(free_port)
        "start_$name" "${port_of[$name]}" "$origin"
        pgrep -P "$started" | head -n 1 >"$work/$name.main"
        [[ $name == nginx ]] && daemonize_nginx
        curl -sSf -o /dev/null "http://127.0.0.1:${port_of[$name]}/p/1"
    done
    echo && cat "$work/commands"
    for name in $names; do
        ask "$name" reload "$reloads"
        ask "$name" upgrade "$upgrades"
    done
}

# Sends requests to NAME while ACTION is done COUNT times, and for a second more.
ask() {
    local name=$1 action=$2 count=$3 number began
    printf '\n%s, %s times: %s\n' "$name" "$count" "$action"
    "$binaries/loadtest" continuity --target "http://127.0.0.1:${port_of[$name]}/p/1" --duration 10m --until "$work/stop" \
        >"$work/continuity.log" &
    local clients=$!
    began=$SECONDS
    for ((number = 1; number <= count; number++)); do
        "${action}_$name" || { touch "$work/stop" && die "$name: $action $number failed"; }
    done
    sleep 1
    touch "$work/stop"
    wait "$clients" || die "the clients of $name failed"
    rm "$work/stop"
    cat "$work/continuity.log"
    printf 'took        %s s\n' "$((SECONDS - began))"
}

main_of() {
    cat "$work/$1.main"
}

# Runs a command until it succeeds, for 20 s at most.
eventually() {
    local _
    for _ in {1..400}; do
        "$@" 2>/dev/null && return
        sleep 0.05
    done
    return 1
}

# nginx ignores the signal that replaces its program unless it is a daemon, and executes the path that it was started by.
daemonize_nginx() {
    kill "$(main_of nginx)"
    eventually gone "$(main_of nginx)"
    sed -i 's/^daemon off;/daemon on;/' "$work/nginx.conf"
    run "$(command -v nginx)" -e "$work/nginx.log" -p "$work/nginx" -c "$work/nginx.conf" >>"$work/commands" 2>&1 </dev/null
    await nginx "${port_of[nginx]}"
    eventually cp "$work/nginx/pid" "$work/nginx.main"
    at_end+=(stop_nginx)
}

stop_nginx() {
    kill "$(main_of nginx)"
}

reload_shellac() {
    # The file changes with each reload, so that there is something to apply.
    sed -i "s/^default_ttl = .*/default_ttl = \"$((60 + number))s\"/" "$work/shellac.toml"
    "$binaries/shellac" reload --config "$work/shellac.toml" >>"$work/reload.log" 2>&1 || { tail "$work/reload.log" >&2 && return 1; }
}

upgrade_shellac() {
    "$binaries/shellac" upgrade --pid "$(serving_shellac)" --wait >>"$work/reload.log" 2>&1 ||
        { tail "$work/reload.log" "$work/shellac.log" >&2 && return 1; }
}

# The newest process serves; those before it answer what they had begun.
serving_shellac() {
    pgrep -n -f "shellac run --config $work/shellac.toml"
}

stop_shellac() {
    pkill -f "shellac run --config $work/shellac.toml"
}

# nginx tells nobody when a reload is done: its new worker is there, and the old one has left or is leaving.
reload_nginx() {
    local before
    before=$(workers_of_nginx)
    kill -HUP "$(main_of nginx)"
    eventually is_other_worker "$before"
}

is_other_worker() {
    local now
    now=$(workers_of_nginx)
    [[ -n $now && $now != "$1" ]]
}

workers_of_nginx() {
    pgrep -P "$(main_of nginx)" -f 'nginx: worker process$' | sort | tail -n 1
}

upgrade_nginx() {
    local old
    old=$(main_of nginx)
    kill -USR2 "$old"
    eventually has_new_main "$old" || return 1
    kill -QUIT "$old"
    eventually gone "$old"
}

has_new_main() {
    local new
    new=$(cat "$work/nginx/pid") && [[ $new != "$1" ]] && pgrep -P "$new" >/dev/null && echo "$new" >"$work/nginx.main"
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

# Two workers, as the machine has two cores, and an admin listener that the commands find.
start_shellac() {
    cat >"$work/shellac.toml" <<EOF
[[listen]]
address = "127.0.0.1:$1"
[admin]
listen = ["unix:$work/admin.sock"]
[origin.app]
servers = ["127.0.0.1:$2"]
[cache]
default_ttl = "60s"
$(storage_of shellac)
EOF
    start shellac "$binaries/shellac" run --config "$work/shellac.toml"
    await shellac "$1"
    at_end+=(stop_shellac)
}

start_haproxy() {
    cat >"$work/haproxy.cfg" <<EOF
global
    nbthread 1
    stats socket $work/haproxy.sock level admin expose-fd listeners
    hard-stop-after 5s
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 2
frontend in
    bind 127.0.0.1:$1
    default_backend app
backend app
    server a 127.0.0.1:$2
EOF
    start haproxy haproxy -W -f "$work/haproxy.cfg" -p "$work/haproxy.pid"
    await haproxy "$1"
}

# Its master starts a new worker, which takes the sockets from the old one.
reload_haproxy() {
    local before
    before=$(pgrep -P "$(main_of haproxy)" | sort -n | tail -n 1)
    kill -USR2 "$(main_of haproxy)"
    eventually has_newer_child "$(main_of haproxy)" "$before"
}

has_newer_child() {
    [[ $(pgrep -P "$1" | sort -n | tail -n 1) != "$2" ]]
}

# The master executes its file again with each reload.
upgrade_haproxy() {
    reload_haproxy
}

main
