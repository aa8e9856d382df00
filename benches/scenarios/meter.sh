# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# Whether the month's meter counts what Feishu counts.

scenario_meter() {
    header "ended by" "calls of callers" "calls to Feishu, its own count" "the meter's" "difference" "target"
    FORM=sliding
    meter TERM "0"
    meter KILL "a second's worth"
    say "$(meter_lookups) calls in three parts, each by a server of its own on the same data directory: unary calls for ever new people, for popular ones and for any who must be asked for anew, and batches on a stream, while 5 % of Feishu's calls fail in some way. The second and the third server begin where the one before was ended. The simulated Feishu counts lookups and token requests that reach it, whatever it answers; so does the meter, before they leave. SIGKILL comes in the middle of the load."
}

meter_lookups() {
    echo "${BENCH_LOOKUPS:-100000}"
}

# meter SIGNAL TARGET: a row.
meter() {
    local part third feishu_count metered calls=0
    third=$(($(meter_lookups) / 3))
    # shellcheck disable=SC2086 # two settings
    serve_apart $WIDE FEISHU_ID_QUOTA__PER_MONTH=100000000
    feishu '{"quota_enabled":false,"fault":"any","fault_percent":5,"fault_hang_seconds":1}'
    for part in 0 1 2; do
        meter_load $((part * third)) $((third / 4)) "$1" "$part"
        calls=$((calls + $(of new calls) + $(of popular calls) + $(of anew calls) + $(of batches calls)))
        [[ $part != 2 ]] || break
        if [[ $1 == TERM ]]; then
            stop "$SERVER_PID" || true
            SERVER_PID=""
        fi
        # shellcheck disable=SC2086 # two settings
        serve_again 127.0.0.1:0 $WIDE FEISHU_ID_QUOTA__PER_MONTH=100000000
    done
    # What is still under way ends.
    sleep 3
    metered=$("$FEISHU_ID_BIN" cache stats --server "http://$SERVER" --format json | python3 -c 'import json, sys
print(sum(int(tenant["month"]["calls"]) for tenant in json.load(sys.stdin)["tenants"]))')
    feishu_count=$(($(stats batch_get_id_calls) + $(stats token_requests)))
    cells "SIG$1" "$calls" "$feishu_count" "$metered" "$((metered - feishu_count))" "$2"
}

# meter_load FIRST CALLS SIGNAL PART: a part's four loads, side by side.
meter_load() {
    local names="new popular anew batches" name pids="" end=end_load
    begin_load new unary --people different --first "$1" --calls "$2" --in-flight 32 --connections 4
    pids="$pids $STARTED"
    begin_load popular unary --people zipf:1.1:5000 --calls "$2" --in-flight 32 --connections 4
    pids="$pids $STARTED"
    begin_load anew unary --people zipf:1.1:5000 --max-age 0 --calls "$2" --in-flight 16 --connections 2
    pids="$pids $STARTED"
    begin_load batches stream --people zipf:1:200000 --identifiers 5 --calls "$2" --batches-in-flight 8
    pids="$pids $STARTED"
    if [[ $3 == KILL && $4 != 2 ]]; then
        sleep 2
        kill_server
        # They would go on trying.
        end=stop_load
    fi
    # shellcheck disable=SC2086 # lists
    set -- $pids
    for name in $names; do
        "$end" "$name" "$1"
        shift
    done
}
