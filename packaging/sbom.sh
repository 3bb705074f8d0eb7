#!/usr/bin/env bash
# Writes what is built into each program, from Cargo.lock: target/sbom/{shellac,shellac-purger}.cdx.json (CycloneDX 1.5).
# Needs `cargo install cargo-cyclonedx --locked`.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-cyclonedx >/dev/null || { echo "cargo-cyclonedx is not there: cargo install cargo-cyclonedx --locked" >&2; exit 69; }
out=${CARGO_TARGET_DIR:-target}/sbom
mkdir -p "$out"
for folder in proxy purger; do
    package=shellac
    [ $folder = purger ] && package=shellac-purger
    # --no-build-deps: what is in the program, not what made it.
    cargo cyclonedx --manifest-path "$folder/Cargo.toml" --format json --spec-version 1.5 --no-build-deps --override-filename "$package.cdx" -q
    mv "$folder/$package.cdx.json" "$out/"
    find . -name "$package.cdx.json" -not -path './target/*' -delete # of the workspace's other members
done
ls -l "$out"/*.cdx.json
