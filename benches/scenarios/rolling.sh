# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# Two servers restarted in turn while Google's own Go client calls both, round robin. Sourced by
# scripts/bench. Limits of its own: each server ends with exit code 0; no call fails of a client that is set
# up as callers are told, nor of any other that has the time to find the one server before the other goes.

scenario_rolling() {
    local count=${BENCH_RESTARTS:-20}
    header "the client" "between restarts" drain.delay restarts calls failed "longest call, ms" "tried again" \
        "answered by each" "SIGTERM to exit, ms: median, most" verdict
    FORM=fixed
    ./scripts/tools grpc-go >/dev/null
    feishu_apart
    without "$WORK/retries.json" waitForReady
    without "$WORK/neither.json" waitForReady retryPolicy
    rolling_row "tries again, and waits for a server" "$SERVICE_CONFIG" 0 0s none
    rolling_row "tries again, and waits for a server" "$SERVICE_CONFIG" 2 0s none
    local client config
    for client in "tries again=retries" neither=neither; do
        config="$WORK/${client#*=}.json" client=${client%=*}
        rolling_row "$client" "$config" 0 0s some
        rolling_row "$client" "$config" 2 0s none
        rolling_row "$client" "$config" 0 2s none
    done
    say "A grpc-go $(awk '/google.golang.org\/grpc / { print substr($NF, 2); exit }' tests/grpc-go/go.mod) client with the service config of \`deploy/client/service-config.json\` (the first two rows), without its \`waitForReady\`, and without its \`retryPolicy\` too, keeps 64 calls in flight on two servers, each for one of 200 people, every twentieth for somebody new whom Feishu is asked for. A restart is SIGTERM, the end, a start at the same address and 200 from \`/readyz\`; the next one is of the other server. With neither a pause nor a \`drain.delay\` the servers go faster than the client: one that it has found away it leaves alone for a second, by which time the other is away, too, and there is none to call."
}

# rolling_row CLIENT SERVICE_CONFIG PAUSE DELAY none|some: one case; none of its calls may fail, or some may.
rolling_row() {
    local client=$1 config=$2 pause=$3 delay=$4 code=0 verdict=holds failed
    rolling load "$count" "$pause" "$config" "FEISHU_ID_DRAIN__DELAY=$delay" || code=$?
    ((code < 2)) || die "the load ended with exit code $code: $(tail -n 3 "$WORK/load.log")"
    failed=$(figures 'sum(load["errors"].values())')
    if [[ $5 == some ]]; then
        verdict="-"
    elif ((failed > 0)); then
        verdict=fails
    fi
    ended_well "$count" >/dev/null || verdict=fails
    [[ $verdict != fails ]] || VERDICT=fails
    cells "$client" "${pause}s" "$delay" "$(grep -c '^0 ' "$RESTARTS")" "$(of load calls)" \
        "$(figures '", ".join(f"{count} {code}" for code, count in load["errors"].items()) or 0')" \
        "$(of load longest_ms)" "$(figures 'load["attempts"] - load["calls"]')" \
        "$(figures '", ".join(map(str, load["servers"].values()))')" \
        "$(awk '{ print $2 }' "$RESTARTS" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] ", " all[NR] }')" \
        "$verdict"
}

# figures EXPRESSION: of the load's report, in Python.
figures() {
    tail -n 1 "$WORK/load.log" | python3 -c "import json, sys; load = json.load(sys.stdin); print($1)"
}
