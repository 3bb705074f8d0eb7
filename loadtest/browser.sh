#!/usr/bin/env bash
# A headless browser in front of the five sites of renderers/, behind Shellac's preset, Shellac without one, and Varnish.
# Usage: browser.sh [--sites NAME,...] [--caches preset,preset-2m,bare,varnish,vcl,none] [--visitors COUNT] [--reached]
#
# Exits with 1 if anything that a visitor behind a preset sees is not what the site would have shown, or the console of the
# browser shows an error; with 3 if there is no Chromium, or its driver cannot be installed. SHELLAC=PROGRAM is what to test;
# --reached lists the requests that reached the site.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly unavailable=3
builds=${CARGO_TARGET_DIR:-$here/../target}/renderers
shellac=${SHELLAC:-${CARGO_TARGET_DIR:-$here/../target}/debug/shellac}

for program in chromium chromium-browser google-chrome; do
    chromium=$(command -v "$program") && break
done
[[ -n $chromium ]] || { echo "no Chromium: on Debian, apt-get install -y chromium" >&2; exit $unavailable; }

mkdir -p "$builds"
modules=$(cd "$builds" && pwd)/browser-$(sha256sum "$here/browser/package-lock.json" | head -c 12)
(
    flock 9
    [[ -f $modules/.installed ]] && exit
    mkdir -p "$modules" &&
        cp "$here"/browser/package*.json "$modules" &&
        (cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund) >&2 &&
        touch "$modules/.installed"
) 9>"$builds/browser.lock" || { echo "npm cannot install the browser's driver" >&2; exit $unavailable; }

exec node "$here/browser/browser.mjs" --shellac "$shellac" --chromium "$chromium" --modules "$modules" "$@"
