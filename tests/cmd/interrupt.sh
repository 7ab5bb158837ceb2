# ^C on a terminal: output so far is printed, deaf jobs are killed after --grace or at once by
# a second ^C, and we die of SIGINT so that a shell's loop ends too (row 20, P11).
. "$(dirname "$0")/common.sh"

command -v script > /dev/null 2>&1 || skip 'no script(1)'
cat > listening << 'END'
trap 'echo late; exit 0' INT
echo early
: > "ready.$1"
while :; do sleep 0.02; done
END
cat > deaf << 'END'
trap '' INT TERM
echo early
echo $$ > "pid.$1"
: > "ready.$1"
while :; do sleep 0.02; done
END

# on_terminal N command: presses ^C N times once both jobs run, and prints the exit status.
on_terminal() {
    presses=$1
    shift
    rm -f ready.* status
    {
        wait_file ready.1
        wait_file ready.2
        while [ "$presses" -gt 0 ]; do
            printf '\003'
            presses=$((presses - 1))
            # The second is to come as a second one, not to be merged with the first.
            [ "$presses" -eq 0 ] || wait_text '\^C' screen
        done
        wait_file status
    } | script -qefc "$* > out 2> err; echo \$? > status.new; mv status.new status" /dev/null > screen 2>&1
}

# The shell in the terminal must itself outlive ^C to tell the status.
on_terminal 1 "trap : INT; '$BROOD' map -j 2 sh ./listening ::: 1 2 3"
[ "$(cat status)" = 130 ] || fail "status $(cat status)"
printf 'early\nlate\nearly\nlate\n' | same out
[ ! -e ready.3 ] || fail 'a job was started after ^C'

on_terminal 1 "trap : INT; '$BROOD' map -j 2 --grace 0.2 sh ./deaf ::: 1 2 3"
[ "$(cat status)" = 130 ] || fail "status $(cat status) of deaf jobs"
printf 'early\nearly\n' | same out
gone_in 100 $(cat pid.?)

on_terminal 2 "trap : INT; '$BROOD' map -j 2 --grace 1000 sh ./deaf ::: 1 2 3"
[ "$(cat status)" = 130 ] || fail "status $(cat status) after two"
gone_in 100 $(cat pid.?)
