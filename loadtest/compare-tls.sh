#!/usr/bin/env bash
# CPU time per memory hit over TLS, with HTTP/1.1 and HTTP/2, and per connection with a full handshake: Shellac, nginx,
# HAProxy and a bare hyper server, side by side.
#
# Servers run on core 0 with one worker, clients on core 1, in turn: A B C A B C ... A round's figure is the processor
# time of the server divided by the requests, or connections, that the client completed. All have the same key and TLS 1.3.
# Usage: compare-tls.sh [--rounds 3] [--seconds 4] [--sizes "1024 16384"] [--key p256|rsa2048]
# [--servers "shellac nginx haproxy bare"] [--connections 32]

# shellcheck source-path=SCRIPTDIR source=stage.sh
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

rounds=3
seconds=4
connections=32
sizes='1024 16384'
key=p256
names='shellac nginx haproxy bare'
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --connections) connections=$2 ;;
        --sizes) sizes=$2 ;;
        --key) key=$2 ;;
        --servers) names=$2 ;;
        *) die "unknown option $1; see the head of this file" ;;
    esac
    shift 2 || die "an option has no value"
done

declare -A port_of pid_of micros

main() {
    (($(nproc) >= 2)) || die "this takes two cores: one for the servers, one for the clients"
    need wrk wrk
    need h2load nghttp2-client
    need curl curl
    need pgrep procps
    prepare_servers
    wants haproxy && need haproxy haproxy
    # shellcheck disable=SC2086 # a list of words
    describe_machine $names wrk rustc
    make_certificate
    start origin taskset -c 1 "$binaries/loadtest" origin --delay 0s --for 30m
    local origin name size
    origin=$(url_of origin)
    for name in $names; do
        [[ $name == bare ]] && continue
        port_of[$name]=$(free_port)
        "start_${name}_tls" "${port_of[$name]}" "${origin##*:}" taskset -c 0
        pid_of[$name]=$started
    done
    wants bare && start_bare --certificate "$work/certificate.pem" --key "$work/key.pem"
    echo && cat "$work/commands"
    for size in $sizes; do
        for name in $names; do
            check "$name" "$size"
        done
        compare http1 "$size"
        compare http2 "$size"
    done
    compare handshake 1024
    # Each server has asked for each page once or a few times, or it did not answer from its memory.
    local asked
    asked=$(curl -sSf "$origin/stats" | sed -n 's/.*"requests":\([0-9]*\).*/\1/p')
    ((asked <= 100)) || die "the servers sent $asked requests to the origin: not all of these were hits"
    print_table
}

make_certificate() {
    local kind=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1)
    [[ $key == rsa2048 ]] && kind=(-newkey rsa:2048)
    openssl req -x509 -nodes "${kind[@]}" -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/key.pem" -out "$work/certificate.pem" 2>"$work/openssl.log" || { cat "$work/openssl.log" >&2 && return 1; }
    cat "$work/certificate.pem" "$work/key.pem" >"$work/both.pem"
}

start_shellac_tls() {
    local port=$1 origin=$2
    shift 2
    cat >"$work/shellac.toml" <<EOF
workers = 1
[[listen]]
address = "127.0.0.1:$port"
[listen.tls]
certificate = "$work/certificate.pem"
key = "$work/key.pem"
[admin]
listen = ["127.0.0.1:0"]
[origin.app]
servers = ["127.0.0.1:$origin"]
EOF
    start shellac "$@" "$binaries/shellac" run --config "$work/shellac.toml"
    await shellac "$port"
}

start_nginx_tls() {
    local port=$1 origin=$2 user=''
    shift 2
    pages_on_tmpfs=$(mktemp -d -p /dev/shm shellac-nginx.XXXXXX)
    mkdir "$work/nginx"
    [[ $EUID -eq 0 ]] && user='user root;'
    cat >"$work/nginx.conf" <<EOF
$user
worker_processes 1;
daemon off;
pid $work/nginx/pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
    access_log off;
    sendfile on;
    keepalive_timeout 60s;
    keepalive_requests 1000000000;
    open_file_cache max=10000 inactive=60s;
    proxy_temp_path $work/nginx/proxy;
    client_body_temp_path $work/nginx/client;
    fastcgi_temp_path $work/nginx/fastcgi;
    scgi_temp_path $work/nginx/scgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    proxy_cache_path $pages_on_tmpfs levels=1:2 keys_zone=pages:64m max_size=1g inactive=1h use_temp_path=off;
    ssl_certificate $work/certificate.pem;
    ssl_certificate_key $work/key.pem;
    ssl_session_cache shared:SSL:10m;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen 127.0.0.1:$port ssl http2;
        location / {
            proxy_pass http://127.0.0.1:$origin;
            proxy_cache pages;
            proxy_cache_lock on;
        }
    }
}
EOF
    start nginx "$@" nginx -e stderr -p "$work/nginx" -c "$work/nginx.conf"
    await nginx "$port"
}

