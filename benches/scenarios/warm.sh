# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# What an answer costs that needs no Feishu, side by side with the least that it can cost: on the same
# cores, in turns, by our own load generator. The service runs as it does by default, with its metrics
# and logging what is worth telling.

# People who are there in all servers, all in the cache.
WARM_PEOPLE=10000

scenario_warm() {
    header load figure feishu-id "bare server" "ratio, median" quartiles failed
    FORM=fixed
    local round seconds case
    seconds=$(lasting 5)
    serve_warm
    serve_bare raw
    # A second one, for what the comparison itself is worth: both are the same.
    serve_bare again
    for ((round = 0; round < $(rounds); round++)); do
        for case in $(warm_cases); do
            # Who goes first takes turns, too. In the middle, raw is right beside both that it is
            # compared with.
            if ((round % 2)); then
                warm_turns "$case" "$round" "$seconds" again raw service
            else
                warm_turns "$case" "$round" "$seconds" service raw again
            fi
        done
    done
    warm_row unary-1 service 3 "CPU a call, µs"
    warm_row unary-1 service 1 "calls a second"
    warm_row unary-1 service 2 "p99, ms"
    warm_row alone-1 service 4 "p50, ms"
    warm_row alone-1 service 2 "p99, ms"
    warm_row alone-1 service 3 "CPU a call, µs"
    warm_row unary-100 service 3 "CPU a call, µs"
    warm_row unary-100 service 5 "identifiers a second"
    warm_row stream-100 service 3 "CPU a call, µs"
    warm_row stream-100 service 5 "identifiers a second"
    warm_row stream-1 service 3 "CPU a call, µs"
    warm_row stream-1 service 1 "calls a second"
    warm_row unary-1 again 3 "CPU a call, µs"
    warm_row unary-1 again 1 "calls a second"
    warm_row unary-1 again 2 "p99, ms"
    warm_row alone-1 again 4 "p50, ms"
    warm_row alone-1 again 2 "p99, ms"
    say "Everybody asked for is in the cache; metrics on, log level info, as by default. 64 calls in flight over 8 connections (\`unary\`), 8 batches on each of 8 streams (\`stream\`), or one call at a time (\`alone\`), for $seconds s. The ratio is that of two loads right after one another, against the bare tonic server of benches/raw, which looks names up in a map; medians and quartiles of $(rounds) rounds, in which who goes first takes turns. Load and servers share the cores. The noise is what the same protocol says of two of these bare servers: no difference within its quartiles means anything."
    warm_plot
    SERVER=$SERVICE
    stop "$RAW_PID" || true
    stop "$AGAIN_PID" || true
}

rounds() {
    echo "${ROUNDS:-9}"
}

# serve_warm: the service, with everybody in its cache; sets SERVICE.
serve_warm() {
    LOG_LEVEL=info
    serve
    LOG_LEVEL=warn
    # Two minutes' worth of quota at most, so that it holds without packing, too.
    load fill stream --identifiers 1000 --batches-in-flight 4 --calls $((WARM_PEOPLE / 1000)) --deadline 120
    [[ $(of fill identifiers_answered) == "$WARM_PEOPLE" ]] || say "Only $(of fill identifiers_answered) of $WARM_PEOPLE people could be looked up beforehand."
    SERVICE=$SERVER
}

# serve_bare raw|again: a bare server; sets RAW and RAW_PID, or AGAIN and AGAIN_PID.
serve_bare() {
    local address
    start "bare.$1" "$RAW_SERVER" --listen 127.0.0.1:0 --people "$WARM_PEOPLE"
    await_log "bare.$1" 'raw-server listens on '
    address=$(awk '/raw-server listens on / { print $NF; exit }' "$WORK/bare.$1.log")
    if [[ $1 == raw ]]; then RAW=$address RAW_PID=$STARTED; else AGAIN=$address AGAIN_PID=$STARTED; fi
}

warm_cases() {
    echo unary-1 alone-1 unary-100 stream-100 stream-1
}

# warm_turns CASE ROUND SECONDS WHO...: the load on each of them. Two bare servers are compared only
# where the table says so.
warm_turns() {
    local case=$1 round=$2 seconds=$3 who
    shift 3
    for who in "$@"; do
        [[ $who == again && $case != unary-1 && $case != alone-1 ]] || warm_load "$who" "$case" "$round" "$seconds"
    done
}

# warm_load service|raw|again CASE ROUND SECONDS: one load; adds its figures to those of the others.
warm_load() {
    local which=$1 case=$2 name="warm.$1.$2" before pid
    case "$which" in
        service) SERVER=$SERVICE pid=$SERVER_PID ;;
        raw) SERVER=$RAW pid=$RAW_PID ;;
        again) SERVER=$AGAIN pid=$AGAIN_PID ;;
    esac
    before=$(cpu "$pid")
    # shellcheck disable=SC2046 # options
    load "$name" $(warm_how "$case") --people "zipf:0:$WARM_PEOPLE" --seed "$3" --seconds "$4"
    of "$name" calls_per_second latency_ms/p99 answered latency_ms/p50 identifiers_per_second failed |
        awk -v ticks="$(($(cpu "$pid") - before))" '{ print $1, $2, ($3 ? ticks * 10000 / $3 : 0), $4, $5, $6 }' >>"$WORK/$name.figures"
}

# warm_how CASE: what the load generator is told.
warm_how() {
    case "$1" in
        unary-*) echo unary --in-flight 64 --connections 8 --identifiers "${1#*-}" ;;
        stream-*) echo stream --batches-in-flight 8 --connections 8 --identifiers "${1#*-}" ;;
        alone-*) echo unary --in-flight 1 --identifiers "${1#*-}" ;;
    esac
}

# figures WHO CASE COLUMN: one number a round.
figures() {
    awk -v column="$3" '{ print $column == "-" ? 0 : $column }' "$WORK/warm.$1.$2.figures"
}

# warm_row CASE WHO COLUMN FIGURE: a figure of it, beside that of the first bare server.
warm_row() {
    local own bare ratios load="${1%-*}, ${1#*-} a call"
    # shellcheck disable=SC2046 # lists of numbers
    own=$(median $(figures "$2" "$1" "$3")) bare=$(median $(figures raw "$1" "$3"))
    ratios=$(paste -d ' ' <(figures "$2" "$1" "$3") <(figures raw "$1" "$3") | awk '$2 > 0 { print $1 / $2 }')
    [[ $2 == service ]] || load="noise: a bare server for feishu-id, $load"
    # shellcheck disable=SC2086 # lists of numbers
    cells "$load" "$4" "$own" "$bare" "$(median $ratios)" "$(quartiles $ratios | tr ' ' '-' | sed 's/-/ to /')" \
        "$(awk '{ sum += $6 } END { print sum }' "$WORK/warm.$2.$1.figures")"
    [[ $4 != CPU* || $2 != service ]] || printf '%s %s %s\n' "$1" "$own" "$bare" >>"$WORK/warm.rows"
}

warm_plot() {
    drawing warm "Processor time a call, µs: feishu-id and a bare tonic server" --bars "$WORK/warm.rows"
}
