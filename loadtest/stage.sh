# shellcheck shell=bash
# Sourced by the scripts beside it: a temporary directory, servers on free loopback ports, and an end to all of it.
#
# Every server runs under `timeout`, so that it stops by itself even if the script is killed; the trap stops it sooner.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
binaries=${BINARIES:-${CARGO_TARGET_DIR:-$root/target}/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/shellac-loadtest.XXXXXX")
pages_on_tmpfs=
readonly server_seconds_max=1800
servers=()
# Commands that undo what else a script has done, and the control groups that `start` puts servers into: see groups.sh.
at_end=()
group_of_starts=()

clean_up() {
    local status=$? pid command
    trap - EXIT INT TERM
    for pid in "${servers[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    # `timeout` passes the signal on twice, and a server that is told twice may abort: bash would say so.
    { wait || true; } 2>/dev/null
    for command in "${at_end[@]}"; do
        "$command" || true
    done
    rm -rf "$work" ${pages_on_tmpfs:+"$pages_on_tmpfs"}
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

note() {
    printf '%s\n' "$*" >&2
}

die() {
    note "error: $*"
    exit 1
}

# Prints a command line, then runs it.
run() {
    printf '$' && printf ' %q' "$@" && printf '\n'
    "$@"
}

# Prints what a result depends on: processor, kernel and versions.
describe_machine() {
    local program
    printf 'machine   %s, %s cores, Linux %s\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)"
    for program in "$@"; do
        printf '%-9s %s\n' "$program" "$(version_of "$program")"
    done
}

version_of() {
    # Some print to stderr, some fail after printing: only the text counts.
    case $1 in
        varnish) varnishd -V 2>&1 | head -n 1 ;;
        nginx) nginx -v 2>&1 ;;
        wrk) wrk -v 2>&1 | head -n 1 ;;
        node) node --version ;;
        oha) oha --version ;;
        rustc) rustc --version ;;
        shellac | bare | before) program_version "$1" ;;
    esac || true
}

program_version() {
    local binary=$binaries/shellac
    [[ $1 == bare ]] && binary=$binaries/loadtest
    # shellcheck disable=SC2154 # an option of the sourcing script
    [[ $1 == before ]] && binary=$before
    [[ -x $binary ]] && "$binary" --version
}

# Builds a release binary unless it is there: build PACKAGE BINARY.
build() {
    [[ -x $binaries/$2 ]] && return
    (cd "$root" && run cargo build --release -p "$1") >&2
}

# Whether $names, the servers that a script was asked for, hold NAME: wants NAME.
wants() {
    [[ " $names " == *" $1 "* ]]
}

# Builds and installs what the servers in $names take.
prepare_servers() {
    build loadtest loadtest
    wants varnish && need varnishd varnish
    wants nginx && need nginx nginx-light
    if wants shellac && ! build shellac shellac; then
        note "notice: shellac does not build; going on without it"
        names=${names//shellac/}
    fi
}

# Starts a bare server for each of $sizes, as it has one body: start_bare [OPTION ...]. Those that wait take no processor time.
start_bare() {
    local size
    for size in $sizes; do
        start "bare-$size" taskset -c 0 "$binaries/loadtest" bare --size "${size}B" --for 30m "$@"
        pid_of[bare-$size]=$started
        port_of[bare-$size]=$(url_of "bare-$size")
        port_of[bare-$size]=${port_of[bare-$size]##*:}
    done
}

# Prints under which name a server is filed: bare servers go by size.
filed() {
    if [[ $1 == bare ]]; then echo "bare-$2"; else echo "$1"; fi
}

# Prints the median of a list of numbers, the lower one of two: median "NUMBERS".
median() {
    # shellcheck disable=SC2086 # a list of numbers
    printf '%s\n' $1 | sort -g | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

# Prints TOTAL / COUNT in UNIT: per TOTAL COUNT UNIT.
per() {
    awk -v total="$1" -v count="$2" -v unit="$3" 'BEGIN { printf "%.1f", total / count / unit }'
}

# Prints A / B with two digits: ratio A B.
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'
}

# Prints count, p50, p99, p99.9 and maximum (µs) of the hits in a report of loadtest's --json: hit_latencies FILE.
hit_latencies() {
    sed -nE 's/.*"hit":\{"count":([0-9]+),"p50_us":([0-9]+),"p90_us":[0-9]+,"p99_us":([0-9]+),"p999_us":([0-9]+),"max_us":([0-9]+)\}.*/\1 \2 \3 \4 \5/p' "$1"
}

# Prints the clock ticks that all descendants of a process have used so far.
ticks() {
    local child sum=0 fields
    for child in $(pgrep -P "$1"); do
        # The name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it.
        fields=$(</proc/"$child"/stat)
        # shellcheck disable=SC2086 # split into fields
        set -- ${fields##*) }
        sum=$((sum + ${12} + ${13} + $(ticks "$child")))
    done
    echo "$sum"
}

# Installs Debian packages for missing programs: need PROGRAM PACKAGE.
need() {
    command -v "$1" >/dev/null && return
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        die "$1 is missing. On Debian, as root: apt-get install -y $2"
    fi
    run apt-get update -qq >&2
    run apt-get install -y -qq --no-install-recommends "$2" >&2
}

is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)) && is_open "$port"; do :; done
    echo "$port"
}

# Starts a server in the background: start NAME COMMAND... Its pid goes to $started, its output to $work/NAME.log.
start() {
    local name=$1
    shift
    printf '$' >>"$work/commands" && printf ' %q' "$@" >>"$work/commands" && echo >>"$work/commands"
    : >"$work/$name.log"
    (
        for group in "${group_of_starts[@]}"; do
            echo "$BASHPID" >"$group/cgroup.procs"
        done
        exec timeout "$server_seconds_max" "$@"
    ) >"$work/$name.log" 2>&1 </dev/null &
    started=$!
    servers+=("$started")
}

