# shellcheck shell=bash disable=SC2034,SC2153 # what is set here is used by the others, and the other way round
# Scenarios in which something is wrong: with one identifier, with Feishu, with the server.

scenario_poison() {
    header "asked" resolved invalid failed "calls made" target
    FORM=fixed
    local time before
    serve
    feishu '{"poison":["load-50@acme.example"],"poison_field_violations":false}'
    for time in "the first time" again; do
        before=$(stats batch_get_id_calls)
        load poison unary --identifiers 100 --calls 1
        cells "$time" "$(of poison outcomes/RESOLVED)" "$(of poison outcomes/INVALID)" "$(troubles poison)" \
            "$(($(stats batch_get_id_calls) - before))" "$([[ $time == again ]] && echo "99, 1, 0 calls" || echo "99, 1; at most 15 calls")"
    done
    say "100 people in one request, one of whom makes Feishu refuse any call that names them, without saying whom it means."
}

scenario_hang() {
    header "Feishu of acme" "globex: answered" "p50, ms" "p99, ms" "p99 against well" "acme: answered" target
    FORM=fixed
    local round state fault beside name first=0 seconds well="" hang=""
    seconds=$(lasting 10)
    serve
    for ((round = 0; round < ${ROUNDS:-5}; round++)); do
        for state in well hang; do
            fault=none
            [[ $state == well ]] || fault=hang
            # The switch keeps the latency to acme, too: globex has none in either state.
            feishu "{\"only_tenant\":\"acme\",\"fault\":\"$fault\",\"fault_hang_seconds\":5}"
            begin_load "acme.$state" unary --tenant acme --rate 20 --seconds "$seconds" --deadline 2 --first "$first"
            beside=$STARTED
            name="globex.$state.$round"
            load "$name" unary --tenant globex --rate 20 --seconds "$seconds" --first "$first"
            end_load "acme.$state" "$beside"
            first=$((first + 2000))
            if [[ $state == well ]]; then well="$well $(of "$name" latency_ms/p99)"; else hang="$hang $(of "$name" latency_ms/p99)"; fi
        done
    done
    round=$((round - 1))
    # shellcheck disable=SC2086 # lists of numbers
    well=$(median $well) hang=$(median $hang)
    for state in well hang; do
        name="globex.$state.$round"
        cells "$([[ $state == well ]] && echo answers || echo hangs)" "$(of "$name" answered) of $(of "$name" calls)" "$(of "$name" latency_ms/p50)" \
            "${!state}" "$(ratio "${!state}" "$well")" "$(of "acme.$state" answered) of $(of "acme.$state" calls)" \
            "$([[ $state == well ]] && echo - || echo "globex p99 ≤ 1.2 ×")"
    done
    say "20 different people a second for each of two tenants. p99: the median of ${ROUNDS:-5} rounds, taking turns; the rest: the last round, in which acme's breaker may still be open from the round before. globex' Feishu answers at once."
}

scenario_crash() {
    header quota "starts" answered failed "calls made" "refused (429)" "most in any second" "most in any minute" target
    local loading pause started
    pause=$(awk -v s="$(lasting 60)" 'BEGIN { printf "%.1f", s / 10 }')
    for FORM in $(forms); do
        serve_apart
        begin_load crash unary --rate 200 --seconds "$(lasting 60)" --connections 4
        loading=$STARTED
        for ((started = 1; started < 11; started++)); do
            sleep "$pause"
            kill_server
            serve_again "$SERVER"
        done
        end_load crash "$loading"
        cells "$FORM" "$started" "$(of crash answered) of $(of crash calls)" "$(troubles crash)" "$(stats batch_get_id_calls)" \
            "$(stats rate_limited)" "$(stats highest/in_any_second)" "$(stats highest/in_any_minute)" \
            "over 1,000 by at most the 50 of each start; reported"
    done
    say "200 different people a second; the server is killed (SIGKILL) and started again ten times in the minute, on the same data. A call under way when its server dies fails."
}

scenario_faults() {
    header quota "lookups" answered failed "wrong answers" "items without outcome" "answered a second" "p99, ms" "calls made" "hit" target
    for FORM in $(forms); do
        serve
        feishu '{"fault":"any","fault_percent":20}' || {
            cells "$FORM" - - "this simulated Feishu has no fault of kind any" - - - - - - -
            continue
        }
        load "faults.$FORM" unary --rate 200 --people zipf:1.1:10000 --seconds "$(lasting 60)" --connections 8 --verify
        cells "$FORM" "$(of "faults.$FORM" calls)" "$(of "faults.$FORM" answered)" "$(troubles "faults.$FORM")" \
            "$(of "faults.$FORM" wrong/total)" "$(of "faults.$FORM" lost)" "$(of "faults.$FORM" calls_per_second)" \
            "$(of "faults.$FORM" latency_ms/p99)" "$(stats batch_get_id_calls)" "$(faults_hit)" "0 wrong, 0 without outcome"
    done
    say "200 lookups a second, Zipf(1.1) over 10,000 people, while a fifth of the calls, those for tokens included, fail in a way drawn at random."
}

# How many calls of the simulated Feishu a fault has hit.
faults_hit() {
    curl --silent --fail --max-time 5 "$CONTROL/stats" |
        python3 -c 'import json, sys; print(sum(json.load(sys.stdin)["by_fault"].values()))'
}

scenario_health() {
    header checks "not OK" "a second" "Feishu's calls" "token requests" target
    FORM=fixed
    ./scripts/tools ghz >/dev/null
    serve
    within 300 ghz --insecure --proto proto/grpc/health/v1/health.proto --import-paths proto --call "$HEALTH.Check" \
        -n 100000 -c 50 --connections 4 --format json "$SERVER" >"$WORK/health.log"
    cells "$(values count <"$WORK/health.log")" \
        "$(python3 -c 'import json, sys; print(sum(n for code, n in json.load(sys.stdin)["statusCodeDistribution"].items() if code != "OK"))' <"$WORK/health.log")" \
        "$(values rps <"$WORK/health.log")" "$(stats batch_get_id_calls)" "$(stats token_requests)" "100000, 0, -, 0, 0"
    say "100,000 health checks by ghz, 50 at a time."
}
