#!/usr/bin/env bash
# The traffic of a public site (trace.mjs) before the defaults of Shellac, Varnish and nginx: hit ratio, origin requests, and
# answers that are wrong. Usage: trace.sh [shellac,varnish,nginx] [--seed 1] [--urls 5000] [--requests 50000] [--zipf 1.0]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

names='shellac varnish nginx'
if (($#)) && [[ $1 != -* ]]; then
    names=${1//,/ }
    shift
fi
node -e 'process.exit(require("zlib").zstdDecompressSync ? 0 : 1)' || die "the trace needs Node.js 22.15 or newer"
# A ratio takes no optimised build.
if [[ -z ${BINARIES:-} ]] && wants shellac; then
    binaries=${CARGO_TARGET_DIR:-$root/target}/quick
    [[ -x $binaries/shellac ]] || (cd "$root" && run cargo build --profile quick -p shellac) >&2
fi
wants varnish && need varnishd varnish
wants nginx && need nginx nginx-light

# shellcheck disable=SC2086 # a list of names
describe_machine $names node
start origin node "$here/trace.mjs" origin
origin=$(url_of origin)
echo '| cache | hit ratio | answers | origin requests | from the origin | leaked | impersonal | wrong otherwise |'
echo '|---|---|---|---|---|---|---|---|'
for name in $names; do
    port=$(free_port)
    "start_$name" "$port" "${origin##*:}"
    node "$here/trace.mjs" run "$name" "http://127.0.0.1:$port" "$origin" "$@"
done
cat "$work/commands"
