#!/usr/bin/env bash
# Installs Django from PyPI once, and serves the site: serve.sh [--install]. Exits with 3 where it cannot be installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly unavailable=3
builds=${CARGO_TARGET_DIR:-$here/../../../target}/renderers
mkdir -p "$builds"
packages=$(cd "$builds" && pwd)/django-$(sha256sum "$here/requirements.txt" | head -c 12)
(
    flock 9
    [[ -f $packages/.installed ]] && exit
    rm -rf "$packages" &&
        python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --target "$packages" -r "$here/requirements.txt" >&2 &&
        touch "$packages/.installed"
) 9>"$builds/django.lock" || { echo "Django cannot be installed from PyPI" >&2; exit $unavailable; }
[[ ${1:-} == --install ]] || PYTHONPATH=$packages exec python3 -B "$here/site.py"
