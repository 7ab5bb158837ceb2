# What the tests of the command share. Each test runs in a directory of its own, waits for
# events rather than for time, and leaves nothing behind.

: "${BROOD:?the path of the brood binary}"
LC_ALL=C
export LC_ALL
dir=$(mktemp -d) || exit 1
cd "$dir" || exit 1
trap 'cd /; rm -rf "$dir"' EXIT

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    for file in out err; do
        [ -s "$file" ] && { printf -- '--- %s\n' "$file" >&2; head -c 600 "$file" >&2; }
    done
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# run STATUS command...: runs it with output in out and err, and expects the exit status.
run() {
    wanted=$1
    shift
    status=0
    "$@" > out 2> err || status=$?
    [ "$status" -eq "$wanted" ] || fail "status $status, not $wanted: $*"
}

# same FILE: what came on standard input is what the file holds.
same() {
    cat > wanted
    cmp -s wanted "$1" || { diff wanted "$1" | head -20 >&2; fail "$1 is not as expected"; }
}

# Waits for a file to exist; the limit only serves to end a test that has failed.
wait_file() {
    tries=0
    while [ ! -e "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1500 ] || fail "$1 did not appear"
        sleep 0.01
    done
}

# Waits for `text` to appear in a file.
wait_text() {
    tries=0
    while ! grep -q -e "$1" "$2" 2> /dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 1500 ] || fail "'$1' did not appear in $2"
        sleep 0.01
    done
}

# A zombie that its parent has not reaped yet runs no more.
lives() {
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2> /dev/null)
    [ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

# gone_in HUNDREDTHS pid...: all of them end in that time.
gone_in() {
    tries=$1
    shift
    for pid in "$@"; do
        while lives "$pid"; do
            tries=$((tries - 1))
            [ "$tries" -gt 0 ] || fail "process $pid is still there: $(tr '\0' ' ' < "/proc/$pid/cmdline")"
            sleep 0.01
        done
    done
}
