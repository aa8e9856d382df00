# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# The same work by Feishu's official SDKs, called as their documents show, and by feishu-id.

SDK_WORKERS=32

scenario_sdks() {
    header "who" "version" "lookups" "answered" "failed" "share failed" "calls to Feishu" "refused (429)" "token requests" "seconds" "target"
    # A stretch of time of which no clock's minute begins in the middle: the same luck for everybody.
    FORM=sliding
    local installed retry=${BENCH_RETRY_SECONDS:-700}
    # It says which versions these are.
    installed=$("$ROOT/scripts/tools" python node go)
    popular_few "${BENCH_LOOKUPS:-10000}" >"$WORK/people"
    LOOKUPS=$(wc -l <"$WORK/people" | tr -d ' ')
    sdk Python "$(version lark-oapi)" "$TOOLS/venv/bin/python" tests/sdk/python/lookups.py
    sdk Node "$(version node-sdk)" env NODE_PATH="$TOOLS/node/node_modules" node tests/sdk/node/lookups.js
    sdk Go "$(version oapi-sdk-go)" "$TOOLS/bin/sdk-lookups-go"
    [[ $retry == 0 ]] || sdk "Go, with a loop that tries again for at most $retry s" "$(version oapi-sdk-go)" \
        "$TOOLS/bin/sdk-lookups-go" --retry "$retry"
    serve_apart_without_data
    load sdks unary --file "$WORK/people" --calls "$LOOKUPS" --in-flight "$SDK_WORKERS" --deadline 60
    cells "feishu-id, just started" "$("$FEISHU_ID_BIN" --version | awk '{ print $2 }')" "$LOOKUPS" "$(of sdks answered)" "$(troubles sdks)" \
        "$(share "$(of sdks failed)" "$LOOKUPS")" "$(stats batch_get_id_calls)" "$(stats rate_limited)" \
        "$(stats token_requests)" "$(of sdks elapsed_seconds)" "none failed, 0 refused, 1 token request"
    say "$LOOKUPS lookups of one person each by $SDK_WORKERS workers, e-mails and mobiles, Zipf(1.1) over 2,000 people: the same people in the same order for everybody, who each have a simulated Feishu of their own that answers in $FEISHU_MS ms. The SDKs are called once for each lookup; by themselves they neither remember answers nor try again. The loop waits 0.1 s, doubling up to 2 s, somewhat at random."
}

# popular_few COUNT: whom to look up, one a line.
popular_few() {
    python3 -c '
import random, sys
weights = [rank ** -1.1 for rank in range(1, 2001)]
for person in random.Random(1).choices(range(2000), weights, k=int(sys.argv[1])):
    print(f"+86199{person:08}" if person % 2 else f"load-{person}@acme.example")' "$1"
}

# version NAME: what scripts/tools said of it, in `installed` of the caller.
version() {
    awk -v name="$1" '$1 == name { print $2 }' <<<"$installed"
}

# sdk NAME VERSION COMMAND...: the lookups by a program of tests/sdk.
sdk() {
    local name=$1 version=$2
    shift 2
    feishu_apart
    within 3600 "$@" --workers "$SDK_WORKERS" "$WORK/people" >"$WORK/sdk.log"
    cells "$name" "$version" "$LOOKUPS" "$(of sdk answered)" "$(sdk_codes)" "$(share "$(of sdk failed)" "$LOOKUPS")" \
        "$(stats batch_get_id_calls)" "$(stats rate_limited)" "$(stats token_requests)" "$(of sdk seconds)" -
}

# sdk_codes: how many lookups failed with which of Feishu's codes.
sdk_codes() {
    python3 -c '
import json, sys
codes = json.load(sys.stdin)["codes"]
print("; ".join(f"{count} code {code}" for code, count in sorted(codes.items())) or "0")' <"$WORK/sdk.log"
}
