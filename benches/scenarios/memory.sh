# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# What people and callers cost in memory, and in calls to Feishu. The server is a process of its own.

# The most people that a tenant of the simulated Feishu has.
TENANT_PEOPLE=1000000

scenario_memory() {
    header "people" "answered" "cache.capacity" "seconds" "MB before" "MB with them" "bytes a person" "identifier and ID, bytes" "over these" "bytes for each further person" "calls when all are asked for again" "target"
    FORM=fixed
    local count
    KNOWN="" KNOWN_KB=""
    for count in 100000 1000000 10000000; do
        ((count > ${BENCH_PEOPLE:-1000000})) || known_people "$count"
    done
    say "So many people by e-mail, one kind of ID (\`user_id\`), all in the cache, looked up by one stream for each million in a tenant of its own. The quota is raised on both sides and Feishu answers at once, so that this takes no hour; no data directory. Each row is a server of its own, measured 5 s after its last answer. What batches of this size take while they are worked on was taken before: a thousand others have been asked for forty times. Each further person is the difference to the row above. \`BENCH_PEOPLE=10000000\` adds ten million, in some minutes and gigabytes."
}

# known_people COUNT: a row.
known_people() {
    local count=$1 tenants tenant batches before after growth bytes seconds=0 answered=0 calls capacity
    # Its parts fill unevenly: a cache of just so many entries would drop some.
    capacity=$((count * 5 / 4 + 2000))
    tenants=$(((count + TENANT_PEOPLE - 1) / TENANT_PEOPLE))
    serve_tenants "$tenants" FEISHU_ID_CACHE__CAPACITY="$capacity"
    batches=$((count / tenants / 1000))
    # What batches of this size take while they are worked on is no part of it: a thousand others, forty
    # times.
    load others stream --tenant m0 --kinds mobile --people zipf:0:1000 --max-age 0 --identifiers 1000 --batches-in-flight 4 --calls 40 --deadline 300
    sleep 2
    before=$(rss_kb "$SERVER_PID")
    for ((tenant = 0; tenant < tenants; tenant++)); do
        people_of "$tenant" "$batches"
        answered=$((answered + $(of people outcomes/RESOLVED)))
        seconds=$(awk -v a="$seconds" -v b="$(of people elapsed_seconds)" 'BEGIN { printf "%.1f", a + b }')
    done
    sleep 5
    after=$(rss_kb "$SERVER_PID")
    calls=$(stats batch_get_id_calls)
    for ((tenant = 0; tenant < tenants; tenant++)); do
        people_of "$tenant" "$batches"
    done
    calls=$(($(stats batch_get_id_calls) - calls))
    bytes=$(own_bytes "$tenants" $((batches * 1000)))
    growth=$(awk -v a="$before" -v b="$after" -v n="$count" 'BEGIN { printf "%.0f", (b - a) * 1024 / n }')
    cells "$count" "$answered" "$capacity" "$seconds" "$(megabytes "$before")" "$(megabytes "$after")" "$growth" "$bytes" \
        "$(awk -v all="$growth" -v own="$bytes" 'BEGIN { printf "%.0f", all - own }')" "$(further "$count" "$after")" \
        "$calls" "all answered, 0 calls again"
    KNOWN=$count KNOWN_KB=$after
}

# further COUNT KB: the bytes for each person whom the row above did not have.
further() {
    awk -v n="$1" -v kb="$2" -v known="$KNOWN" -v known_kb="$KNOWN_KB" '
        BEGIN { if (known == "") print "-"; else printf "%.0f", (kb - known_kb) * 1024 / (n - known) }'
}

# people_of TENANT BATCHES: so many thousands of them by one stream.
people_of() {
    load people stream --tenant "m$1" --kinds email --identifiers 1000 --batches-in-flight 4 --calls "$2" --deadline 300
}

# serve_tenants COUNT [NAME=VALUE...]: a server and a simulated Feishu with tenants m0, m1 ..., and no
# limits worth speaking of.
serve_tenants() {
    local count=$1 tenant
    shift
    {
        echo tenant,name,email
        for ((tenant = 0; tenant < count; tenant++)); do
            echo "m$tenant,Somebody,somebody@m$tenant.example"
        done
    } >"$WORK/directory.csv"
    DIRECTORY="$WORK/directory.csv"
    feishu_apart
    DIRECTORY=""
    fault '{"latency_ms":0,"quota_enabled":false}' >/dev/null
    # shellcheck disable=SC2086 # two settings
    serve_all_tenants $WIDE "$@"
}

# own_bytes TENANTS PEOPLE: of an identifier and an ID of so many people of each, on average. An ID of
# the simulated Feishu has eight characters.
own_bytes() {
    python3 -c '
import sys
tenants, people = map(int, sys.argv[1:])
names = sum(len(f"load-{n}@m0.example") for n in range(people)) / people
print(f"{names + 8:.1f}")' "$@"
}

megabytes() {
    awk -v kb="$1" 'BEGIN { printf "%.1f", kb / 1000 }'
}

scenario_callers() {
    header "people" "callers" "answered" "failed" "calls to Feishu" "people in them" "p99, ms" "MB before" "MB after" "target"
    FORM=sliding
    local people callers before after calls seconds
    seconds=$(lasting 20)
    for people in 100 10000 1000000; do
        for callers in 1 100 1000; do
            serve_apart_without_data
            before=$(rss_kb "$SERVER_PID")
            load callers unary --rate 500 --people "zipf:1.1:$people" --connections "$callers" --seconds "$seconds"
            after=$(rss_kb "$SERVER_PID")
            calls=$(stats batch_get_id_calls)
            cells "$people" "$callers" "$(of callers answered) of $(of callers calls)" "$(troubles callers)" "$calls" \
                "$(stats identifiers)" "$(of callers latency_ms/p99)" "$(megabytes "$before")" "$(megabytes "$after")" \
                "all; as many calls whoever asks"
            echo "$people $callers $calls $(megabytes "$after")" >>"$WORK/callers.rows"
        done
    done
    say "500 lookups a second of one person each for $seconds s, the same ones in every row, Zipf(1.1) over so many people, spread over so many connections, on a server that has just started. The people in the calls are the different ones who were asked for, and the witnesses that ride along."
    drawing callers "Calls to Feishu, and memory, as people and callers grow" --callers "$WORK/callers.rows"
}
