#!/usr/bin/env bash
# Compression side by side at the same level: Shellac (gzip, br, zstd) and nginx (gzip), for pages that are stored and
# pages that are not.
#
# Servers run on core 0, wrk and the origin (another nginx) on core 1, in turn. A figure is the processor time that all
# processes of the server took while wrk ran, divided by the requests that wrk completed; the table shows the median
# round, and the bytes of one response. The page is docs/conformance.md, sent as HTML.
# Usage: compare-compression.sh [--rounds 3] [--seconds 5] [--connections 16] [--gzip 6] [--br 5] [--zstd 3]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

rounds=3
seconds=5
connections=16
gzip=6
br=5
zstd=3
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --connections) connections=$2 ;;
        --gzip) gzip=$2 ;;
        --br) br=$2 ;;
        --zstd) zstd=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done

names='shellac nginx'
rows='nginx:identity shellac:identity nginx:gzip shellac:gzip shellac:br shellac:zstd'
declare -A port_of pid_of micros bytes_of

main() {
    (($(nproc) >= 2)) || die "this takes two cores: one for the servers, one for wrk"
    need wrk wrk
    need curl curl
    need pgrep procps
    need nginx nginx-light
    build shellac shellac
    describe_machine shellac nginx wrk rustc
    start_all
    local kind round row result
    for kind in stored private; do
        for row in $rows; do
            check "$row" "$kind"
            load "$row" "$kind" 1 >/dev/null
        done
        for ((round = 1; round <= rounds; round++)); do
            for row in $rows; do
                result=$(measure "$row" "$kind") || exit 1
                micros[$row-$kind]+="${result%% *} "
                printf 'round %s  %-16s %-8s %8s µs CPU/request  %s\n' "$round" "$row" "$kind" "${result%% *}" "${result#* }"
            done
        done
    done
    print_table
}

start_all() {
    local origin
    origin=$(free_port)
    mkdir -p "$work/pages/stored" "$work/pages/private"
    cp "$root/docs/conformance.md" "$work/pages/stored/page.html"
    cp "$root/docs/conformance.md" "$work/pages/private/page.html"
    write_nginx "$work/origin" "$origin" "
        root $work/pages;
        location /stored/ { add_header Cache-Control max-age=600; }
        location /private/ { add_header Cache-Control private; }"
    start origin taskset -c 1 nginx -e stderr -p "$work/origin" -c "$work/origin/nginx.conf"
    await origin "$origin"

    port_of[shellac]=$(free_port)
    start_shellac "${port_of[shellac]}" "$origin" taskset -c 0
    pid_of[shellac]=$started

    port_of[nginx]=$(free_port)
    write_nginx "$work/proxy" "${port_of[nginx]}" "
        gzip on;
        gzip_comp_level $gzip;
        gzip_min_length 1024;
        gzip_proxied any;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_set_header Accept-Encoding '';
            proxy_cache pages;
            proxy_cache_lock on;
            add_header X-Cache-Status \$upstream_cache_status;
        }" "
    proxy_cache_path $work/proxy/pages levels=1:2 keys_zone=pages:16m use_temp_path=off;
    upstream origin { server 127.0.0.1:$origin; keepalive 64; }"
    start nginx taskset -c 0 nginx -e stderr -p "$work/proxy" -c "$work/proxy/nginx.conf"
    pid_of[nginx]=$started
    await nginx "${port_of[nginx]}"
}

# The settings at the end of Shellac's file.
storage_of() {
    cat <<EOF
[compression]
mode = "on"
encodings = ["br", "gzip", "zstd"]
levels = { br = $br, gzip = $gzip, zstd = $zstd }
[storage.memory]
capacity = "256MiB"
EOF
}

# write_nginx FOLDER PORT SERVER [HTTP]: writes FOLDER/nginx.conf with these lines in its blocks.
write_nginx() {
    local user='' kind paths=''
    [[ $EUID -eq 0 ]] && user='user root;'
    mkdir -p "$1"
    for kind in client_body fastcgi proxy scgi uwsgi; do
        paths+="${kind}_temp_path $1/$kind; "
    done
    cat >"$1/nginx.conf" <<EOF
$user
worker_processes 1;
daemon off;
pid $1/pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    types { text/html html; }
    keepalive_requests 1000000000;
    $paths
    ${4:-}
    server { listen 127.0.0.1:$2; $3 }
}
EOF
}

url() {
    echo "http://127.0.0.1:${port_of[${1%%:*}]}/$2/page.html"
}

# Dies unless the server sends the coding that is asked for, and from its store where it should.
check() {
    local row=$1 kind=$2 coding=${1#*:} fields
    curl -sS -o /dev/null -H "Accept-Encoding: $coding" "$(url "$row" "$kind")"
    fields=$(curl -sS -D - -o "$work/body" -H "Accept-Encoding: $coding" "$(url "$row" "$kind")")
    bytes_of[$row]=$(wc -c <"$work/body")
    if [[ $coding != identity ]] && ! grep -qi "^content-encoding: $coding" <<<"$fields"; then
        die "$row sent no $coding: $fields"
    fi
    if [[ $kind == stored ]] && ! grep -qiE '^(cache-status:.*; hit|x-cache-status: hit)' <<<"$fields"; then
        die "$row did not answer from its store: $fields"
    fi
}

# Prints the microseconds of CPU per request, and requests a second.
measure() {
    local pid=${pid_of[${1%%:*}]} before after requests
    before=$(ticks "$pid")
    requests=$(load "$1" "$2" "$seconds") || exit 1
    after=$(ticks "$pid")
    awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v requests="$requests" -v seconds="$seconds" \
        'BEGIN { printf "%.1f (%.0f requests/s)\n", ticks / hertz * 1e6 / requests, requests / seconds }'
}

# Runs wrk for some seconds and prints how many requests were completed; any error ends the script.
load() {
    local output
    output=$(taskset -c 1 wrk -t1 "-c$connections" "-d${3}s" -H "Accept-Encoding: ${1#*:}" "$(url "$1" "$2")")
    grep -qE 'Non-2xx|Socket errors' <<<"$output" && die "$1: $output"
    awk '/requests in/ { print $1 }' <<<"$output"
}

print_table() {
    local row level
    printf '\nMedian of %s rounds:\n\n| server | coding, level | bytes | µs CPU, stored | µs CPU, not stored |\n|---|---|---|---|---|\n' "$rounds"
    for row in $rows; do
        level=${row#*:}
        printf '| %s | %s %s | %s | %s | %s |\n' "${row%%:*}" "$level" "${!level:-}" "${bytes_of[$row]}" \
            "$(median "${micros[$row-stored]}")" "$(median "${micros[$row-private]}")"
    done
}

main
