# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# Feishu is away: what callers get meanwhile, and after a start in the middle of it.

# People who are known before, and for how long what is known of them is fresh.
OUTAGE_PEOPLE=1000
OUTAGE_TTL=5s

scenario_outage() {
    header "Feishu" "lookups meanwhile" "answered" "failed" "stale once the TTL has passed" "p99 of stale, ms" "p99 of fresh" "ratio" "calls that Feishu saw" "seconds until all fresh again" "target"
    FORM=fixed
    local case
    outage "closes connections" '{"fault":"drop"}'
    outage "answers 503" '{"fault":"status","fault_status":503}'
    outage "takes 10 s to hang up" '{"fault":"hang","fault_hang_seconds":10}'
    say "200 lookups a second of one of $OUTAGE_PEOPLE people whom the server knows, with \`cache.ttl\` of $OUTAGE_TTL and \`cache.serve_stale\` of 24 h. Feishu is well for $(before_outage) s, away for $(lasting 60) s, and well again. Answered and failed are of all the time it is away, stale of that without its first $OUTAGE_TTL, in which some of what is known is still fresh; p99 of fresh and of stale answers are of one and the same load. Until the breaker opens, a stale answer comes after a wait for a fresh one."
    drawing outage "Fresh, stale and failed lookups a second; Feishu is away in the grey part" --outage \
        "${OUTAGE_SERIES[@]}"
}

before_outage() {
    [[ -z ${BENCH_SECONDS:-} ]] && echo 20 || echo 7
}

# outage WHAT SWITCHES: a row. Times are taken from the load's begin, as its series has them.
outage() {
    local name="outage.${#OUTAGE_SERIES[@]}" loading began down up before meanwhile seconds
    seconds=$(lasting 60)
    serve_apart FEISHU_ID_CACHE__TTL="$OUTAGE_TTL" FEISHU_ID_CACHE__SERVE_STALE=24h
    load fill stream --identifiers "$OUTAGE_PEOPLE" --calls 1 --deadline 60
    # After it: the breaker's next probe is half a minute away at most.
    begin_load "$name" unary --rate 200 --people "zipf:0:$OUTAGE_PEOPLE" --connections 4 \
        --seconds $(($(before_outage) + seconds + 40)) --deadline 5
    loading=$STARTED began=$EPOCHREALTIME
    sleep "$(before_outage)"
    down=$(since "$began")
    before=$(stats batch_get_id_calls)
    feishu "$2"
    sleep "$seconds"
    meanwhile=$(($(stats batch_get_id_calls) - before))
    up=$(since "$began")
    feishu '{"fault":"none"}'
    end_load "$name" "$loading"
    OUTAGE_SERIES+=("$1=$WORK/$name.csv=$down=$up")
    # shellcheck disable=SC2046 # figures without blanks
    set -- "$1" $(outage_figures "$WORK/$name.csv" "$down" "$up" "${OUTAGE_TTL%s}")
    cells "$1" "$2" "$(share "$3" "$2")" "$(share "$4" "$2")" "$(share "$6" "$5")" "$(of "$name" stale_latency_ms/p99)" \
        "$(of "$name" fresh_latency_ms/p99)" "$(ratio "$(of "$name" stale_latency_ms/p99)" "$(of "$name" fresh_latency_ms/p99)")" \
        "$meanwhile" "$7" "all answered"
}

OUTAGE_SERIES=()

