# The job log: a whole JSON record of each job, whatever happened to it and whoever else
# writes there (rows 16 and 25, P8 to P10).
. "$(dirname "$0")/common.sh"

run 1 "$BROOD" map -k -j 1 --joblog log --shell 'case $1 in
3) exit 3 ;;
9) kill -9 $$ ;;
*) echo out; echo er >&2 ;;
esac' ::: 0 3 9
[ "$(wc -l < log)" -eq 3 ] || fail 'not three records'
grep -q '^{"seq":1,"key":"[0-9a-f]\{16\}","argv":\["/bin/sh",.*"0"\],"slot":1,"start":"[0-9-]*T[0-9:]*\.[0-9]\{6\}Z","wall_s":[0-9.e-]*,"rc":0,"signal":0,"core":false,"timeout":false,"interrupted":false,"user_s":[0-9.e-]*,"sys_s":[0-9.e-]*,"maxrss_kib":[0-9]*,"out_bytes":4,"err_bytes":3}$' log ||
    fail 'first record'
sed -n 2p log | grep -q '"rc":3,"signal":0,' || fail 'second record'
sed -n 3p log | grep -q '"rc":137,"signal":9,' || fail 'third record'

# Appended to; and the remains of one that died do not spoil a record.
printf '{"seq":1,"torn' >> log
run 0 "$BROOD" map --joblog log true ::: "$(printf 'a\nb\tc')"
[ "$(wc -l < log)" -eq 5 ] || fail 'not five lines'
tail -n 1 log | grep -q '"a\\nb\\tc"' || fail 'newline and tab are not escaped'
run 0 "$BROOD" map -0 --joblog log true << END
$(printf '\377')
END
tail -n 1 log | grep -q '"argv_hex":\["74727565","ff0a"\]' || fail 'bytes that are no UTF-8'

# The key tells the same job again, and only the same job.
run 0 "$BROOD" map -k -j 1 --joblog keys true ::: a b a
[ "$(sed 's/.*"key":"\([0-9a-f]*\)".*/\1/' keys | uniq | wc -l)" -eq 3 ] || fail 'keys do not differ'
[ "$(sed 's/.*"key":"\([0-9a-f]*\)".*/\1/' keys | sort -u | wc -l)" -eq 2 ] || fail 'keys do not agree'

# Two runners, one log.
seq 200 > input
"$BROOD" map -j 2 --joblog both -a input true &
run 0 "$BROOD" map -j 2 --joblog both -a input true
wait $! || fail 'the other runner'
[ "$(wc -l < both)" -eq 400 ] || fail 'records of two runners are missing'
[ "$(grep -c '^{"seq":.*}$' both)" -eq 400 ] || fail 'torn records'
if command -v python3 > /dev/null 2>&1; then
    python3 -c 'import json, sys
for line in open("both"): json.loads(line)' || fail 'not JSON'
fi
