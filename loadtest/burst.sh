#!/usr/bin/env bash
# 1,000 clients ask for one cold page at the same moment; it takes 2 s to render. First a cacheable page, then a
# private one, which nobody may share: there the proxy must not let them queue behind each other.
# Usage: burst.sh [shellac|varnish|nginx] [COUNT]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

proxy=${1:-shellac}
count=${2:-1000}

burst() {
    printf '\n%s\n' "$1"
    curl -sSf -X POST -o /dev/null "$renderer/api/stats/reset"
    run "$binaries/loadtest" burst --target "http://127.0.0.1:$port" --count "$count" --path "$2"
    curl -sSf "$renderer/api/stats" |
        sed -n 's/.*"requests":\([0-9]*\).*"inFlightMax":\([0-9]*\).*/origin      \1 requests, \2 of them at once/p'
}

build loadtest loadtest
[[ $proxy != shellac ]] || build shellac shellac
ulimit -n "$(ulimit -H -n)"
describe_machine "$proxy" node
start_renderer
port=$(free_port)
"start_$proxy" "$port" "${renderer##*:}"
cat "$work/commands"
burst 'cold and cacheable' '/slow?ms=2000&id=cold'
burst 'cold and private' '/slow?ms=2000&id=mine&private=1'
