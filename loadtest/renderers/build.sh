#!/usr/bin/env bash
# Installs and builds a site, unless that has been done, and prints its folder: build.sh NAME [DEPLOYMENT...]
# Or serves a deployment of it: build.sh --serve NAME [DEPLOYMENT]
#
# NAME is next-app, nuxt, sveltekit, react-router or astro. Each deployment (a, b; without one, a) is a build of the same
# sources with other hashed assets. A folder under target/renderers is named after the hash of the sources and the lock
# file, so that a change makes a new one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
builds=${CARGO_TARGET_DIR:-$here/../../target}/renderers
readonly build_seconds_max=600 node_version=24.21.0
serves=
[[ ${1:-} == --serve ]] && { serves=1; shift; }
name=${1:?usage: build.sh [--serve] NAME [DEPLOYMENT...]}
shift
(($#)) || set -- a
[[ -f $here/$name/package-lock.json ]] || { echo "no site is called $name" >&2; exit 2; }
mkdir -p "$builds"
builds=$(cd "$builds" && pwd)

# Prints the folder of a Node.js that is new enough: the installed one, or one from npm.
node_folder() {
    local installed major minor
    installed=$(node --version)
    IFS=. read -r major minor _ <<<"${installed#v}"
    if ((major > 22 || major == 22 && minor >= 22)); then
        dirname "$(command -v node)"
        return
    fi
    local folder=$builds/node-$node_version architecture
    case $(uname -m) in
        x86_64) architecture=linux-x64 ;;
        aarch64) architecture=linux-arm64 ;;
        *) echo "Node.js $installed is too old: 22.22 or newer" >&2; exit 1 ;;
    esac
    [[ -x $folder/node_modules/node-$architecture/bin/node ]] ||
        npm install --prefix "$folder" --no-save --no-audit --no-fund "node-$architecture@$node_version" >&2
    echo "$folder/node_modules/node-$architecture/bin"
}

exec 9>"$builds/$name.lock"
flock 9
PATH=$(node_folder):$PATH
export PATH CI=1 NEXT_TELEMETRY_DISABLED=1 NUXT_TELEMETRY_DISABLED=1 ASTRO_TELEMETRY_DISABLED=1
hash=$(cd "$here/$name" && find . -type f -not -path '*/node_modules/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
folder=$builds/$name-${hash:0:12}
if [[ ! -f $folder/.installed ]]; then
    rm -rf "$folder"
    cp -r "$here/$name" "$folder"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund) >&2
    touch "$folder/.installed"
fi
for deployment; do
    [[ -f $folder/.built-$deployment ]] && continue
    case $name in
        next-app) command=(node_modules/next/dist/bin/next build) ;;
        nuxt) command=(node_modules/nuxt/bin/nuxt.mjs build) ;;
        sveltekit) command=(node_modules/vite/bin/vite.js build) ;;
        react-router) command=(node_modules/@react-router/dev/bin.cjs build) ;;
        astro) command=(node_modules/astro/bin/astro.mjs build) ;;
        *) echo "$name is no site" >&2; exit 2 ;;
    esac
    (cd "$folder" && DEPLOYMENT=$deployment timeout "$build_seconds_max" node "${command[@]}") >&2
    touch "$folder/.built-$deployment"
done
[[ -n $serves ]] || { echo "$folder"; exit; }

case $name in
    next-app) command=(node_modules/next/dist/bin/next start) ;;
    nuxt) command=(".output-$1/server/index.mjs") ;;
    sveltekit) command=("build-$1/index.js") ;;
    react-router) command=(node_modules/@react-router/serve/bin.cjs "build-$1/server/index.js") ;;
    astro) command=("dist-$1/server/entry.mjs") ;;
esac
cd "$folder"
exec 9>&-
# SvelteKit takes every server for one behind TLS, and refuses forms of other origins than that.
export PROTOCOL_HEADER=x-forwarded-proto
DEPLOYMENT=$1 NODE_ENV=production exec node --import "$here/tap.mjs" "${command[@]}"
