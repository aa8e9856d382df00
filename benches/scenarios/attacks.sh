# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# What clients that mean no good cost the server, and those who share it with them: one attacking
# connection of each kind, connections on which nothing happens, and streams whose client takes no answer.
# The attacker (benches/attack) is a process of its own. Sourced by scripts/bench.

ATTACK="${CARGO_TARGET_DIR:-$ROOT/target}/release/examples/attack"
# What is known to everybody before an attack begins.
ATTACK_PEOPLE=1000
# The limits: memory over what it was, and how much later a good client's answers may come.
ATTACK_MB=20
ATTACK_RATIO=3

scenario_attacks() {
    header attack "connections made" "sent, MB" "memory over, MB" "p99 before, ms" "p99 during, ms" "ratio" "good client's failures" turn
    local kind seconds
    seconds=$(lasting 5)
    for kind in ${ATTACK_KINDS:-$("$ATTACK" kinds)}; do
        one_attack "$kind" "$seconds"
    done
    say "A server of its own for each, with its default limits and $ATTACK_PEOPLE people in the cache. The good client asks for one of them 500 times a second, over 4 connections: for $seconds s alone, then beside the attacker, who comes half a second later, for $seconds s, and connects anew whenever the server ends the connection. Memory over: the most there was during the attack, over what there was before. Limits: $ATTACK_MB MB, $ATTACK_RATIO x, no failure."
}

# one_attack KIND SECONDS: a row.
one_attack() {
    local kind=$1 seconds=$2 before over ratio turn=holds
    FORM=fixed
    # shellcheck disable=SC2086 # two settings
    serve_apart_without_data $WIDE
    load fill stream --identifiers 500 --calls $((ATTACK_PEOPLE / 500)) --deadline 60
    good_client before "$seconds"
    before=$(rss "$SERVER_PID")
    forget_peak "$SERVER_PID"
    begin_good_client during $((seconds + 1))
    local good=$STARTED
    sleep 0.5
    start siege "$ATTACK" siege "$kind" --server "$SERVER" --seconds "$seconds"
    end_load siege "$STARTED"
    end_load during "$good"
    over=$(($(rss_peak "$SERVER_PID") - before))
    ratio=$(ratio "$(of during latency_ms/p99)" "$(of before latency_ms/p99)")
    limits "$over <= $ATTACK_MB && $ratio <= $ATTACK_RATIO && $(of during failed) == 0" || turn=fails
    cells "\`$kind\`" "$(of siege connections)" "$(awk -v bytes="$(of siege sent_bytes)" 'BEGIN { printf "%.1f", bytes / 1e6 }')" \
        "$over" "$(of before latency_ms/p99)" "$(of during latency_ms/p99)" "$ratio" "$(troubles during)" "$turn"
}

good_client() {
    begin_good_client "$@"
    end_load "$1" "$STARTED"
}

begin_good_client() {
    begin_load "$1" unary --rate 500 --connections 4 --people "zipf:0:$ATTACK_PEOPLE" --seconds "$2"
}

# limits EXPRESSION: whether it is true; the verdict of the run if not.
limits() {
    awk "BEGIN { exit !($1) }" || {
        VERDICT=fails
        return 1
    }
}

# forget_peak PID: `rss_peak` counts from here on.
forget_peak() {
    echo 5 >"/proc/$1/clear_refs"
}

# --- Connections on which nothing happens ------------------------------------------------------

IDLE_CONNECTIONS="${BENCH_CONNECTIONS:-10000}"

scenario_idle() {
    header connections "opened in, s" "memory before, MB" "with them, MB" "kB each" "after, MB" "descriptors before, with, after" "ended by the server" turn
    ./scripts/tools certificates >/dev/null
    make-certificates "$WORK"
    idle_connections plain 40
    idle_connections TLS -
    say "$IDLE_CONNECTIONS connections of another process, over each of which nothing but HTTP/2's settings has gone, held for $(lasting 5) s. Limits: 40 kB each in plaintext; descriptors return to where they were."
}

