#!/usr/bin/env bash
# Builds the Debian packages of proxy and purger into target/debian: build-deb.sh [--no-build] [--fast]
#
# Needs `cargo install cargo-deb --version 3.8.0 --locked`. With --no-build the programs in target/release are packaged as they are.
# --fast compresses less.
set -euo pipefail
cd "$(dirname "$0")/.."
build=true compress=()
while [ $# -gt 0 ]; do
    case $1 in
        --no-build) build=false ;;
        --fast) compress=(--fast) ;;
        *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
command -v cargo-deb >/dev/null || { echo "cargo-deb is not there: cargo install cargo-deb --version 3.8.0 --locked" >&2; exit 69; }

target=${CARGO_TARGET_DIR:-$PWD/target}
if $build; then
    cargo build --locked --release -p shellac -p shellac-purger --features shellac/otlp
fi
# What the program says of itself: a page for each command, and completions for three shells. The package's list of files has them here.
made=target/packaging
rm -rf "$made"
mkdir -p "$made" "$target/debian"
"$target/release/shellac" man --out "$made/man"
"$target/release/shellac-purger" man --out "$made/man-purger"
for shell in bash zsh fish; do
    for program in shellac shellac-purger; do
        "$target/release/$program" completions "$shell" > "$made/$program.$shell"
    done
done
for package in shellac shellac-purger; do
    cargo-deb --package "$package" "${compress[@]}" --no-build --strip --output "$target/debian/"
done
ls -l "$target"/debian/*.deb
