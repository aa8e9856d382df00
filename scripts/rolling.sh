# shellcheck shell=bash
# Two servers on the simulated Feishu that is there, restarted in turn while Google's own client calls
# both. Sourced by scripts/e2e and scripts/bench.

# What callers in Go are told to use.
SERVICE_CONFIG="$ROOT/deploy/client/service-config.json"
# Of the two servers, 0 and 1.
ROLLING_PIDS=()
ROLLING_ADDRESSES=()
# A line for each restart: the exit code, and milliseconds from SIGTERM to the exit.
RESTARTS="$WORK/restarts"

# rolling_serve NUMBER ADDRESS [NAME=VALUE...]: starts one, until it is ready. Each has a data directory of
# its own, and half of what Feishu gives the app.
rolling_serve() {
    local number=$1 name="rolling-$1" address=$2 ready
    shift 2
    start "$name" env FEISHU_ID_DATA__DIR="$WORK/$name" FEISHU_ID_QUOTA__PER_SECOND=25 \
        FEISHU_ID_QUOTA__PER_MINUTE=500 "$@" "$FEISHU_ID_BIN" --log-level warn serve --listen "$address" \
        --http-listen 127.0.0.1:0
    ROLLING_PIDS[number]=$STARTED
    await_server "$name"
    ROLLING_ADDRESSES[number]=$SERVER
    ready=$(awk '/^curl http.*\/metrics$/ { sub(/metrics$/, "readyz", $2); print $2 }' "$WORK/$name.log")
    wait_for 10 "$name ready" curl --silent --fail --max-time 5 "$ready"
}

# rolling_restart NUMBER [NAME=VALUE...]: SIGTERM, and once it has ended, the same again at its address.
rolling_restart() {
    local number=$1 pid=${ROLLING_PIDS[$1]} code=0 polls=1000 began=${EPOCHREALTIME:-$SECONDS}
    shift
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null && ((polls > 0)); do
        sleep 0.02
        polls=$((polls - 1))
    done
    stop "$pid" 1 || code=$?
    awk -v code="$code" -v a="$began" -v b="${EPOCHREALTIME:-$SECONDS}" \
        'BEGIN { printf "%d %.0f\n", code, (b - a) * 1000 }' >>"$RESTARTS"
    rolling_serve "$number" "${ROLLING_ADDRESSES[$number]}" "$@"
}

# rolling NAME RESTARTS PAUSE SERVICE_CONFIG [NAME=VALUE...]: two fresh servers with these settings, a load
# that goes on, and so many restarts, each so many seconds after the last one is ready. The load's report is
# the last line of $WORK/NAME.log; the exit code is the load's.
rolling() {
    local name=$1 count=$2 pause=$3 config=$4 number load code=0
    shift 4
    : >"$RESTARTS"
    rm -rf "$WORK/rolling-0" "$WORK/rolling-1"
    for number in 0 1; do
        rolling_serve "$number" 127.0.0.1:0 "$@"
    done
    start "$name" grpc-go-rolling --servers "${ROLLING_ADDRESSES[0]},${ROLLING_ADDRESSES[1]}" --service-config "$config"
    load=$STARTED
    await_log "$name" "every server answers"
    for ((number = 0; number < count; number++)); do
        rolling_restart "$((number % 2))" "$@"
        sleep "$pause"
    done
    # Longer than the client leaves a server alone that it has found away, so that the last one is called, too.
    sleep 1.5
    stop "$load" || code=$?
    for number in 0 1; do
        stop "${ROLLING_PIDS[$number]}" || true
    done
    return "$code"
}

# ended_well RESTARTS: so many there were, and each server ended with exit code 0.
ended_well() {
    cat "$RESTARTS"
    awk -v wanted="$1" '$1 != 0 { failed = 1 } END { exit failed || NR != wanted }' "$RESTARTS"
}

# without FILE KEY...: the service config of SERVICE_CONFIG without these keys of its method.
without() {
    python3 -c '
import json, sys
config = json.load(open(sys.argv[1]))
for key in sys.argv[3:]:
    del config["methodConfig"][0][key]
json.dump(config, open(sys.argv[2], "w"))' "$SERVICE_CONFIG" "$@"
}
