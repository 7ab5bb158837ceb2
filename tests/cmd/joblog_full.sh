# A job log that takes no more: status 4, said once, jobs run on, no torn record (row 14, P2).
. "$(dirname "$0")/common.sh"

seq 100 > input
full() { "$BROOD" map -j 2 --joblog /dev/full -a input echo; }
run 4 full
[ "$(wc -l < out)" -eq 100 ] || fail 'jobs did not run on'
[ "$(grep -c 'o space left' err)" -eq 1 ] || fail 'not said once'

# A limit for the size of files does what a full disk does: the last write is cut short.
limited() { (ulimit -f 16 && "$BROOD" map -j 2 --joblog log -a input echo) | cat; }
limited > out 2> err
[ "$(sort -n out | cmp - input && echo same)" = same ] || fail 'jobs did not run on'
[ "$(grep -c 'job log log: ' err)" -eq 1 ] || fail 'not said once'
[ -s log ] || fail 'nothing was logged'
[ "$(grep -cv '^{"seq":.*}$' log)" -eq 0 ] || fail 'a torn record'
(ulimit -f 16 && "$BROOD" map --joblog log true ::: 1) > out 2> err
status=$?
lines=$(wc -l < log)
[ "$status" -eq 4 ] || [ "$lines" -gt 0 ] || fail "status $status"
run 4 "$BROOD" map --joblog /nonexistent/log touch ran ::: 1
grep -q -e '--joblog' err || fail 'the option is not named'
[ ! -e ran ] || fail 'something ran'
