# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# Scenarios about Feishu's quota: 50 calls a second and 1,000 a minute, of 50 e-mails and 50 mobiles
# each, so at most 1,667 different people a second by both kinds and 833 by one.

scenario_stream() {
    header quota "the service" answered "calls made" "refused (429)" seconds target
    local state
    for FORM in $(forms); do
        for state in started "up for a minute"; do
            serve
            [[ $state == started ]] || sleep 61
            load stream stream --identifiers 1000 --batches-in-flight 16 --calls 10 --deadline 60 --verify
            cells "$FORM" "$state" "$(of stream identifiers_answered) of 10000" "$(stats batch_get_id_calls)" \
                "$(stats rate_limited)" "$(of stream elapsed_seconds)" \
                "all, ≤ 105 calls (least: 100), 0 refused, ≤ 6 s when just started, else ≤ 2.3 s"
        done
    done
    say "10,000 different people, e-mails and mobiles in turns, 16 batches of 1,000 at a time, nothing cached."
}

scenario_zipf() {
    header quota answered failed "calls made" "refused (429)" seconds "p50, ms" "p99, ms" target
    for FORM in $(forms); do
        serve
        load zipf unary --calls 10000 --people zipf:1.1:2000 --in-flight 64 --connections 8 --seconds "$(lasting 120)"
        cells "$FORM" "$(of zipf answered) of 10000" "$(troubles zipf)" "$(stats batch_get_id_calls)" "$(stats rate_limited)" \
            "$(of zipf elapsed_seconds)" "$(of zipf latency_ms/p50)" "$(of zipf latency_ms/p99)" \
            "all, 0 refused, ≤ 45 calls, p99 ≤ 120 ms"
    done
    say "10,000 lookups of one person each by 64 callers, Zipf(1.1) over 2,000 people, nothing cached. A call for each lookup would take 559 s, a call for each different person 76 s."
}

