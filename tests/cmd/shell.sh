# --shell: items are parameters, never pasted; {} in a script is refused (row 3, P4).
. "$(dirname "$0")/common.sh"

run 0 "$BROOD" map --shell 'echo "$1"' ::: 'a; echo PWNED'
echo 'a; echo PWNED' | same out
run 2 "$BROOD" map --shell 'touch ran; echo {}' ::: a
grep -q -e '--shell' err && grep -q '"\$1"' err || fail 'no hint at "$1"'
[ "$(wc -l < err)" -eq 1 ] || fail 'more than one line'
[ ! -e ran ] || fail 'something ran'
run 0 "$BROOD" map -k -n 2 --shell 'echo "$# $1 ${2-none} $BROOD_SEQ"; exit 0' ::: a b c
printf '2 a b 1\n1 c none 2\n' | same out
# Nothing is appended: exit 3 stays exit 3.
run 1 "$BROOD" map --shell 'exit 3' --joblog log ::: 1
grep -q '"rc":3,' log || fail 'not exit 3'
run 0 "$BROOD" map --shell 'echo "{x} {#} $1"' ::: 1
echo '{x} {#} 1' | same out
run 2 "$BROOD" map --shell 'true' echo ::: 1