since() {
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

# outage_figures SERIES DOWN UP TTL: lookups, answered and failed between these moments; the same
# without the first TTL: lookups and stale; and how many seconds after UP the last one was stale or
# failed.
outage_figures() {
    python3 -c '
import csv, math, sys
path, down, up, ttl = sys.argv[1], *map(float, sys.argv[2:])
rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(open(path))]
# Whole seconds only.
away = [row for row in rows if math.ceil(down) <= row["second"] < math.floor(up)]
old = [row for row in away if row["second"] >= down + ttl]
add = lambda rows, *names: int(sum(row[name] for row in rows for name in names))
late = [row["second"] + 1 - up for row in rows if row["second"] + 1 > up and row["stale"] + row["failed"] > 0]
fresh = [row for row in rows if row["second"] > up and row["answered"] and not row["stale"] + row["failed"]]
again = f"{max(late, default=0):.0f}" if fresh and (not late or fresh[-1]["second"] + 1 - up > late[-1]) else "not"
print(add(away, "answered", "failed"), add(away, "answered"), add(away, "failed"),
    add(old, "answered", "failed"), add(old, "stale"), again)' "$@"
}

scenario_outage_hang() {
    header "deadline, s" "people" "answered" "stale" "failed" "seconds to an answer, p50" "longest" "target"
    FORM=fixed
    local deadline
    for deadline in 5 1; do
        known_and_expired
        feishu '{"fault":"hang","fault_hang_seconds":10}'
        # All at once: the ones after them would find the breaker open.
        load hang unary --people different --calls 20 --in-flight 20 --connections 4 --deadline "$deadline"
        cells "$deadline" 20 "$(of hang answered)" "$(of hang stale)" "$(troubles hang)" "$(longest_of hang p50 s)" "$(longest_of hang max s)" \
            "all stale, after at most $(awk -v d="$deadline" 'BEGIN { wait = d * 0.9; print wait < 1.8 ? wait : 1.8 }') s and a little"
    done
    say "20 people whom the server knows, but not freshly, each asked for at the same moment, while Feishu holds every call for 10 s. The breaker is closed at first."
}

# known_and_expired: a server that knows $OUTAGE_PEOPLE people, and nobodies, but not freshly.
known_and_expired() {
    serve_apart FEISHU_ID_CACHE__TTL=2s FEISHU_ID_CACHE__NEGATIVE_TTL=1s FEISHU_ID_CACHE__SERVE_STALE=24h
    load fill stream --identifiers "$OUTAGE_PEOPLE" --calls 1 --deadline 60
    load nobodies unary --pattern 'nobody-{}@acme.example' --identifiers 20 --calls 1
    sleep 3
}

# longest_of NAME QUANTILE UNIT: of its answers and of its failures, whichever took longer; in s or ms.
longest_of() {
    # shellcheck disable=SC2046 # two figures
    printf '%s\n' $(of "$1" "latency_ms/$2" "failed_latency_ms/$2") | awk -v unit="$3" '
        $1 != "-" && $1 > most { most = $1 }
        END { if (unit == "s") printf "%.2f", most / 1000; else printf "%.1f", most }'
}

scenario_outage_unknown() {
    header "asked for" "people" "outcomes" "stale" "failed" "p50, ms" "longest, ms" "target"
    FORM=fixed
    known_and_expired
    feishu '{"fault":"drop"}'
    # Opens the breaker, so that all rows are of the same state.
    load open unary --people different --first 500000 --calls 10 --in-flight 1 --deadline 5
    unknown_row "found before" "stale" --people different
    unknown_row "not found before" "no stale NOT_FOUND: who is told so may lock somebody out" --pattern 'nobody-{}@acme.example'
    unknown_row "never asked for" "failed, at once, with the time to come back" --people different --first 600000
    say "20 people, one a call, while Feishu closes every connection and the breaker is open."
}

# unknown_row WHO TARGET PEOPLE...
unknown_row() {
    local who=$1 target=$2
    shift 2
    load unknown unary "$@" --calls 20 --in-flight 1 --deadline 5
    cells "$who" 20 "$(outcomes unknown)" "$(of unknown stale)" "$(troubles unknown)" "$(longest_of unknown p50 ms)" \
        "$(longest_of unknown max ms)" "$target"
}

# outcomes NAME: how many items of a load had which.
outcomes() {
    tail -n 1 "$WORK/$1.log" | python3 -c '
import json, sys
print("; ".join(f"{count} {name}" for name, count in json.load(sys.stdin)["outcomes"].items()) or "-")'
}

