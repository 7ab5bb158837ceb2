# Output that does not arrive makes the exit status 4, and is said once (P1); a reader that
# has gone ends the run quietly.
. "$(dirname "$0")/common.sh"

full() { "$BROOD" map "$@" > /dev/full; }
closed() { "$BROOD" map "$@" >&-; }
closed_error() { "$BROOD" map "$@" 2>&-; }
for order in '' -k; do
    for way in full closed; do
        run 4 "$way" $order echo ::: 1 2 3 4 5
        [ "$(grep -c 'standard output' err)" -eq 1 ] || fail 'not said once'
    done
done
run 4 full --dry-run echo ::: 1
run 4 full --help
run 4 closed_error --shell 'echo lost >&2' ::: 1
run 0 closed true ::: 1 2
run 0 closed_error true ::: 1 2

{ status=0; "$BROOD" map -j 2 seq 1 ::: 100000 200000 300000 400000 2> err || status=$?
  echo "$status" > status; } | head -n 1 > out
[ "$(cat status)" -eq 141 ] || fail "status $(cat status), not 141"
[ -s err ] && fail 'not quiet'
(trap '' PIPE; status=0; "$BROOD" map seq 1 ::: 100000 2> err || status=$?; echo "$status" > status) | :
[ "$(cat status)" -eq 4 ] || fail "status $(cat status), not 4, with SIGPIPE ignored"
