# Exit statuses: what failed and how is told apart, and nothing wraps (rows 16 and 17, P18).
. "$(dirname "$0")/common.sh"

run 0 "$BROOD" map true ::: 1 2
run 1 "$BROOD" map --shell 'exit "$1"' ::: 0 3 0
grep -q '1 of 3 jobs failed (first: job 2, exit 3: ' err || fail 'summary'
[ "$(wc -l < err)" -eq 1 ] || fail 'more than one line'
run 1 "$BROOD" map --shell 'kill -9 $$' ::: 1
grep -q 'signal 9' err || fail 'summary'
seq 300 > input
run 1 "$BROOD" map -a input false
grep -q '300 of 300 jobs failed' err || fail 'summary of 300'

run 127 "$BROOD" map ./nothing ::: 1 2 3
[ "$(wc -l < err)" -eq 1 ] || fail 'more than one line'
: > plain
chmod 644 plain
run 126 "$BROOD" map ./plain ::: 1
mkdir folder
run 126 "$BROOD" map ./folder ::: 1
# Where the item is the command, it is that job's failure.
run 1 "$BROOD" map -j 1 --joblog log {} ::: ./nothing ./plain true
[ "$(sed 's/.*"rc":\([0-9]*\),.*/\1/' log | tr '\n' ' ')" = '127 126 0 ' ] || fail 'rc in the log'
# A command that vanishes during the run: that is no reason not to go on.
printf '#!/bin/sh\nrm -f "$0"\n' > once
chmod +x once
run 1 "$BROOD" map -j 1 ./once ::: 1 2 3
grep -q '2 of 3 jobs failed' err || fail 'summary'
