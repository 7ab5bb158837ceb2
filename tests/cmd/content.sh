# What a job prints arrives, on the descriptor it was printed to, in one piece (row 11, X2).
. "$(dirname "$0")/common.sh"

run 0 "$BROOD" map --shell 'echo o1; echo e1 >&2; echo o2; echo e2 >&2' ::: 1
printf 'o1\no2\n' | same out
printf 'e1\ne2\n' | same err
run 0 "$BROOD" map --shell 'exec 2>&1; echo o1; echo e1 >&2; echo o2; echo e2 >&2' ::: 1
printf 'o1\ne1\no2\ne2\n' | same out
run 0 "$BROOD" map -k printf '%s' ::: no newline at end
printf 'nonewlineatend' | same out

# No line of 80,000 is broken, and no job's lines are parted.
run 0 "$BROOD" map -j 4 seq -f '{}%07.0f' 1 20000 ::: 1 2 3 4
[ "$(grep -cvE '^[1-4][0-9]{7}$' out)" -eq 0 ] || fail 'broken lines'
[ "$(cut -c1 out | uniq | wc -l)" -eq 4 ] || fail 'jobs are mixed'

# Through a pipe whose reader is slow.
"$BROOD" map -k -j 3 seq 1 {} ::: 50000 1 60000 | { sleep 0.3; cat; } > out
{ seq 50000; seq 1; seq 60000; } | same out

# What a process that outlives its job writes is not waited for, and it does not stay.
run 0 "$BROOD" map --shell 'sleep 100 & echo $!' ::: 1
gone_in 100 "$(cat out)"
