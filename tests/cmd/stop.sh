# TSTP stops the jobs and then the runner, CONT continues all, and the pause does not count
# against --timeout (row 33).
. "$(dirname "$0")/common.sh"

state() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status"; }
wait_state() {
    tries=0
    while [ "$(state "$1")" != "$2" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1500 ] || fail "process $1 is $(state "$1"), not $2"
        sleep 0.01
    done
}

command -v script > /dev/null 2>&1 || skip 'no script(1)'
# TSTP does nothing in a group that has no parent in its session: a shell with job control, on
# a terminal, is that parent.
cat > outer << 'END'
"$BROOD" map --timeout 2 --shell 'echo $$ > pid.new; mv pid.new pid; until [ -e go ]; do sleep 0.01; done; echo end' ::: 1 > out 2> err &
echo $! > runner.new
mv runner.new runner
until [ -e checked ]; do sleep 0.02; done
END
export BROOD
script -qefc 'sh -m ./outer' /dev/null < /dev/null > screen 2>&1 &
outer=$!
wait_file pid
wait_file runner
runner=$(cat runner)
job=$(cat pid)
kill -TSTP "$runner"
wait_state "$job" T
wait_state "$runner" T
# Longer than the timeout: this is the one thing here that only time can show.
sleep 2.2
kill -CONT "$runner"
tries=0
while [ "$(state "$job")" = T ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || fail 'the job was not continued'
    sleep 0.01
done
: > go
gone_in 500 "$runner" "$job"
: > checked
wait "$outer"
echo end | same out
[ ! -s err ] || fail 'the pause counted'
exit 0
