#!/usr/bin/env bash
# Millions of exchanges of every kind, and every byte of every response checked: `loadtest soak` in front of and behind one
# release `shellac`. Fails on a wrong byte, a clean end in the wrong place, or a response from before a purge.
# Usage: soak.sh [options of `loadtest soak`], e.g. soak.sh --exchanges 5000000 --clients 48 --seed 2

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

build loadtest loadtest
build shellac shellac
describe_machine shellac
port=$(free_port)
origin=$(free_port)
cat >"$work/soak.toml" <<EOF
workers = 1

[[listen]]
address = "127.0.0.1:$port"

[admin]
listen = ["127.0.0.1:0"]

[origin.soak]
servers = ["127.0.0.1:$origin"]

[storage.memory]
capacity = "${CAPACITY:-64MiB}"

[purge]
allow = ["127.0.0.0/8"]

[log]
level = "error"
EOF
start shellac "$binaries/shellac" run --config "$work/soak.toml"
await shellac "$port"
pid=$(pgrep -P "$started")
cat "$work/commands"
status=0
run "$binaries/loadtest" soak --proxy "127.0.0.1:$port" --origin "127.0.0.1:$origin" --pid "$pid" "$@" || status=$?
kill "$pid"
wait "$started" || status=$?
echo 'shellac said:'
cat "$work/shellac.log"
exit "$status"
