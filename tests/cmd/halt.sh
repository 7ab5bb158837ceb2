# --halt: stops when it should, ends what runs with all its descendants, and says so in the
# status (row 19).
. "$(dirname "$0")/common.sh"

cat > sleeper << 'END'
#!/bin/sh
# A child, a grandchild and one in a session of its own, all deaf to TERM; then it waits.
trap '' TERM
sh -c 'trap "" TERM; sleep 1000 & echo $! > pid.a; echo $$ > pid.b; : > up.1; wait' &
setsid sh -c 'trap "" TERM; echo $$ > pid.c; : > up.2; sleep 1000' &
echo $$ > pid.d
wait
END
cat > failer << 'END'
#!/bin/sh
until [ -s pid.a ] && [ -s pid.b ] && [ -s pid.c ] && [ -s pid.d ] && [ -e up.1 ] && [ -e up.2 ]; do
    sleep 0.01
done
exit 7
END
chmod +x sleeper failer
run 3 "$BROOD" map -j 2 --grace 0.3 --halt now,fail=1 --joblog log {} ::: ./sleeper ./failer true true
gone_in 100 $(cat pid.?)
[ "$(wc -l < log)" -eq 2 ] || fail 'a job was started after the halt'
grep -q '"./failer"\].*"rc":7,.*"interrupted":false' log || fail 'the record of the failure'
grep -q '"./sleeper"\].*"signal":9,.*"interrupted":true' log || fail 'the record of the one cut off'
grep -q 'stopped by --halt: 1 jobs cut off, items left' err || fail 'it was not said'
grep -q 'job 2, exit 7' err || fail 'the reason was not said'

count() { wc -l < out; }
seq 100 > input
run 3 "$BROOD" map -j 1 --halt soon,fail=2 -a input --shell 'echo; exit 1'
[ "$(count)" -eq 2 ] || fail "soon,fail=2 after $(count)"
run 3 "$BROOD" map -j 1 --halt soon,success=1 -a input --shell 'echo; [ "$1" -gt 2 ]'
[ "$(count)" -eq 3 ] || fail "success=1 after $(count)"
run 3 "$BROOD" map -j 1 --halt now,done=5 -a input echo
[ "$(count)" -eq 5 ] || fail "done=5 after $(count)"
run 3 "$BROOD" map -j 1 --halt soon,fail=10% -a input --shell 'echo; exit 1'
[ "$(count)" -eq 10 ] || fail "fail=10% after $(count)"
# A limit reached by the very last job leaves nothing undone.
run 1 "$BROOD" map -j 1 --halt now,fail=1 --shell '[ "$1" -lt 3 ]' ::: 1 2 3
printf '1\n2\n3\n' | run 1 "$BROOD" map -j 1 --halt soon,fail=1 --shell '[ "$1" -lt 3 ]'
run 0 "$BROOD" map --halt never true ::: 1
