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
# Where a server of its own keeps what it knows; empty: nowhere.
DATA=""
LOG_LEVEL=warn
# Before a load that is about the server's own speed or memory: the widest quota there is.
WIDE="FEISHU_ID_QUOTA__PER_SECOND=10000 FEISHU_ID_QUOTA__PER_MINUTE=100000"
# Feishu's answer takes so long, in milliseconds.
FEISHU_MS=30

forms() {
    echo "${BENCH_FORMS:-fixed sliding}"
}

# lasting SECONDS: how long a paced load lasts.
lasting() {
    echo "${BENCH_SECONDS:-$1}"
}

# pause SECONDS: for a trial run the minute before is not worth its time.
pause() {
    [[ -z ${BENCH_SECONDS:-} ]] && echo "$1" || echo 1
}

# machine: where the figures come from.
machine() {
    printf '%s cores' "$(nproc)"
    awk -F ': *' '/^model name/ { printf " (%s)", $2; exit }' /proc/cpuinfo
}

# --- Servers ----------------------------------------------------------------------------------

# serve [NAME=VALUE...]: a fresh server with these settings and its simulated Feishu in one process.
serve() {
    end_server
    start server "${WITHOUT_CREDENTIALS[@]}" "$@" "$FEISHU_ID_BIN" --log-level "$LOG_LEVEL" serve --sandbox --listen 127.0.0.1:0 --http-listen 127.0.0.1:0
    SERVER_PID=$STARTED
    await_server server
    read_sandbox server
    feishu "{}"
}

# serve_apart [NAME=VALUE...]: the same in two processes, so that the memory is the server's alone,
# with a data directory. serve_apart_without_data: without one.
serve_apart() {
    feishu_apart
    DATA="$WORK/data.$SANDBOX_PID"
    serve_again 127.0.0.1:0 "$@"
}

serve_apart_without_data() {
    feishu_apart
    serve_again 127.0.0.1:0 "$@"
}

# feishu_apart: a simulated Feishu of its own, and no server.
feishu_apart() {
    end_server
    start_sandbox
    SANDBOX_PID=$STARTED
    DATA=""
    feishu "{}"
}

# serve_again ADDRESS [NAME=VALUE...]: a server on the simulated Feishu and the data that are there.
serve_again() {
    local address=$1
    shift
    [[ -z $DATA ]] || set -- "FEISHU_ID_DATA__DIR=$DATA" "$@"
    start server env "$@" "$FEISHU_ID_BIN" --log-level "$LOG_LEVEL" serve --listen "$address" --http-listen 127.0.0.1:0
    SERVER_PID=$STARTED
    await_server server
}

# serve_all_tenants [NAME=VALUE...]: a server for every tenant of the simulated Feishu that is there.
serve_all_tenants() {
    [[ -z $DATA ]] || set -- "FEISHU_ID_DATA__DIR=$DATA" "$@"
    # One table of TOML for each that it has named.
    awk '/^# tenant / { printf "[tenants.%s]\n", $3 }
        /^FEISHU_BASE_URL=/ { print "base_url = \"" substr($0, 17) "\"" }
        /^FEISHU_APP_ID=/ { print "app_id = \"" substr($0, 15) "\"" }
        /^FEISHU_APP_SECRET=/ { print "app_secret = \"" substr($0, 19) "\"" }' "$WORK/sandbox.log" >"$WORK/tenants.toml"
    start server "${WITHOUT_CREDENTIALS[@]}" "$@" "$FEISHU_ID_BIN" --log-level "$LOG_LEVEL" serve \
        --config "$WORK/tenants.toml" --listen 127.0.0.1:0 --http-listen 127.0.0.1:0
    SERVER_PID=$STARTED
    await_server server
}

# kill_server: it is meant to have no time for anything.
kill_server() {
    kill -KILL "$SERVER_PID"
    wait "$SERVER_PID" 2>/dev/null || true
    RUNNING="${RUNNING// $SERVER_PID/}"
    SERVER_PID=""
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

rss_kb() {
    awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
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

# quartiles NUMBER...: the first and the third; the same number twice if there is only one.
quartiles() {
    python3 -c "import statistics, sys$SHORT"'
numbers = [float(text) for text in sys.argv[1:]]
first, _, third = statistics.quantiles(numbers, method="inclusive") if len(numbers) > 1 else numbers * 3
print(short(first), short(third))' "$@"
}

# share A B: A of B in per cent; no A is none. A dash if there is no B.
share() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (b == "-" || b == 0) print "-"; else printf "%.1f %%", 100 * (a + 0) / b }'
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

# between MARK FILE CONTENT: puts the file CONTENT between the marks of that name in FILE.
between() {
    grep -qxF "<!-- $1 -->" "$2" || die "$2 has no marks for $1"
    awk -v mark="<!-- $1 -->" -v content="$3" '
        !skip { print }
        $0 == mark { while ((getline line < content) > 0) print line; skip = 1 }
        $0 == "<!-- end -->" && skip { print; skip = 0 }' "$2" >"$WORK/between"
    cp "$WORK/between" "$2"
}

# drawing NAME TITLE MODE ARGUMENT...: a plot of benches/plot.py as an SVG beside the README.
drawing() {
    [[ $WRITE == yes ]] || return 0
    local name=$1 title=$2 mode=$3
    shift 3
    "$ROOT/scripts/tools" plots >/dev/null || return 0
    "$TOOLS/venv/bin/python" "$ROOT/benches/plot.py" "$mode" "$ROOT/benches/$name.svg" "$title" "$@"
    printf '\n![%s](%s.svg)\n' "$title" "$name" >>"$TABLE"
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
