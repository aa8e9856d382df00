# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# What an answer costs that needs no Feishu, side by side with the least that it can cost.

# People who are there in both servers, all in the cache.
WARM_PEOPLE=10000

scenario_warm() {
    header load "a second" "raw" "ratio" "CPU a call, µs" "raw" "ratio" "p99, ms" "raw" failed target
    FORM=fixed
    local round seconds case name
    seconds=$(lasting 5)
    serve
    # All in the cache: two minutes' worth of quota at most, so that it holds without packing, too.
    load fill stream --identifiers 1000 --batches-in-flight 4 --calls $((WARM_PEOPLE / 1000)) --deadline 120
    [[ $(of fill identifiers_answered) == "$WARM_PEOPLE" ]] || say "Only $(of fill identifiers_answered) of $WARM_PEOPLE people could be looked up beforehand."
    start raw "$RAW_SERVER" --listen 127.0.0.1:0 --people "$WARM_PEOPLE"
    RAW_PID=$STARTED
    await_log raw 'raw-server listens on '
    SERVICE=$SERVER
    RAW=$(awk '/raw-server listens on / { print $NF; exit }' "$WORK/raw.log")
    for ((round = 0; round < ${ROUNDS:-5}; round++)); do
        for case in $(warm_cases); do
            # Who goes first takes turns, too.
            if ((round % 2)); then
                warm_load raw "$case" "$round" "$seconds"
                warm_load service "$case" "$round" "$seconds"
            else
                warm_load service "$case" "$round" "$seconds"
                warm_load raw "$case" "$round" "$seconds"
            fi
        done
    done
    for case in $(warm_cases); do
        warm_row "$case"
    done
    say "Everybody asked for is in the cache. 64 calls in flight over 8 connections, or 8 batches on each of 8 streams, or one call at a time; medians of ${ROUNDS:-5} rounds of $seconds s, taking turns with the bare tonic server of benches/raw, which looks names up in a map. Load and server share the cores. Nothing under 10 % means anything."
    warm_plot
    SERVER=$SERVICE
    stop "$RAW_PID" || true
}

warm_cases() {
    echo unary-1 unary-100 stream-1 stream-100 alone-1
}

# warm_load service|raw CASE ROUND SECONDS: one load; adds its figures to those of the others.
warm_load() {
    local which=$1 case=$2 name="warm.$1.$2" before pid kind how
    SERVER=$SERVICE pid=$SERVER_PID
    [[ $which == service ]] || SERVER=$RAW pid=$RAW_PID
    case "$case" in
        unary-*) kind=unary how="--in-flight 64 --connections 8" ;;
        stream-*) kind=stream how="--batches-in-flight 8 --connections 8" ;;
        alone-*) kind=unary how="--in-flight 1" ;;
    esac
    before=$(cpu "$pid")
    # shellcheck disable=SC2086 # options
    load "$name" "$kind" $how --identifiers "${case#*-}" --people "zipf:0:$WARM_PEOPLE" --seed "$3" --seconds "$4"
    of "$name" calls_per_second latency_ms/p99 answered failed | awk -v ticks="$(($(cpu "$pid") - before))" \
        '{ print $1, $2, ($3 ? ticks * 10000 / $3 : 0), $4 }' >>"$WORK/$name.figures"
}

# figure service|raw CASE COLUMN: the median over the rounds.
figure() {
    # shellcheck disable=SC2046 # a list of numbers
    median $(awk -v column="$3" '{ print $column == "-" ? 0 : $column }' "$WORK/warm.$1.$2.figures")
}

warm_row() {
    local rate raw_rate cpu raw_cpu
    rate=$(figure service "$1" 1) raw_rate=$(figure raw "$1" 1)
    cpu=$(figure service "$1" 3) raw_cpu=$(figure raw "$1" 3)
    printf '%s %s %s %s %s\n' "$1" "$rate" "$raw_rate" "$cpu" "$raw_cpu" >>"$WORK/warm.rows"
    cells "${1%-*}, ${1#*-} a call" "$rate" "$raw_rate" "$(ratio "$rate" "$raw_rate")" "$cpu" "$raw_cpu" "$(ratio "$cpu" "$raw_cpu")" \
        "$(figure service "$1" 2)" "$(figure raw "$1" 2)" "$(awk '{ sum += $4 } END { print sum }' "$WORK/warm.service.$1.figures")" \
        "none failed; the ratios are a start"
}

warm_plot() {
    [[ $WRITE == yes ]] || return 0
    ./scripts/tools plots >/dev/null || return 0
    "$TOOLS/venv/bin/python" benches/plot.py --bars benches/warm.svg \
        "Processor time a call, µs: feishu-id and a bare tonic server" "$WORK/warm.rows"
    printf '\n![Processor time a call](warm.svg)\n' >>"$TABLE"
}