# Waits for NAME to listen on PORT: await NAME PORT.
await() {
    local _
    for _ in {1..200}; do
        is_open "$2" && return
        kill -0 "$started" 2>/dev/null || break
        sleep 0.05
    done
    cat "$work/$1.log" >&2
    die "$1 does not listen on port $2"
}

# Waits for NAME to print its URL, and prints it: url_of NAME.
url_of() {
    local _ url
    for _ in {1..400}; do
        url=$(sed -n 's/^listening on \(http[^ ]*\).*/\1/p' "$work/$1.log")
        [[ -n $url ]] && echo "$url" && return
        sleep 0.05
    done
    cat "$work/$1.log" >&2
    die "$1 did not start"
}

# The proxies. Each takes PORT and the port of its ORIGIN, and a prefix such as `taskset -c 0` may follow.

start_shellac() {
    serve_shellac shellac "$binaries/shellac" "$@"
}

# Another build of it, for comparison: the binary in $before.
start_before() {
    serve_shellac before "$before" "$@"
}

serve_shellac() {
    local name=$1 binary=$2 port=$3 origin=$4
    shift 4
    # One worker: the peers get one core as well. Metrics and purges on any free port.
    cat >"$work/$name.toml" <<EOF
workers = 1

[[listen]]
address = "127.0.0.1:$port"

[admin]
listen = ["127.0.0.1:0"]

[origin.app]
servers = ["127.0.0.1:$origin"]

$(storage_of "$name")
EOF
    start "$name" "$@" "$binary" run --config "$work/$name.toml"
    await "$name" "$port"
}

# Where a proxy keeps what it stores: in "memory"; in a "file", with little memory before it; or "tiered": small
# responses in memory and large ones in a file.
store=memory
storage_of() {
    case $store in
        memory) printf '[storage.memory]\ncapacity = "512MiB"\n' && return ;;
        file) printf '[storage]\nkind = "file"\n[storage.memory]\ncapacity = "16MiB"\n' ;;
        tiered) printf '[storage]\nkind = "tiered"\n[storage.memory]\ncapacity = "64MiB"\nmax_object = "64KiB"\n' ;;
    esac
    printf '[storage.file]\npath = "%s"\ncapacity = "%s"\nmax_object = "64MiB"\n' "$work/$1-store" "$file_capacity"
}
file_capacity=4GiB

start_varnish() {
    local port=$1 origin=$2 backend
    shift 2
    backend=(-b "127.0.0.1:$origin")
    if [[ $store == tiered ]]; then
        varnish_vcl "$origin" >"$work/varnish.vcl"
        backend=(-f "$work/varnish.vcl")
    fi
    local file=file,$work/varnish-store,${file_capacity%iB}
    case $store in
        memory) backend+=(-s 'malloc,512m') ;;
        file) backend+=(-s "$file") ;;
        tiered) backend+=(-s 'malloc,64m' -s "large=$file") ;;
    esac
    # Default parameters, the built-in VCL unless there are two stores; no jail, so that it works with and without root.
    start varnish "$@" varnishd -F -j none -n "$work/varnish" -T none -a "127.0.0.1:$port" "${backend[@]}"
    await varnish "$port"
}

# Large responses go to the file, as with Shellac's memory.max_object.
varnish_vcl() {
    cat <<EOF
vcl 4.1;
import std;
backend origin { .host = "127.0.0.1"; .port = "$1"; }
sub vcl_backend_response {
    if (std.integer(beresp.http.Content-Length, 0) > 65536) {
        set beresp.storage = storage.large;
    }
}
EOF
}

start_nginx() {
    local port=$1 origin=$2 user='' pages=$work/nginx-store
    shift 2
    if [[ $store == memory && -w /dev/shm ]]; then
        pages_on_tmpfs=$(mktemp -d -p /dev/shm shellac-nginx.XXXXXX)
        pages=$pages_on_tmpfs
    fi
    mkdir "$work/nginx" "$work/nginx-store"
    [[ $EUID -eq 0 ]] && user='user root;'
    # No tcp_nopush: over loopback it waits for delayed acknowledgements, 40 ms for 100 KiB.
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
    open_file_cache_valid 60s;
    client_body_temp_path $work/nginx/client;
    fastcgi_temp_path $work/nginx/fastcgi;
    proxy_temp_path $work/nginx/proxy;
    scgi_temp_path $work/nginx/scgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    proxy_cache_path $pages levels=1:2 keys_zone=pages:64m max_size=${file_capacity%iB} inactive=1h use_temp_path=off;
    upstream origin { server 127.0.0.1:$origin; keepalive 64; }
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache pages;
            proxy_cache_lock on;
            add_header X-Cache-Status \$upstream_cache_status;
        }
    }
}
EOF
    start nginx "$@" nginx -e stderr -p "$work/nginx" -c "$work/nginx.conf"
    await nginx "$port"
}

# The Next.js site; sets $renderer to its URL.
start_renderer() {
    command -v node >/dev/null || die "node is missing; the renderer needs Node 20.11 or newer"
    (
        cd "$here/renderer"
        [[ -d node_modules/next ]] || run npm ci --no-audit --no-fund
        [[ -f .next/BUILD_ID ]] || run npm run build
    ) >"$work/renderer-build.log" 2>&1 || { cat "$work/renderer-build.log" >&2 && die "cannot build the renderer"; }
    start renderer env HOST=127.0.0.1 PORT=0 node "$here/renderer/server.mjs"
    # shellcheck disable=SC2034 # the sourcing script's
    renderer=$(url_of renderer)
}