scenario_restart() {
    header "data directory" "ended by" "TTL at the start" "ms to SERVING" "asked for" "answered" "stale" "failed" "seconds" "people a second" "target"
    FORM=fixed
    "$ROOT/scripts/tools" grpc-health-probe >/dev/null
    restart none SIGTERM 12h "none"
    restart yes SIGTERM 12h "all, fresh"
    restart yes SIGTERM 1s "all, stale"
    restart yes SIGKILL 12h "all, fresh"
    restart yes SIGKILL 1s "all, stale"
    say "A server learns $(restart_people) people, is ended, and starts again while there is no Feishu at all (its process is gone, connections are refused); everybody is asked for by one stream in batches of 1,000. SIGKILL comes $(flushed) s after the last answer, when everything is written. SERVING is by the standard health protocol and counts from the start of the process, the probe's own time included. A TTL of 1 s at the second start makes everything that is known stale."
}

restart_people() {
    echo "${BENCH_RESTART_PEOPLE:-100000}"
}

# After so many seconds what was answered is written down.
flushed() {
    echo "${BENCH_FLUSH_SECONDS:-5}"
}

# restart DATA SIGNAL TTL TARGET: a row.
restart() {
    local address began serving people
    people=$(restart_people)
    # shellcheck disable=SC2086 # two settings
    if [[ $1 == none ]]; then serve_apart_without_data $WIDE; else serve_apart $WIDE; fi
    fault '{"latency_ms":0,"quota_enabled":false}' >/dev/null
    load known stream --kinds email --identifiers 1000 --batches-in-flight 4 --calls $((people / 1000)) --deadline 120
    [[ $(of known identifiers_answered) == "$people" ]] || say "Only $(of known identifiers_answered) of $people people could be looked up beforehand."
    address=$SERVER
    if [[ $2 == SIGTERM ]]; then
        stop "$SERVER_PID" || true
        SERVER_PID=""
    else
        sleep "$(flushed)"
        kill_server
    fi
    stop "$SANDBOX_PID" || true
    SANDBOX_PID=""
    began=$EPOCHREALTIME
    # shellcheck disable=SC2086 # two settings
    serve_at_once "$address" $WIDE FEISHU_ID_CACHE__TTL="$3" FEISHU_ID_CACHE__SERVE_STALE=24h
    serving=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", (b - a) * 1000 }')
    [[ $3 != 1s ]] || sleep 1
    load again stream --kinds email --identifiers 1000 --batches-in-flight 4 --calls $((people / 1000)) --deadline 120
    cells "$1" "$2" "$3" "$serving" "$people" "$(share "$(of again outcomes/RESOLVED)" "$people")" "$(share "$(of again stale)" "$people")" \
        "$(troubles again)" "$(of again elapsed_seconds)" "$(of again identifiers_per_second)" "$4; SERVING as soon as without data"
}

# serve_at_once ADDRESS NAME=VALUE...: as serve_again, and waits for SERVING without a pause: one of
# 0.1 s would be most of the time.
serve_at_once() {
    local address=$1
    shift
    [[ -z $DATA ]] || set -- "FEISHU_ID_DATA__DIR=$DATA" "$@"
    start server env "$@" "$FEISHU_ID_BIN" --log-level "$LOG_LEVEL" serve --listen "$address" --http-listen 127.0.0.1:0
    SERVER_PID=$STARTED
    # A probe that comes too early waits a second before it tries again.
    until grep -q 'listens on' "$WORK/server.log"; do
        kill -0 "$SERVER_PID" || die "the server did not start: $(cat "$WORK/server.log")"
    done
    until grpc-health-probe -addr="$address" -connect-timeout=1s -rpc-timeout=1s >/dev/null 2>&1; do
        kill -0 "$SERVER_PID" || die "the server did not start: $(cat "$WORK/server.log")"
    done
    SERVER=$address
}
