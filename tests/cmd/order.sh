# limit: 180
# -k with a first job that waits for the last of ten thousand, few descriptors and little
# memory: all output, in order (row 10, P20). And the same without a place to spill to.
. "$(dirname "$0")/common.sh"

seq 10000 > input
script='if [ "$1" = 1 ]; then until [ -e last ]; do sleep 0.05; done; fi
[ "$1" = 10000 ] && : > last
echo "$1 and some more text to fill what memory is allowed for output that waits"'
awk '{ print $1 " and some more text to fill what memory is allowed for output that waits" }' \
    input > lines
(ulimit -n 64; "$BROOD" map -k -j 2 --buffer 100K --joblog log -a input --shell "$script") > out 2> err ||
    fail 'not 0'
same out < lines
[ -s err ] && fail 'something was said'
[ "$(wc -l < log)" -eq 10000 ] || fail 'not every job has its record'
[ "$(sed 's/^{"seq":\([0-9]*\),.*/\1/' log | cmp - input && echo same)" = same ] || fail 'records out of order'

# Output larger than memory: whole and in one piece, from each of several jobs.
for order in '' -k; do
    run 0 "$BROOD" map $order -j 4 --buffer 10K seq {}00000 {}99999 ::: 1 3 5 7
    [ "$(awk '$1 != last + 1 { jumps++ } { last = $1 } END { print jumps }' out)" -eq 4 ] ||
        fail 'outputs are mixed'
    [ "$(wc -l < out)" -eq 400000 ] || fail 'lines are missing'
done

# Nowhere to spill to: jobs wait for each other, and nothing is lost.
for order in '' -k; do
    run 0 env TMPDIR=/nonexistent "$BROOD" map $order -j 4 --buffer 0 seq {}00000 {}99999 ::: 1 3 5 7
    [ "$(awk '$1 != last + 1 { jumps++ } { last = $1 } END { print jumps }' out)" -eq 4 ] ||
        fail 'outputs are mixed without a temporary directory'
    [ "$(wc -l < out)" -eq 400000 ] || fail 'lines are missing'
    [ "$(grep -c 'temporary file' err)" -eq 1 ] || fail 'it was not said once'
done
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'brood-map.*' 2> /dev/null)" ] || fail 'a file is left'
