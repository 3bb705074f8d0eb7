#!/usr/bin/env bash
# Fuzzes the decoders: run.sh [SECONDS [TARGET...]], ten seconds each and all targets unless told otherwise.
#
# Needs a nightly toolchain and a C++ compiler (for libFuzzer, which the crate libfuzzer-sys brings along). cargo-fuzz is not
# needed: these are the flags that it would set, without the address sanitizer, because there is next to no unsafe code.
# SEED=N takes the same way through the inputs each time.
# What is found beyond the corpus goes to $FOUND (a temporary directory by default); inputs that fail are written there, too.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
shift || true
if [ $# = 0 ]; then
    mapfile -t targets < <(ls corpus)
else
    targets=("$@")
fi

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target}/fuzz
flags=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Ccodegen-units=1
)
# With --target, build scripts and procedural macros are compiled without these flags.
RUSTFLAGS="${flags[*]}" cargo +nightly build --release --locked --target "$host"

found=${FOUND:-$(mktemp -d)}
for target in "${targets[@]}"; do
    mkdir -p "$found/$target"
    echo "fuzzing $target for $seconds s"
    log=$found/$target.log
    if ! SHELLAC_FUZZ=$target "$CARGO_TARGET_DIR/$host/release/shellac-fuzz" "$found/$target" "corpus/$target" \
        -max_total_time="$seconds" -seed="${SEED:-0}" -max_len=2048 -timeout=10 -rss_limit_mb=1024 -dict=dictionary \
        -artifact_prefix="$found/$target-" -print_final_stats=1 2>"$log"; then
        grep -A 2 panicked "$log" >&2 || true
        tail -n 40 "$log" >&2
        echo "$target failed; the input is in $found" >&2
        exit 1
    fi
    grep -E 'number_of_executed_units|new_units_added' "$log"
done
