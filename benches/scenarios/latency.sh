# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# Scenarios about what one caller waits for beside Feishu's own time. Feishu counts its quota by the
# clock in these, but for `slow`: they stay far below it.

scenario_lone() {
    header lookups "p50 over Feishu's own" longest "calls made" "Feishu's own: p50, ms" longest target
    FORM=fixed
    local direct
    serve
    # The first one pays for token and connection.
    load first unary --calls 1 --first 1000
    begin_direct own 1 40
    direct=$STARTED
    load lone unary --rate 0.5 --arrivals even --calls 20
    end_load own "$direct"
    cells "$(of lone answered) of 20" "$(over_own lone own latency_ms/p50)" "$(over_own lone own latency_ms/max)" \
        "$(($(stats tenants/acme/batch_get_id_calls) - 1)) for 20" "$(of own latency_ms/p50)" "$(of own latency_ms/max)" \
        "≤ 3 ms over Feishu's own"
    say "One person nobody has asked for before, every two seconds, on an otherwise idle service that has its token; beside it one call a second to the simulated Feishu itself (\`benches/direct.py\`), which tells what its 30 ms really are. It took $(of first latency_ms/max) ms to get the token and the first answer."
}

scenario_same() {
    header "the service" answered outcome failed "calls made" target
    FORM=fixed
    local state before
    for state in fresh "has given an ID before"; do
        serve
        [[ $state == fresh ]] || load first unary --calls 1
        before=$(stats batch_get_id_calls)
        load same unary --people same --pattern 'nobody-{}@acme.example' --calls 1000 --in-flight 1000 --connections 10
        cells "$state" "$(of same answered) of 1000" "$(of same outcomes/NOT_FOUND) NOT_FOUND" "$(troubles same)" \
            "$(($(stats batch_get_id_calls) - before))" \
            "$([[ $state == fresh ]] && echo "2: the second rules out a missing scope" || echo 1)"
    done
    say "1,000 callers ask for the same address at the same moment; nobody has it."
}

scenario_slow() {
    header quota "people a second" answered failed "calls made" "refused (429)" "p50 over Feishu's own" p99 longest "Feishu's own: p50, ms" p99 longest target
    local rate direct name
    for FORM in $(forms); do
        for rate in 5 10 30; do
            serve
            settle
            name="slow.$rate"
            begin_direct own 5 "$(lasting 180)"
            direct=$STARTED
            load "$name" unary --rate "$rate" --seconds "$(lasting 180)" --connections 2
            end_load own "$direct"
            cells "$FORM" "$rate" "$(of "$name" answered) of $(of "$name" calls)" "$(troubles "$name")" \
                "$(stats tenants/acme/batch_get_id_calls)" "$(stats rate_limited)" "$(over_own "$name" own latency_ms/p50)" \
                "$(over_own "$name" own latency_ms/p99)" "$(over_own "$name" own latency_ms/max)" \
                "$(of own latency_ms/p50)" "$(of own latency_ms/p99)" "$(of own latency_ms/max)" \
                "p99 ≤ $([[ $rate == 30 ]] && echo 70 || echo 3) ms over Feishu's own"
        done
    done
    say "One different person a call, at random moments, few enough that a call for each would fit the quota of a second, and at 30 a second not that of a minute. The service has been up for $(pause 61) s and has its token. Beside it five calls a second to the simulated Feishu itself."
}

scenario_popular() {
    header answered "p50, ms" "slowest, ms" "calls made" "TTLs" "calls a TTL" target
    FORM=fixed
    local seconds calls
    seconds=$(lasting 300)
    serve FEISHU_ID_CACHE__TTL=30s
    load first unary --people same --calls 1
    load popular unary --people same --rate 1 --arrivals even --seconds "$seconds"
    calls=$(stats batch_get_id_calls)
    cells "$(of popular answered) of $(of popular calls)" "$(of popular latency_ms/p50)" "$(of popular latency_ms/max)" "$calls" \
        "$(awk -v s="$seconds" 'BEGIN { printf "%.1f", s / 30 }')" \
        "$(awk -v s="$seconds" -v calls="$calls" 'BEGIN { printf "%.2f", calls * 30 / s }')" \
        "nobody waits for Feishu; ≤ 1.10 a TTL"
    say "One person read every second with \`cache.ttl\` of 30 s, after a first lookup, which is among the calls."
}