# idle_connections plain|TLS LIMIT: a row; LIMIT is of kB each, or a dash.
idle_connections() {
    local kind=$1 limit=$2 began=$EPOCHREALTIME opened before with descriptors kb turn=holds trust=()
    set -- FEISHU_ID_GRPC__MAX_CONNECTIONS=$((IDLE_CONNECTIONS + 100)) \
        FEISHU_ID_GRPC__MAX_CONNECTIONS_PER_PEER=$((IDLE_CONNECTIONS + 100))
    if [[ $kind == TLS ]]; then
        set -- "$@" FEISHU_ID_TLS__CERTIFICATE="$WORK/server.pem" FEISHU_ID_TLS__KEY="$WORK/server.key"
        trust=(--ca-file "$WORK/ca.pem")
    fi
    serve_apart_without_data "$@"
    sleep 1
    before=$(rss_kb "$SERVER_PID") descriptors=$(descriptors)
    began=$EPOCHREALTIME
    start idle "$ATTACK" idle --connections "$IDLE_CONNECTIONS" --server "$SERVER" --seconds "$(lasting 5)" "${trust[@]}"
    local idle=$STARTED
    wait_for 120 "$IDLE_CONNECTIONS connections" grep -q '^opened' "$WORK/idle.log"
    opened=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    sleep 2
    with=$(rss_kb "$SERVER_PID") descriptors="$descriptors, $(descriptors)"
    end_load idle "$idle"
    wait_for 10 "the descriptors of before" has_descriptors "${descriptors%%,*}" || turn=fails
    sleep 1
    kb=$(awk -v a="$before" -v b="$with" -v n="$IDLE_CONNECTIONS" 'BEGIN { printf "%.1f", (b - a) * 1.024 / n }')
    limits "$(descriptors) <= ${descriptors%%,*} && $(of idle ended_by_server) == 0" || turn=fails
    [[ $limit == - ]] || limits "$kb <= $limit" || turn=fails
    cells "$IDLE_CONNECTIONS $kind" "$opened" $((before / 1000)) $((with / 1000)) "$kb" "$(rss "$SERVER_PID")" \
        "$descriptors, $(descriptors)" "$(of idle ended_by_server)" "$turn"
}

# has_descriptors N: whether the server has at most so many.
has_descriptors() {
    (($(descriptors) <= $1))
}

# descriptors: how many the server has open.
descriptors() {
    find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l
}

# --- Streams whose client takes no answer ------------------------------------------------------

STALLED_STREAMS=100

scenario_stalled() {
    header "$STALLED_STREAMS streams ask for" "batches sent" "memory before, MB" "most, MB" "MB a stream" "p99 of a good client before, ms" "during, ms" "after, MB" turn
    stalled_streams "malformed people, answered at once" ""
    stalled_streams "people to look up" --unknown
    say "Batches of 1,000, 10 streams on a connection, for $(lasting 60) s; the client grants no window for answers and sends as long as it is let. The cache holds 5,000 people, so that what grows is not the cache. Limit: 1 MB a stream."
}

# stalled_streams WHAT [--unknown]: a row.
stalled_streams() {
    local what=$1 before most turn=holds
    serve_apart_without_data FEISHU_ID_CACHE__CAPACITY=5000
    load fill stream --identifiers 500 --calls $((ATTACK_PEOPLE / 500)) --deadline 60
    good_client before 5
    before=$(rss "$SERVER_PID")
    forget_peak "$SERVER_PID"
    # shellcheck disable=SC2086 # an option, or none
    start stalled "$ATTACK" stalled --streams "$STALLED_STREAMS" $2 --server "$SERVER" --seconds "$(lasting 60)"
    local stalled=$STARTED
    good_client during "$(lasting 55)"
    end_load stalled "$stalled"
    most=$(rss_peak "$SERVER_PID")
    sleep 2
    limits "$most - $before <= $STALLED_STREAMS" || turn=fails
    cells "$what" "$(of stalled batches_sent)" "$before" "$most" \
        "$(awk -v over=$((most - before)) -v n="$STALLED_STREAMS" 'BEGIN { printf "%.2f", over / n }')" \
        "$(of before latency_ms/p99)" "$(of during latency_ms/p99)" "$(rss "$SERVER_PID")" "$turn"
}
