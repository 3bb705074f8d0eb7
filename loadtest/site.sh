#!/usr/bin/env bash
# The Next.js site behind a cold proxy, under zipf traffic: hit ratio, origin requests saved, hits against misses.
# Usage: site.sh [shellac|varnish|nginx] [options of `loadtest run`]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

proxy=shellac
if (($#)) && [[ $1 != -* ]]; then
    proxy=$1
    shift
fi
(($#)) || set -- --rps 300 --duration 60s

build loadtest loadtest
[[ $proxy != shellac ]] || build shellac shellac
describe_machine "$proxy" node rustc
start_renderer
port=$(free_port)
"start_$proxy" "$port" "${renderer##*:}"
cat "$work/commands"
run "$binaries/loadtest" run --target "http://127.0.0.1:$port" \
    --urls "$renderer/urls" --origin-stats "$renderer/api/stats" "$@"
