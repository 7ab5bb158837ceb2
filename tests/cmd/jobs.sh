# What a job finds around it: defaults for signals, three descriptors, its group and its
# numbers; and never more jobs than asked for (row 4, P5).
. "$(dirname "$0")/common.sh"

exec 7< "$0"
run 0 "$BROOD" map sh -c 'cat /proc/self/status; ls /proc/self/fd | wc -l; ls -l /proc/$$/fd/0' sh ::: 1
grep -q '^SigBlk:[[:space:]]*0*$' out || fail 'signals are blocked in jobs'
# Of the 64 signals, the C library may keep 32 and 33 for itself.
grep -q '^SigIgn:[[:space:]]*0*$' out || fail 'signals are ignored in jobs'
grep -q '/dev/null' out || fail 'standard input is not /dev/null'
grep -qx '[ ]*4' out || fail 'other descriptors than 0-2 (and the one of ls) are open'
exec 7<&-

run 0 "$BROOD" map -j 2 sh -c 'set -- $(cat /proc/$$/stat); [ "$1" = "$5" ] || exit 9' sh ::: 1 2
run 0 "$BROOD" map -k -j 1 --shell 'echo "$BROOD_SEQ $BROOD_SLOT"' ::: a b c
printf '1 1\n2 1\n3 1\n' | same out
run 0 env BROOD_SEQ=9 BROOD_SLOT=9 KEPT=yes "$BROOD" map sh -c 'echo "$BROOD_SEQ $BROOD_SLOT $KEPT"' sh ::: a
echo '1 1 yes' | same out

# A slot is held by one job at a time, and there are three.
seq 300 > input
run 0 "$BROOD" map -j 3 -a input --shell 'mkdir "slot.$BROOD_SLOT" || exit 1; rmdir "slot.$BROOD_SLOT"; echo "$BROOD_SLOT"'
[ "$(sort -u out | tr '\n' ' ')" = '1 2 3 ' ] || fail 'slots are not 1 to 3'
[ "$(wc -l < out)" -eq 300 ] || fail 'not 300 jobs'
run 0 "$BROOD" map -j 2 echo {%} ::: 1
echo 1 | same out
for jobs in 0 50% +1 -1 100000; do
    run 0 "$BROOD" map -j "$jobs" -a input true
done
