# shellcheck shell=bash disable=SC2034 # what is set here is used by those who source it
# What the other scripts share: where things are, checks that are counted, and programs in the
# background that are ended by their process ID. Sourced, never run.
#
# It asks no more of bash than 3.2, which is what macOS has.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT" || exit
TOOLS="$ROOT/.tools"
# The project's own tools first, then whatever the user has.
export PATH="$TOOLS/bin:$PATH"
# Everything here talks to loopback: a proxy from the environment would only be in the way.
export NO_PROXY="127.0.0.1,localhost" no_proxy="127.0.0.1,localhost"
FEISHU_ID_BIN="${FEISHU_ID_BIN:-$ROOT/target/debug/feishu-id}"
IDENTITY=feishu.identity.v1.IdentityService
ADMIN=feishu.identity.v1.AdminService
HEALTH=grpc.health.v1.Health

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# usage: prints the comment at the top of the script that was called, which is its manual.
usage() {
    awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
}

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "$tool is missing: run ./scripts/tools, or install it yourself"
    done
}

need_binary() {
    [[ -x $FEISHU_ID_BIN ]] || die "$FEISHU_ID_BIN is missing: run cargo build, or set FEISHU_ID_BIN"
}

# --- Scratch space and programs in the background -------------------------------------------

WORK="$(mktemp -d "${TMPDIR:-/tmp}/feishu-id.XXXXXX")"
# What servers keep, they keep here and not where the user's own does.
export XDG_STATE_HOME="$WORK/state"
# The process IDs of what `start` started and `stop` has not ended yet.
RUNNING=""

# start NAME COMMAND...: runs it in the background, with its output in $WORK/NAME.log and its process
# ID in STARTED. A program, never a function: the process ID would be that of a shell around it.
start() {
    local name=$1
    shift
    # Here and not in the background: who waits for a line must not find one of an earlier program.
    : >"$WORK/$name.log"
    "$@" >"$WORK/$name.log" 2>&1 </dev/null &
    RUNNING="$RUNNING $!"
    STARTED=$!
}

# stop PID [SECONDS]: SIGTERM, and SIGKILL if that has not ended it in time (default 15 s, above the
# server's own 10 s). Returns the program's exit code.
stop() {
    local pid=$1 tenths=$((${2:-15} * 10)) code=0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ((tenths > 0)); do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    kill -KILL "$pid" 2>/dev/null && echo "process $pid had to be killed" >&2
    wait "$pid" 2>/dev/null || code=$?
    RUNNING="${RUNNING// $pid/}"
    return "$code"
}