scenario_different() {
    header quota "people a second" kinds answered failed "calls made" "refused (429)" "p50 over Feishu's $FEISHU_MS ms" "p99" longest target
    local rate kinds case series=()
    for FORM in $(forms); do
        for case in 200:mixed 800:mixed 1500:mixed 200:email 750:email; do
            rate=${case%:*} kinds=${case#*:}
            serve
            settle
            load "different.$rate.$kinds" unary --rate "$rate" --kinds "$kinds" --seconds "$(lasting 120)" --connections 8
            row_of_rate "different.$rate.$kinds" "$rate" "$kinds" "all, 0 refused, p99 ≤ 120 ms, none over 250 ms"
            series+=("$rate $kinds, $FORM=different.$rate.$kinds.$FORM")
            cp "$WORK/different.$rate.$kinds.csv" "$WORK/different.$rate.$kinds.$FORM.csv"
        done
    done
    say "One different person a call, at random moments (open loop: latency counts from the moment a call was due), on a service that has been up for $(pause 61) s and has its token."
    plot different "Answered a second, one different person a call" 1667 "${series[@]}"
}

# settle: a first lookup, which pays for the token, and a minute, after which the service knows that
# the quota is unspent: right after a start it must assume the contrary.
settle() {
    load first unary --calls 1 --first 900000
    sleep "$(pause 61)"
}

row_of_rate() {
    local name=$1
    cells "$FORM" "$2" "$3" "$(of "$name" answered) of $(of "$name" calls)" "$(troubles "$name")" "$(stats batch_get_id_calls)" \
        "$(stats rate_limited)" "$(over_feishu "$(of "$name" latency_ms/p50)")" "$(over_feishu "$(of "$name" latency_ms/p99)")" \
        "$(over_feishu "$(of "$name" latency_ms/max)")" "$4"
}

scenario_flood() {
    header quota "answered a second" "of the ceiling" failed "ms until refused, p50" p99 "refused (429)" "calls made" "MB before" "most" "after" target
    local before answered series=()
    for FORM in $(forms); do
        serve_apart
        settle
        before=$(rss "$SERVER_PID")
        load "flood.$FORM" unary --rate 5000 --seconds "$(lasting 60)" --connections 64 --outstanding 100000
        answered=$(steady "flood.$FORM" answered)
        cells "$FORM" "$answered" "$(ratio "$answered" 1667)" "$(troubles "flood.$FORM")" \
            "$(of "flood.$FORM" failed_latency_ms/p50)" "$(of "flood.$FORM" failed_latency_ms/p99)" "$(stats rate_limited)" \
            "$(stats batch_get_id_calls)" "$before" "$(rss_peak "$SERVER_PID")" "$(sleep 5; rss "$SERVER_PID")" \
            "≥ 0.95 of 1,667 a second; the rest refused at once, with RetryInfo; 0 × 429; memory bounded"
        series+=("$FORM=flood.$FORM")
    done
    say "5,000 different people a second, one a call, three times what the quota allows. The memory is the server's alone."
    plot flood "Answered a second, 5,000 different people a second" 1667 "${series[@]}"
}

scenario_zipf_rate() {
    header quota "lookups a second" answered failed "calls made" "refused (429)" "p50, ms" "p99, ms" "longest, ms" target
    for FORM in $(forms); do
        serve
        load zipf-rate unary --rate 5000 --people zipf:1.1:2000 --seconds "$(lasting 60)" --connections 8
        cells "$FORM" 5000 "$(of zipf-rate answered) of $(of zipf-rate calls)" "$(troubles zipf-rate)" \
            "$(stats batch_get_id_calls)" "$(stats rate_limited)" "$(of zipf-rate latency_ms/p50)" \
            "$(of zipf-rate latency_ms/p99)" "$(of zipf-rate latency_ms/max)" "all, 0 refused"
    done
    say "5,000 lookups a second of one person each, Zipf(1.1) over 2,000 people, nothing cached at the start."
}

scenario_bulk() {
    header quota "bulk: answered" seconds "people a second" "of 1,667" "least seconds by the quota" "interactive: answered" "p50 over Feishu's $FEISHU_MS ms" p99 longest "refused (429)" target
    local bulk beside batches quota
    for FORM in $(forms); do
        for batches in 50 150; do
            serve
            settle
            begin_load bulk stream --identifiers 1000 --batches-in-flight 16 --calls "$batches" --deadline 300 --first 100000
            bulk=$STARTED
            begin_load beside unary --rate 1 --arrivals even --seconds 600
            beside=$STARTED
            end_load bulk "$bulk"
            stop_load beside "$beside"
            quota=$(at_quota $((batches * 10)))
            cells "$FORM" "$(of bulk identifiers_answered) of ${batches}000" "$(of bulk elapsed_seconds)" \
                "$(of bulk identifiers_per_second)" "$(ratio "$(of bulk identifiers_per_second)" 1667)" "$quota" "$(of beside answered) of $(of beside calls)" \
                "$(over_feishu "$(of beside latency_ms/p50)")" "$(over_feishu "$(of beside latency_ms/p99)")" \
                "$(over_feishu "$(of beside latency_ms/max)")" "$(stats rate_limited)" \
                "bulk ≥ 0.95 of the ceiling over minutes; interactive p99 ≤ 120 ms; 0 refused"
        done
    done
    say "A stream of so many different people, 16 batches of 1,000 at a time, and beside it one lookup of one person each second. The ceiling of 1,667 a second is that of a minute; the least time by the quota is what 50 calls a second and 1,000 a minute allow when the minute's are all unspent at the start."
}

# at_quota CALLS: the seconds that so many calls take at least, by 50 a second and 1,000 a minute.
at_quota() {
    local minutes=$((($1 - 1) / 1000)) rest=$((($1 - 1) % 1000))
    echo $((minutes * 60 + rest / 50))
}
