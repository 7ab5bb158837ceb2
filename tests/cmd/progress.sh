# Progress: nothing off a terminal unless asked for, plain lines then, and on a terminal a bar
# of ASCII that is never inside a line of output (row 35).
. "$(dirname "$0")/common.sh"

seq 20 > input
run 0 "$BROOD" map --progress -a input true
[ ! -s err ] || fail 'progress into a file'
run 0 "$BROOD" map --progress=none -a input true
[ ! -s err ] || fail 'progress though none'
for how in lines bar; do
    run 0 "$BROOD" map --progress="$how" -a input true
    grep -q '^20/20 100% fail 0 run 0 ' err || fail 'no last line'
    [ "$(tr -d '[:print:]\n' < err | wc -c)" -eq 0 ] || fail 'control bytes into a file'
done

command -v script > /dev/null 2>&1 || exit 0
on_terminal() { script -qefc "$*" /dev/null < /dev/null > screen 2>&1; }
job='sleep 0.1; echo "line $1 of output"'
TERM=xterm CI='' on_terminal "'$BROOD' map -j 2 --progress -a input --shell '$job'"
grep -q '\[=*>* *\] [0-9]*/20 [0-9]*% fail 0 run [0-9]' screen || fail 'no bar'
[ "$(tr -d '[:print:]\n\r' < screen | wc -c)" -eq 0 ] || fail 'not ASCII'
# As a terminal shows it: of each line, what follows the last carriage return.
tr -d '\n' < screen | tr '\r' '\n' | grep -v -e '^ *$' -e '^\[' -e '^[0-9]*/20 ' > shown
[ "$(grep -c '^line [0-9]* of output$' shown)" -eq 20 ] || fail 'output is broken by the bar'
[ "$(wc -l < shown)" -eq 20 ] || fail 'something else is on the screen'
for setting in CI=1 TERM=dumb; do
    TERM=xterm on_terminal "env CI= $setting '$BROOD' map --progress -a input sleep 0.0{}"
    [ "$(tr -d '\r\n' < screen | wc -c)" -eq 0 ] || fail "a bar with $setting"
done