start_haproxy_tls() {
    local port=$1 origin=$2
    shift 2
    cat >"$work/haproxy.cfg" <<EOF
global
    nbthread 1
    maxconn 8192
    tune.ssl.default-dh-param 2048
cache pages
    total-max-size 256
    max-object-size 10000000
    max-age 3600
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:$port ssl crt $work/both.pem alpn h2,http/1.1
    http-request cache-use pages
    http-response cache-store pages
    default_backend app
backend app
    server a 127.0.0.1:$origin
EOF
    start haproxy "$@" haproxy -f "$work/haproxy.cfg"
    await haproxy "$port"
}

url() {
    echo "https://localhost:${port_of[$(filed "$1" "$2")]}/size/$2"
}

# Dies unless the server answers from its memory over both protocols, with the whole body, and has TLS 1.3.
check() {
    local version url length protocol
    url=$(url "$1" "$2")
    for version in 1.1 2; do
        curl -sSk "--http$version" -o /dev/null "$url"
        read -r length protocol < <(curl -sSk "--http$version" -o "$work/body" -w '%{size_download} %{http_version}\n' "$url")
        [[ $length -eq $2 ]] || die "$1 sent $length bytes instead of $2"
        [[ $protocol == "$version" ]] || die "$1 spoke HTTP/$protocol instead of $version"
    done
    openssl s_client -connect "127.0.0.1:${port_of[$(filed "$1" "$2")]}" -servername localhost </dev/null 2>/dev/null |
        grep -q 'TLSv1.3' || die "$1 does not speak TLS 1.3"
}

compare() {
    local name round result
    for name in $names; do
        "load_$1" "$name" "$2" 1 >/dev/null
    done
    echo
    for ((round = 1; round <= rounds; round++)); do
        for name in $names; do
            result=$(measure "$1" "$name" "$2")
            micros[$name-$1-$2]+="${result%% *} "
            printf 'round %s  %-8s %-9s %6s bytes  %7s µs CPU  %s\n' "$round" "$name" "$1" "$2" "${result%% *}" "${result#* }"
        done
    done
}

measure() {
    local before after requests
    local pid=${pid_of[$(filed "$2" "$3")]}
    before=$(ticks "$pid")
    requests=$("load_$1" "$2" "$3" "$seconds")
    after=$(ticks "$pid")
    awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v requests="$requests" -v seconds="$seconds" \
        'BEGIN { printf "%.2f (%d, %d a second, %.2f s CPU)\n", ticks / hertz * 1e6 / requests, requests, requests / seconds, ticks / hertz }'
}

# Each prints how many requests were completed; any error ends the script.
load_http1() {
    wrk_load "$@"
}

# A connection for each request, without resumption.
load_handshake() {
    wrk_load "$@" -H 'Connection: close'
}

wrk_load() {
    local name=$1 size=$2 span=$3 output
    shift 3
    output=$(taskset -c 1 wrk -t1 "-c$connections" "-d${span}s" "$@" "$(url "$name" "$size")")
    grep -qE 'Non-2xx|Socket errors: connect [1-9]' <<<"$output" && die "$name: $output"
    awk '/requests in/ { print $1 }' <<<"$output"
}

load_http2() {
    local output
    output=$(taskset -c 1 h2load -t1 "-c$connections" -m8 -D "$3" "$(url "$1" "$2")")
    grep -qE 'requests: .* 0 failed, 0 errored' <<<"$output" || die "$1: $output"
    awk '/^requests:/ { print $8 }' <<<"$output"
}

print_table() {
    local kind name size better
    printf '\nCPU in µs per hit, or per connection with a full handshake and a hit (%s); median of %s rounds:\n\n' "$key" "$rounds"
    echo '| kind | bytes | server | µs CPU | ÷ nginx | ÷ haproxy | ÷ bare |'
    echo '|---|---|---|---|---|---|---|'
    for kind in http1 http2 handshake; do
        for size in $sizes; do
            [[ $kind == handshake && $size != 1024 ]] && continue
            for name in $names; do
                better=$(median "${micros[$name-$kind-$size]}")
                printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$kind" "$size" "$name" "$better" \
                    "$(ratio "$better" "$(median "${micros[nginx-$kind-$size]:-0}")")" \
                    "$(ratio "$better" "$(median "${micros[haproxy-$kind-$size]:-0}")")" \
                    "$(ratio "$better" "$(median "${micros[bare-$kind-$size]:-0}")")"
            done
        done
    done
}

main
