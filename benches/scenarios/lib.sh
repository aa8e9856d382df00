# shellcheck shell=bash disable=SC2034 # what is set here is used by the others
# What the scenarios of scripts/bench share: servers, loads, figures, tables. Sourced by it.

LOAD="${CARGO_TARGET_DIR:-$ROOT/target}/release/examples/load"
RAW_SERVER="${CARGO_TARGET_DIR:-$ROOT/target}/release/examples/raw-server"
# A file of lines, into which the scenario's table goes.
TABLE=/dev/null
# How the simulated Feishu counts its quota.
FORM=fixed
SERVER_PID=""
SANDBOX_PID=""
# Feishu's answer takes so long, in milliseconds.
FEISHU_MS=30

forms() {
    echo "${BENCH_FORMS:-fixed sliding}"
}

# lasting SECONDS: how long a paced load lasts.
lasting() {
    echo "${BENCH_SECONDS:-$1}"
}

# --- Servers ----------------------------------------------------------------------------------

# serve [NAME=VALUE...]: a fresh server and its simulated Feishu in one process.
serve() {
    end_server
    start server "${WITHOUT_CREDENTIALS[@]}" "$@" "$FEISHU_ID_BIN" --log-level warn serve --sandbox --listen 127.0.0.1:0 --http-listen 127.0.0.1:0
    SERVER_PID=$STARTED
    await_server server
    read_sandbox server
    feishu "{}"
}

# serve_apart: the same in two processes, so that the memory is the server's alone.
serve_apart() {
    end_server
    start_sandbox
    SANDBOX_PID=$STARTED
    feishu "{}"
    DATA="$WORK/data.$SANDBOX_PID"
    serve_again 127.0.0.1:0
}

# serve_again ADDRESS: a server on the simulated Feishu and the data that are there.
serve_again() {
    start server env FEISHU_ID_DATA__DIR="$DATA" "$FEISHU_ID_BIN" --log-level warn serve --listen "$1" --http-listen 127.0.0.1:0
    SERVER_PID=$STARTED
    await_server server
}

end_server() {
    [[ -z $SERVER_PID ]] || stop "$SERVER_PID" || true
    [[ -z $SANDBOX_PID ]] || stop "$SANDBOX_PID" || true
    SERVER_PID="" SANDBOX_PID=""
}

