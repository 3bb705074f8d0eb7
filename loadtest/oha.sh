#!/usr/bin/env bash
# oha (paced, corrected for coordinated omission: a second opinion) against a running proxy, with zipf picks.
# Usage: oha.sh http://HOST:PORT FILE|URL-OF-THE-LIST [oha's options]      Environment: ZIPF=1.0

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

(($# >= 2)) || die "usage: oha.sh http://HOST:PORT FILE|URL-OF-THE-LIST [oha's options]"
target=${1%/}
list=$2
shift 2
(($#)) || set -- -z 20s -c 64 -q 2000

command -v oha >/dev/null || die "oha is missing. Install it with: cargo install oha --locked"
describe_machine oha
case $list in
    http://*) run curl -sSf -o "$work/urls" "$list" ;;
    *) cp "$list" "$work/urls" ;;
esac

# oha picks lines evenly, so the list that it gets has popular URLs more often.
awk -v exponent="${ZIPF:-1.0}" -v target="$target" -v picks=50000 '
    /^(http|\/)/ { sub(/^http:\/\/[^\/]+/, ""); path[++count] = $0; sum += 1 / count ^ exponent; up_to[count] = sum }
    END {
        srand(1)
        for (pick = 0; pick < picks; pick++) {
            point = rand() * sum; low = 1; high = count
            while (low < high) { middle = int((low + high) / 2); if (up_to[middle] > point) high = middle; else low = middle + 1 }
            print target path[low]
        }
    }' "$work/urls" >"$work/picks"
run oha --no-tui --latency-correction "$@" --urls-from-file "$work/picks"
