# Bad options: status 2, one line that names the option, and nothing runs (row 36).
. "$(dirname "$0")/common.sh"

bad() {
    named=$1
    shift
    run 2 "$BROOD" map "$@" touch ran ::: 1
    [ "$(wc -l < err)" -eq 1 ] || fail "not one line: $*"
    grep -q -e "$named" err || fail "$named is not named: $*"
    [ ! -e ran ] || fail "something ran: $*"
    [ ! -s out ] || fail "something on standard output: $*"
}
bad '-j' -j abc
bad '-j' -j ''
bad '-j' -j 0%
bad '-j' -j 3x
bad '--jobs' --jobs=-
bad '-n' -n 0
bad '-n' -n -1
bad '--max-args' --max-args=x
bad '--halt' --halt x
bad '--halt' --halt now,fail=0
bad '--halt' --halt soon,fail=101%
bad '--halt' --halt now,fail=
bad '--timeout' --timeout 0
bad '--timeout' --timeout 1y
bad '--timeout' --timeout=-1
bad '--timeout' --timeout nan
bad '--grace' --grace x
bad '--buffer' --buffer 1X
bad '--progress' --progress=loud
bad '-d' -d ab
bad '--unknown' --unknown
bad '-z' -z
bad '-z' -kz
bad '--crlf' --crlf=yes
bad '-a' -a /nonexistent -j 1 --
bad '-a' -a /

run 2 "$BROOD" map -j
run 2 "$BROOD" map
run 2 "$BROOD" map '' ::: 1
run 2 "$BROOD"
run 2 "$BROOD" nonsense
run 2 "$BROOD" map echo ::: 1 ::: 2
run 2 "$BROOD" map echo :::: file
run 2 "$BROOD" map -a /dev/null touch ran ::: 1

run 0 "$BROOD" --version
grep -q '^brood [0-9]*\.[0-9]*\.[0-9]*$' out || fail 'version'
run 0 "$BROOD" --help
run 0 "$BROOD" map --help
run 0 "$BROOD" map --version
# The command's own options are none of ours, and -- ends ours.
run 0 "$BROOD" map echo -j x ::: 1
echo '-j x 1' | same out
run 0 "$BROOD" map -j2 -kn2 -- echo ::: 1 2
echo '1 2' | same out
run 0 "$BROOD" map --dry-run --jobs=2 echo 'a b' "it's" {} ::: 1 '$x' ''
same out << 'END'
echo 'a b' 'it'\''s' 1
echo 'a b' 'it'\''s' '$x'
echo 'a b' 'it'\''s' ''
END