# feishu JSON: Feishu's usual behaviour, and these switches.
feishu() {
    local all
    all=$(python3 -c 'import json, sys
print(json.dumps({"latency_ms": int(sys.argv[1]), "quota_form": sys.argv[2], **json.loads(sys.argv[3])}))' \
        "$FEISHU_MS" "$FORM" "$1")
    fault "$all" >/dev/null
}

# rss PID: memory in MB; rss_peak PID: the most there was.
rss() {
    awk '/^VmRSS/ { printf "%.0f", $2 / 1000 }' "/proc/$1/status"
}

rss_peak() {
    awk '/^VmHWM/ { printf "%.0f", $2 / 1000 }' "/proc/$1/status"
}

# cpu PID: processor time spent, in ticks of 10 ms. The name in field 2 has no blanks.
cpu() {
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# --- Loads ------------------------------------------------------------------------------------

# load NAME ARGUMENT...: a load on SERVER, to its end; `of NAME` has its figures then.
load() {
    local name=$1
    begin_load "$@"
    end_load "$name" "$STARTED"
}

# begin_load NAME ARGUMENT...: the same in the background; its process ID is in STARTED.
begin_load() {
    local name=$1
    shift
    start "$name" "$LOAD" "$@" --server "http://$SERVER" --format json --series "$WORK/$name.csv"
}

# end_load NAME PID: waits for it. Exit code 1 is a figure like others: not all was answered.
end_load() {
    local code=0
    wait "$2" || code=$?
    RUNNING=" $RUNNING "
    RUNNING="${RUNNING// $2 / }"
    RUNNING="${RUNNING% }"
    ((code < 2)) || {
        cat "$WORK/$1.log" >&2
        die "the load $1 ended with exit code $code"
    }
}

# stop_load NAME PID: no more calls; waits for those under way.
stop_load() {
    kill -TERM "$2" 2>/dev/null || true
    end_load "$@"
}

# begin_direct NAME RATE SECONDS: asks the simulated Feishu's second tenant itself, beside a load; its
# process ID is in STARTED, and `of NAME` has its figures once it has ended.
begin_direct() {
    local log="$WORK/server.log"
    start "$1" python3 "$ROOT/benches/direct.py" "$FEISHU_BASE_URL" "$(second FEISHU_APP_ID "$log")" \
        "$(second FEISHU_APP_SECRET "$log")" "$2" "$3"
}

# second NAME FILE: the value of the second line NAME=value.
second() {
    awk -v name="$1" 'index($0, name "=") == 1 && ++seen == 2 { print substr($0, length(name) + 2) }' "$2"
}

# over_own LOAD DIRECT PATH: how much longer that took than asking Feishu itself did meanwhile, in ms.
over_own() {
    awk -v load="$(of "$1" "$3")" -v own="$(of "$2" "$3")" 'BEGIN { printf "%.1f", load - own }'
}

# --- Figures ----------------------------------------------------------------------------------

# of NAME PATH...: figures of a load, such as latency_ms/p99; a dash where there is none.
of() {
    local name=$1
    shift
    tail -n 1 "$WORK/$name.log" | values "$@"
}

# stats PATH...: the simulated Feishu's counts.
stats() {
    curl --silent --show-error --fail --max-time 5 "$CONTROL/stats" | values "$@"
}

# Python: a number with about four digits, never with an exponent.
SHORT='
def short(value):
    size = abs(value)
    return f"{value:.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3}f}"
'

values() {
    python3 -c "import json, sys$SHORT"'
root = json.load(sys.stdin)
found = []
for path in sys.argv[1:]:
    value = root
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    found.append("-" if value is None else short(value) if isinstance(value, float) else str(value))
print(*found)' "$@"
}

# over_feishu MILLISECONDS: what is left of a latency without Feishu's own.
over_feishu() {
    awk -v value="$1" -v feishu="$FEISHU_MS" 'BEGIN { if (value == "-") print "-"; else printf "%.1f", value - feishu }'
}

# troubles NAME: what failed, by code and reason.
troubles() {
    tail -n 1 "$WORK/$1.log" | python3 -c '
import json, sys
load = json.load(sys.stdin)
found = []
for t in load["troubles"]:
    name = (t["code"] + " " + t["reason"]).strip()
    found.append("{} {}{}".format(t["count"], name, " with RetryInfo" if t["retry_info"] else ""))
found += [f"{count} items FAILED {reason}" for reason, count in load["failed_items"].items()]
if load["not_sent"]:
    found.append("{} not sent".format(load["not_sent"]))
print("; ".join(found) or "0")'
}

# steady NAME COLUMN [FROM]: a second's mean of a column of the series, without the first FROM
# seconds and the last, which is not whole.
steady() {
    python3 -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
rows = rows[int(sys.argv[3]):-1] or rows
print(f"{sum(int(row[sys.argv[2]]) for row in rows) / max(1, len(rows)):.0f}")' "$WORK/$1.csv" "$2" "${3:-0}"
}

# median NUMBER...
median() {
    python3 -c "import statistics, sys$SHORT"'
print(short(statistics.median(map(float, sys.argv[1:]))))' "$@"
}

# ratio A B: A / B, or a dash.
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (a == "-" || b == "-" || b == 0) print "-"; else printf "%.2f", a / b }'
}

# --- Tables -----------------------------------------------------------------------------------

# cells VALUE...: a row, on the screen and in the file.
cells() {
    local line="|" cell
    for cell in "$@"; do
        line="$line $cell |"
    done
    printf '%s\n' "$line" | tee -a "$TABLE"
}

header() {
    local rule="|" cell
    cells "$@"
    for cell in "$@"; do
        rule="$rule --- |"
    done
    printf '%s\n' "$rule" | tee -a "$TABLE"
}

# say TEXT: a paragraph below the table.
say() {
    printf '\n%s\n' "$*" | tee -a "$TABLE"
}

# plot NAME TITLE LEVEL LABEL=LOAD...: what was answered in each second of these loads, as an SVG
# beside the README; LEVEL is drawn as a line.
plot() {
    [[ $WRITE == yes ]] || return 0
    local name=$1 title=$2 level=$3 series=() pair
    shift 3
    for pair in "$@"; do
        series+=("${pair%%=*}=$WORK/${pair#*=}.csv")
    done
    "$ROOT/scripts/tools" plots >/dev/null || return 0
    "$TOOLS/venv/bin/python" "$ROOT/benches/plot.py" "$ROOT/benches/$name.svg" "$title" "$level" "${series[@]}"
    printf '\n![%s](%s.svg)\n' "$title" "$name" >>"$TABLE"
}
