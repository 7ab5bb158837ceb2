# --timeout ends a job with its descendants, in time, and is told apart in the log (P12).
. "$(dirname "$0")/common.sh"

cat > job << 'END'
echo early
[ "$1" = deaf ] && trap '' TERM
setsid sh -c 'trap "" TERM; echo $$ > "pid.$1"; sleep 1000' sh "$1" &
until [ -s "pid.$1" ]; do sleep 0.01; done
sleep 1000 &
wait
[ "$1" = deaf ] && wait
END
run 1 "$BROOD" map -k -j 3 --timeout 0.5 --grace 0.3 --joblog log sh -c '[ "$1" = quick ] || exec sh ./job "$1"' sh ::: deaf soft quick
printf 'early\nearly\n' | same out
gone_in 100 $(cat pid.deaf pid.soft)
[ "$(grep -c '"rc":124,.*"timeout":true' log)" -eq 2 ] || fail 'records'
grep '"deaf"\]' log | grep -q '"signal":9' || fail 'the deaf one was not killed'
grep '"soft"\]' log | grep -q '"signal":15' || fail 'the other did not end by TERM'
grep '"quick"\]' log | grep -q '"rc":0,.*"timeout":false' || fail 'the quick one'
grep -q 'timed out' err || fail 'it was not said'
awk -F '"wall_s":' '/"soft"\]/ { split($2, v, ","); exit !(v[1] >= 0.5 && v[1] < 1) }' log || fail 'not in time'
awk -F '"wall_s":' '/"deaf"\]/ { split($2, v, ","); exit !(v[1] >= 0.8 && v[1] < 1.5) }' log || fail 'not killed in time'
