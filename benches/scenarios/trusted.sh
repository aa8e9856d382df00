# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# What it costs to know who calls and to tell of it: the same answers from memory with mutual TLS, a
# caller's key, metrics that are scraped, the audit log and 1 % of the requests traced, and with none of
# that. Sourced by scripts/bench.

COLLECTOR="${CARGO_TARGET_DIR:-$ROOT/target}/release/examples/collector"

scenario_trusted() {
    header figure "with all of it" "with none of it" "ratio, median" quartiles failed
    FORM=fixed
    local round seconds case spans
    seconds=$(lasting 5)
    ./scripts/tools certificates >/dev/null
    make-certificates "$WORK"
    start collector "$COLLECTOR" --listen 127.0.0.1:0
    COLLECTOR_PID=$STARTED
    await_log collector 'collector listens on '
    feishu_apart
    serve_bare_of_trust
    serve_trusted
    for case in trusted open; do
        trusted_load "$case" fill stream --identifiers 1000 --batches-in-flight 4 --calls $((WARM_PEOPLE / 1000)) --deadline 120
    done
    for ((round = 0; round < $(rounds); round++)); do
        # Who goes first takes turns.
        if ((round % 2)); then set -- open trusted; else set -- trusted open; fi
        for case in "$@"; do
            trusted_round "$case" "$round" "$seconds"
        done
    done
    stop "$SCRAPER_PID" || true
    trusted_row 1 "calls a second"
    trusted_row 2 "CPU a call, µs"
    trusted_row 3 "p50, ms"
    trusted_row 4 "p99, ms"
    stop "$TRUSTED_PID" || true
    stop "$COLLECTOR_PID" || true
    spans=$(awk -F = '/^SPANS=/ { print $2 }' "$WORK/collector.log")
    say "Everybody asked for is in the cache; unary calls for one person, 64 in flight over 8 connections, for $seconds s; medians and quartiles of $(rounds) rounds, in which who goes first takes turns. The load generator encrypts and sends the key, too, and load, servers and collector share the cores: calls a second hold that cost as well, CPU a call is the server's alone. A scrape each second; the collector got ${spans:-no} spans."
}

# serve_bare_of_trust: a server in plaintext that anybody may call. serve_trusted: one with everything.
# Both ask the simulated Feishu that is there.
serve_bare_of_trust() {
    start open env FEISHU_ID_CACHE__STORE=none "$FEISHU_ID_BIN" --log-level info serve \
        --listen 127.0.0.1:0 --http-listen off
    OPEN_PID=$STARTED
    await_server open
    OPEN=$SERVER
    # Ends with the scenario.
    SERVER_PID=$OPEN_PID
}

serve_trusted() {
    local hash
    "$FEISHU_ID_BIN" keys new bench >"$WORK/bench.key" 2>"$WORK/bench.toml"
    hash=$(sed -n 's/^key_hashes = \["\(.*\)"\]$/\1/p' "$WORK/bench.toml")
    cat >"$WORK/trusted.toml" <<END
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "ca.pem"
[callers.bench]
key_hashes = ["$hash"]
tenants = ["*"]
identifiers_per_second = "off"
[telemetry]
otlp_endpoint = "http://$(awk '/collector listens on / { print $NF }' "$WORK/collector.log")"
trace_sample_ratio = 0.01
END
    start trusted env FEISHU_ID_CACHE__STORE=none "$FEISHU_ID_BIN" --log-level info serve \
        --config "$WORK/trusted.toml" --listen 127.0.0.1:0 --http-listen 127.0.0.1:0
    TRUSTED_PID=$STARTED
    await_server trusted
    TRUSTED=$SERVER
    local metrics
    metrics=$(awk '/^curl http.*\/metrics$/ { print $2 }' "$WORK/trusted.log")
    # Python rather than a loop of curl, whose start would cost more than the scrape.
    start scraper python3 -c '
import sys, time, urllib.request
while True:
    urllib.request.urlopen(sys.argv[1], timeout=5).read()
    time.sleep(1)' "$metrics"
    SCRAPER_PID=$STARTED
}

# trusted_load trusted|open NAME ARGUMENT...: a load on it; `of NAME.WHICH` has its figures.
trusted_load() {
    local which=$1 name=$2
    shift 2
    if [[ $which == open ]]; then
        start "$name.$which" "$LOAD" "$@" --server "http://$OPEN" --format json
    else
        start "$name.$which" "$LOAD" "$@" --server "https://$TRUSTED" --format json --ca-file "$WORK/ca.pem" \
            --certificate "$WORK/client.pem" --key "$WORK/client.key" --api-key-file "$WORK/bench.key"
    fi
    end_load "$name.$which" "$STARTED"
}

# trusted_round trusted|open ROUND SECONDS: one load; adds its figures to those of the others.
trusted_round() {
    local which=$1 pid=$OPEN_PID before
    [[ $which == open ]] || pid=$TRUSTED_PID
    before=$(cpu "$pid")
    trusted_load "$which" turn unary --in-flight 64 --connections 8 --people "zipf:0:$WARM_PEOPLE" --seed "$2" --seconds "$3"
    of "turn.$which" calls_per_second answered latency_ms/p50 latency_ms/p99 failed |
        awk -v ticks="$(($(cpu "$pid") - before))" '{ print $1, ($2 ? ticks * 10000 / $2 : 0), $3, $4, $5 }' >>"$WORK/trusted.$which.figures"
}

# trusted_row COLUMN FIGURE: a figure of both.
trusted_row() {
    local with without ratios
    with=$(awk -v column="$1" '{ print $column }' "$WORK/trusted.trusted.figures")
    without=$(awk -v column="$1" '{ print $column }' "$WORK/trusted.open.figures")
    ratios=$(paste -d ' ' <(echo "$with") <(echo "$without") | awk '$2 > 0 { print $1 / $2 }')
    # shellcheck disable=SC2086 # lists of numbers
    cells "$2" "$(median $with)" "$(median $without)" "$(median $ratios)" "$(quartiles $ratios | tr ' ' '-' | sed 's/-/ to /')" \
        "$(cat "$WORK/trusted.trusted.figures" "$WORK/trusted.open.figures" | awk '{ sum += $5 } END { print sum + 0 }')"
}