cleanup() {
    local pid
    for pid in $RUNNING; do
        stop "$pid" 3 || true
    done
    rm -rf "$WORK"
}
trap cleanup EXIT
# Without these, bash would end on the signal with the programs still running.
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for SECONDS WHAT COMMAND...: tries the command until it succeeds.
wait_for() {
    local tenths=$(($1 * 10)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((tenths > 0)) || {
            echo "$what: not within the time allowed" >&2
            return 1
        }
        sleep 0.1
        tenths=$((tenths - 1))
    done
}

# within SECONDS COMMAND...: the command, ended when its time is up. macOS has no timeout(1): there
# the commands' own limits, such as grpcurl's -max-time, have to do.
within() {
    local seconds=$1
    shift
    if command -v timeout >/dev/null; then
        timeout --kill-after=5 "$seconds" "$@"
    else
        "$@"
    fi
}

# --- The programs under test ----------------------------------------------------------------

# Not a variable that the user may happen to have.
DIRECTORY=""

# Before a program under test: whatever credentials the user has, nothing here may go to a real
# tenant by accident.
WITHOUT_CREDENTIALS=(env -u FEISHU_APP_ID -u FEISHU_APP_SECRET -u FEISHU_APP_SECRET_FILE -u FEISHU_BASE_URL)

# printed NAME FILE: the value of the first line NAME=value.
printed() {
    awk -v name="$1" 'index($0, name "=") == 1 { print substr($0, length(name) + 2); exit }' "$2"
}

# start_sandbox: a simulated Feishu of its own, with the people of the file DIRECTORY if there is one;
# sets FEISHU_* of its first tenant and CONTROL.
start_sandbox() {
    need_binary
    start sandbox "${WITHOUT_CREDENTIALS[@]}" "$FEISHU_ID_BIN" sandbox \
        --listen 127.0.0.1:0 --control-listen 127.0.0.1:0 ${DIRECTORY:+--directory "$DIRECTORY"}
    await_log sandbox FEISHU_APP_SECRET=
    read_sandbox sandbox
}

# read_sandbox NAME: what a program of that name printed about its simulated Feishu.
read_sandbox() {
    local log="$WORK/$1.log"
    FEISHU_BASE_URL=$(printed FEISHU_BASE_URL "$log")
    FEISHU_APP_ID=$(printed FEISHU_APP_ID "$log")
    FEISHU_APP_SECRET=$(printed FEISHU_APP_SECRET "$log")
    CONTROL=$(awk 'match($0, /http:[^ ]*\/stats/) { print substr($0, RSTART, RLENGTH - 6); exit }' "$log")
    export FEISHU_BASE_URL FEISHU_APP_ID FEISHU_APP_SECRET
    [[ -n $FEISHU_BASE_URL && -n $CONTROL ]] || {
        cat "$log" >&2
        die "$1 did not say where its simulated Feishu and the control address are"
    }
}

# start_server [ARGUMENT...]: `serve --sandbox` on a free port; sets SERVER, SERVER_PID and what
# read_sandbox sets.
start_server() {
    need_binary
    start server "${WITHOUT_CREDENTIALS[@]}" "$FEISHU_ID_BIN" serve --sandbox --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 "$@"
    SERVER_PID=$STARTED
    await_server server
    read_sandbox server
}

# await_server NAME: until it says where it listens; sets SERVER.
await_server() {
    await_log "$1" 'feishu-id listens on '
    SERVER=$(awk '/feishu-id listens on / { print $NF; exit }' "$WORK/$1.log")
}

# await_log NAME TEXT: until the program has printed it. 30 s, because a busy machine may be slow to
# start even what takes milliseconds.
await_log() {
    wait_for 30 "$1 printing '$2'" grep -qF -- "$2" "$WORK/$1.log" || {
        cat "$WORK/$1.log" >&2
        die "$1 did not start"
    }
}

# fault JSON: switches of the simulated Feishu. reset_faults: all back to normal.
fault() {
    curl --silent --show-error --fail --max-time 5 -X POST -H 'content-type: application/json' \
        -d "$1" "$CONTROL/faults"
}

reset_faults() {
    curl --silent --show-error --fail --max-time 5 -X POST "$CONTROL/reset"
}

# call METHOD JSON [FLAG...]: one call by grpcurl; JSON @ reads it from standard input.
call() {
    local method=$1 data=$2
    shift 2
    within 30 grpcurl -plaintext -max-time 10 "$@" -d "$data" "$SERVER" "$method"
}

resolve() {
    local data=$1
    shift
    call "$IDENTITY/ResolveUserIds" "$data" "$@"
}

# --- Checks ---------------------------------------------------------------------------------

PASSED=0
FAILED=0

# check NAME COMMAND...: counts whether the command succeeds; shows what a failed one printed.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        PASSED=$((PASSED + 1))
        printf 'ok      %s\n' "$name"
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED  %s\n' "$name"
        printf '%s\n' "$output" | head -n 60 | sed 's/^/        | /'
    fi
}

# finish: the closing line, and the exit code that goes with it.
finish() {
    printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
    ((FAILED == 0 && PASSED > 0))
}

squeezed() {
    tr -d ' \t\r\n'
}

# holds TEXT PIECE...: every piece stands in the text; a piece that starts with ! does not. Blanks
# do not count, so that a piece of JSON matches however it is laid out.
holds() {
    local text piece missing=0
    text=$(printf '%s' "$1" | squeezed)
    shift
    for piece in "$@"; do
        local wanted
        wanted=$(printf '%s' "${piece#!}" | squeezed)
        if [[ $piece == '!'* ]]; then
            [[ $text != *"$wanted"* ]] || { echo "not expected: $wanted"; missing=1; }
        else
            [[ $text == *"$wanted"* ]] || { echo "expected: $wanted"; missing=1; }
        fi
    done
    return "$missing"
}

# says PIECE... -- COMMAND...: the command succeeds and prints every piece.
says() {
    exits 0 "$@"
}

# exits CODE PIECE... -- COMMAND...: the command ends with that code and prints every piece.
exits() {
    local code=$1 got=0 output pieces=()
    shift
    while [[ $1 != -- ]]; do
        pieces+=("$1")
        shift
    done
    shift
    output=$("$@" 2>&1) || got=$?
    if ((got != code)); then
        printf 'exit code %d instead of %d: %s\n%s\n' "$got" "$code" "$*" "$output"
        return 1
    fi
    ((${#pieces[@]} == 0)) || holds "$output" "${pieces[@]}" || {
        printf 'in the output of %s:\n%s\n' "${*:0:200}" "$output"
        return 1
    }
}
