#!/usr/bin/env bash
# How much resident memory a purger takes for purger.memory, while it reads and while many proxies catch up at once.
#
# A broker that librdkafka plays, compressed records, proxies that only note what they are told, and a purger. All proxies but
# one are away while the events are published. The script fails if the purger grows by more than purger.memory, or if a purge
# is missing at the end.
# Usage: [PARTITIONS=12] [PROXIES=20] [EVENTS=5000] [MEMORY_MIB=128] [COMPRESSION=gzip] loadtest/purger-memory.sh
#        EVENTS is for each partition; of events that are not compressed the broker holds some 3,500.

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

cd "$root"
run cargo build --release --locked -p shellac-purger --bin shellac-purger --bench memory
bench=$(find "$binaries/deps" -name 'memory-*' -perm -u+x -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
describe_machine rustc
run "$bench" --bench
