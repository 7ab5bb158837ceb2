# Signals to the runner: passed on, partial output printed, records written, and death by the
# same signal; nothing is called success (P3, P11).
. "$(dirname "$0")/common.sh"

for signal in TERM:143 HUP:129; do
    rm -f ready.* got.* log
    "$BROOD" map -j 2 --joblog log --shell 'trap "echo late; : > got.$1; exit 5" TERM HUP
echo early; : > "ready.$1"; while :; do sleep 0.02; done' ::: 1 2 3 4 > out 2> err &
    pid=$!
    wait_file ready.1
    wait_file ready.2
    kill -"${signal%:*}" "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq "${signal#*:}" ] || fail "status $status after $signal"
    printf 'early\nlate\nearly\nlate\n' | same out
    [ -e got.1 ] && [ -e got.2 ] || fail 'it was not passed on'
    [ ! -e ready.3 ] || fail 'a job was started after the signal'
    [ "$(grep -c '"rc":5,.*"interrupted":true' log)" -eq 2 ] || fail 'records'
    grep -q "ended by SIG${signal%:*}: 2 jobs cut off, items left" err || fail 'it was not said'
done

# Deaf jobs are killed when --grace is over, or at once by a second signal.
deaf='trap "" TERM; echo $$ > pid; echo early; : > ready; while :; do sleep 0.02; done'
for grace in 0.1 1000; do
    rm -f ready
    "$BROOD" map --grace "$grace" --shell "$deaf" ::: 1 > out 2> err &
    pid=$!
    wait_file ready
    kill -TERM "$pid"
    if [ "$grace" = 1000 ]; then
        wait_text . pid
        kill -HUP "$pid"
    fi
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 143 ] || [ "$status" -eq 129 ] || fail "status $status"
    gone_in 100 "$(cat pid)"
    [ "$grace" = 1000 ] || echo early | same out
done

# A reader that does not read does not make it deaf.
mkfifo pipe
rm -f ready
sleep 1000 < pipe &
reader=$!
"$BROOD" map -j 2 --shell 'case $1 in 1) seq 100000 ;; *) : > ready; sleep 1000 ;; esac' ::: 1 2 > pipe 2> err &
pid=$!
wait_file ready
kill -TERM "$pid"
kill -HUP "$pid"
status=0
wait "$pid" || status=$?
kill "$reader"
wait "$reader" 2> /dev/null
[ "$status" -eq 143 ] || [ "$status" -eq 129 ] || fail "status $status"

# nohup: what was ignored stays ignored.
rm -f ready go
(trap '' HUP; exec "$BROOD" map --shell ': > ready; until [ -e go ]; do sleep 0.02; done' ::: 1) > out 2> err &
pid=$!
wait_file ready
kill -HUP "$pid"
: > go
wait "$pid" || fail 'HUP was not ignored'

# QUIT tells what runs, USR1 and USR2 change how many. The shell ignores QUIT for what it
# starts with &, so env(1) has to undo that.
env --default-signal=QUIT true 2> /dev/null || exit 0
rm -f ready.* go
env --default-signal=QUIT "$BROOD" map -j 1 --shell ': > "ready.$1"; until [ -e go ]; do sleep 0.02; done' ::: 1 2 3 > out 2> err &
pid=$!
wait_file ready.1
kill -QUIT "$pid"
wait_text 'running: job 1, slot 1, pid [0-9]*, [0-9.]* s: /bin/sh -c' err
[ ! -e ready.2 ] || fail 'two at a time'
kill -USR1 "$pid"
wait_file ready.2
kill -USR2 "$pid"
# Of two pending signals the kernel delivers QUIT first: one more is asked for until it shows.
tries=0
until grep -q '2 running, 1 at a time' err; do
    tries=$((tries + 1))
    [ "$tries" -lt 1000 ] || fail 'USR2 had no effect'
    kill -QUIT "$pid"
    sleep 0.02
done
: > go
wait "$pid" || fail 'not 0'
