#!/usr/bin/env bash
# wrk (closed loop, as fast as it goes) against a running proxy, with zipf picks from a list of URLs.
# Usage: wrk.sh http://HOST:PORT FILE|URL-OF-THE-LIST [wrk's options]      Environment: ZIPF=1.0

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

(($# >= 2)) || die "usage: wrk.sh http://HOST:PORT FILE|URL-OF-THE-LIST [wrk's options]"
target=$1
list=$2
shift 2
(($#)) || set -- -t1 -c64 -d20s

need wrk wrk
describe_machine wrk
case $list in
    http://*) run curl -sSf -o "$work/urls" "$list" ;;
    *) cp "$list" "$work/urls" ;;
esac
export URLS=$work/urls ZIPF=${ZIPF:-1.0}
run wrk --latency "$@" -s "$here/zipf.lua" "$target"
