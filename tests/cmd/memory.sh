# A million lines of input are not held in memory, and the first job does not wait for them
# (rows 4 and 5).
. "$(dirname "$0")/common.sh"

grep -q __asan_init "$BROOD" && skip 'memory is not ours to judge under ASan'
grep -q __tsan_init "$BROOD" && skip 'memory is not ours to judge under TSan'
seq 1000000 > input
# The job's parent is the runner; job 300 looks at its largest resident set, and ends it all.
run 3 "$BROOD" map -j 2 -a input --halt now,fail=1 --shell \
    '[ "$1" = 300 ] || exit 0; grep VmHWM "/proc/$PPID/status"; exit 1'
peak=$(awk '{ print $2 }' out)
[ "$peak" -gt 0 ] && [ "$peak" -lt 6144 ] || fail "peak of $peak KiB"
seq 1000000 | run 3 "$BROOD" map -k -j 2 --progress --halt now,fail=1 --shell \
    '[ "$1" = 300 ] || exit 0; grep VmHWM "/proc/$PPID/status"; exit 1'
peak=$(awk '{ print $2 }' out)
[ "$peak" -gt 0 ] && [ "$peak" -lt 6144 ] || fail "peak of $peak KiB"
run 0 "$BROOD" map --dry-run -a input true
awk '{ print "true " $1 }' input | same out
