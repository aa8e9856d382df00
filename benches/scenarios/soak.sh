# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# Half an hour of everything at once: does memory grow, do answers get slower?

# What is wrong with the simulated Feishu, one thing after the other, each for half of its turn. A third
# of the time is as many turns as there are things, so that the thirds can be compared.
SOAK_FAULTS="code status truncated_json oversized_body not_json drop drop_mid_body hang any revoked"
SOAK_PERCENT=5

scenario_soak() {
    header "what" "figure" "limit" "verdict"
    FORM=sliding
    local seconds turn fault name sampling count
    seconds=$(lasting 1800)
    turn=$(awk -v s="$seconds" 'BEGIN { printf "%.2f", s / 30 }')
    # Short times, so that refreshes and stale answers occur, and room for fewer people than are asked
    # for: memory that still grows once the cache is full is lost.
    feishu_apart
    DATA="$WORK/data.$SANDBOX_PID"
    serve_all_tenants FEISHU_ID_CACHE__TTL=20s FEISHU_ID_CACHE__NEGATIVE_TTL=2s FEISHU_ID_CACHE__SERVE_STALE=1h \
        FEISHU_ID_CACHE__CAPACITY=5000
    # The first token and the first connections are no part of it.
    load first unary --tenant acme --calls 1
    start rss python3 benches/soak.py sample "$SERVER_PID" "$(soak_step 10)" "$WORK/rss.csv"
    sampling=$STARTED
    soak_load popular unary --tenant acme --rate 200 --people zipf:1.1:20000 --connections 8
    soak_load cold unary --tenant acme --rate 10 --people different --first 100000 --connections 2
    soak_load batches stream --tenant acme --rate 2 --identifiers 50 --people zipf:1.1:5000 --connections 2
    soak_load open unary --tenant acme --rate 20 --people zipf:1.1:2000 --type open_id --type user_id
    soak_load nobodies unary --tenant acme --rate 2 --people zipf:1.1:200 --pattern 'nobody-{}@acme.example'
    soak_load other unary --rate 20 --people zipf:1.1:2000 --tenant globex
    for ((count = 0; count < 3; count++)); do
        for fault in $SOAK_FAULTS; do
            sleep "$(awk -v t="$turn" 'BEGIN { print t / 2 }')"
            soak_fault "$fault"
            sleep "$(awk -v t="$turn" 'BEGIN { print t / 2 }')"
            feishu '{"fault":"none"}'
        done
    done
    for name in popular cold batches open nobodies other; do
        end_load "$name" "$(awk -v name="$name" '$1 == name { print $2 }' <<<"$SOAK_LOADS")"
        count=$(awk -v a="$(of "$name" answered)" -v b="$(of "$name" calls)" 'BEGIN { printf "%.2f %%", b ? 100 * a / b : 0 }')
        cells "$name: answered, of them stale items; failed" "$count of $(of "$name" calls), $(of "$name" stale); $(troubles "$name")" - -
    done
    stop "$sampling" || true
    python3 benches/soak.py judge "$WORK/rss.csv" "$WORK/popular.csv" >"$WORK/verdicts"
    while IFS='|' read -r name fault count turn; do
        cells "$name" "$fault" "$count" "$turn"
        [[ $turn != fails ]] || VERDICT=fails
    done <"$WORK/verdicts"
    cells "most memory, MB" "$(rss_peak "$SERVER_PID")" - -
    cells "calls to Feishu; refused (429); hit by a fault" "$(stats batch_get_id_calls); $(stats rate_limited); $(faults_hit)" - -
    say "$seconds s of six loads at once: 200 lookups a second of the popular (p99 is theirs), 10 of ever new people, 2 batches of 50 a second on streams, two kinds of ID, people nobody has, a second tenant. \`cache.ttl\` is 20 s, \`cache.capacity\` 5,000, so that people are refreshed, dropped and asked for anew all the time. Half of the time $SOAK_PERCENT % of Feishu's calls fail, in each of these ways in turn, three times: $SOAK_FAULTS (every token at once). Memory is sampled every $(soak_step 10) s; the slope is by least squares over the last two thirds. The drift compares the median p99 of the last third's steps of $(soak_step 60) s with the first third's."
    drawing soak "Memory, and p99 of the popular, over the soak" --soak "$WORK/rss.csv" "$WORK/popular.csv"
}

# soak_step SECONDS: the same part of a shorter run.
soak_step() {
    awk -v full="$1" -v s="$(lasting 1800)" 'BEGIN { step = int(full * s / 1800); print step < 1 ? 1 : step }'
}

SOAK_LOADS=""

# soak_load NAME ARGUMENT...
soak_load() {
    begin_load "$@" --seconds "$(lasting 1800)" --deadline 5 --series-step "$(soak_step 60)"
    SOAK_LOADS="$SOAK_LOADS$1 $STARTED
"
}

soak_fault() {
    case "$1" in
        revoked) curl --silent --fail --max-time 5 -X POST "$CONTROL/tokens/revoke" >/dev/null ;;
        *) feishu "{\"fault\":\"$1\",\"fault_percent\":$SOAK_PERCENT,\"fault_hang_seconds\":10,\"fault_oversized_bytes\":2097152}" ;;
    esac
}
