#!/usr/bin/env bash
# How soon a purge from Kafka takes effect on three proxies, and how many one purger on one core carries.
#
# Genuine Kafka 0.9.0.1, three proxies and a purger, all on this machine. Latencies are what a visitor sees: from the event
# handed to Kafka's client until the last proxy shows the new page. Throughput is a backlog applied by all proxies, with the
# purger on core 1 and everything else on core 0. What else runs on the machine shows in both; CPU time per event shows less of it.
# Usage: [RATES="100 1000 10000"] [BACKLOG=300000] [PURGER='linger = "2ms"'] loadtest/purge.sh

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

(($(nproc) >= 2)) || die "this takes two cores"
need java default-jre-headless
need npm npm
cd "$root"
# In one call: several would not agree on the features of what they share, and build it twice.
run cargo build --release --locked -p shellac -p shellac-purger --bin shellac --bin shellac-purger --bench purge
bench=$(find "$binaries/deps" -name 'purge-*' -perm -u+x -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
describe_machine shellac rustc
printf 'load      %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
run "$bench" --bench
printf 'load      %s\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
